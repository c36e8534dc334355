"""Coherence: how long another process serves what one has changed, and with its listener cut off.

Two processes with managers. One sets and deletes; the other asks its manager for the keys all the
time, as a program would, and notes when it is answered with the new state: both read the same
monotonic clock. Then the connection of the reading process's listener is killed every second, at
once or for as long as half of it, and what is served must never be older than `blind_ttl`.
"""

import logging
import multiprocessing
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, Final, NamedTuple, Self

import redis

from bench.prove.findings import Findings, quantile
from routecache import Policy, snapshot
from tests.members import Driver, LocalMember, Spec, make
from tests.topologies import One

WRITES: Final = 2000
RATE: Final = 200.0  # writes a second
WINDOW: Final = 16  # changes that the reader looks out for at once, two bursts
HEARD: Final = 0.05  # seconds: promise 5, at p99
BLIND_TTL: Final = 0.2
CUT_SECONDS: Final = 6
CUT_KEYS: Final = 20
PREFIX: Final = "coherent"
# A look-up that L2 answers late on a busy machine is no news of what it holds.
PATIENT: Final = Policy(l2_timeout=1.0, blind_ttl=BLIND_TTL)


class Way(NamedTuple):
    """Managers, and how they hear: "tracking", or "pub/sub" for a user who may not track."""

    driver: Driver
    hears: str

    def __str__(self) -> str:
        return f"{self.driver}, {self.hears}"


WAYS: Final = (Way("sync", "tracking"), Way("asyncio", "tracking"), Way("sync", "pub/sub"))
# For how many seconds of each the listener's connection is killed again and again.
CUTS: Final = {"killed every second": 0.0, "kept away for half of every second": 0.5}


def prove(findings: Findings) -> None:
    """Lags, and staleness under kills, for each way of hearing."""
    steps, n = len(WAYS) * (1 + len(CUTS)), 0
    for way in WAYS:
        with One() as topology:
            url = _url(topology, way)
            findings.advance(n / steps, f"lag: {way}")
            findings.case = f"{WRITES:,} writes at {RATE:g}/s: {way}"
            _lags(findings, url, way)
            n += 1
            for name, seconds in CUTS.items():
                findings.advance(n / steps, f"listener {name}: {way}")
                findings.case = f"listener {name}: {way}"
                _cut(findings, topology, url, way, seconds)
                n += 1


def _url(topology: One, way: Way) -> str:
    server = topology.primary()
    if way.hears == "tracking":
        return server.url
    rules = "on >pass ~* +@all -client|tracking allchannels"
    server.ask("ACL", "SETUSER", "limited", *rules.split())
    return f"redis://limited:pass@127.0.0.1:{server.port}/0"


# Lags


def _lags(findings: Findings, url: str, way: Way) -> None:
    with _Reader(_watch_lags, Spec(way.driver, url, PREFIX, PATIENT, 2 * WRITES)) as reader:
        writer = make(Spec(way.driver, url, PREFIX, PATIENT, 2 * WRITES))
        writer.settle()
        for n in range(WRITES):
            writer.set(_key(n), 0, ())
        reader.start()
        began, ended = [], []
        started = time.monotonic()
        for n in range(WRITES):
            # Each third write is one of a burst of eight.
            due = started + (n - n % 8 if n % 24 < 8 else n) / RATE
            time.sleep(max(0.0, due - time.monotonic()))
            began.append(time.monotonic())
            if n % 2:
                writer.delete(_key(n))
            else:
                writer.set(_key(n), 1, ())
            ended.append(time.monotonic())
        seen: list[float] = reader.result()
        writer.close()
    findings.must("changes that were never seen", seen.count(0.0), "=", 0)
    pairs = (("from the call's return", ended), ("from the call's begin", began))
    for what, times in pairs:
        # Seen before the call returned: no time at all.
        lags = [max(0.0, s - t) * 1e3 for s, t in zip(seen, times, strict=True) if s]
        findings.saw(f"p50 {what}", quantile(lags, 0.5), "ms")
        findings.timed(f"p99 {what}", quantile(lags, 0.99), "≤", HEARD * 1e3, "ms")
        findings.saw(f"max {what}", max(lags), "ms")


def _key(n: int) -> str:
    return f"k{n}"


def _watch_lags(member: LocalMember, pipe: Connection) -> list[float]:
    """When each change was first answered; 0 for one that never was."""
    assert all(member.get(_key(n)) == 0 for n in range(WRITES))  # from now on in its L1
    pipe.send("ready")
    seen = [0.0] * WRITES
    first, give_up = 0, time.monotonic() + WRITES / RATE + 10
    while first < WRITES and time.monotonic() < give_up:
        for n in range(first, min(first + WINDOW, WRITES)):
            if not seen[n] and member.get(_key(n)) == (None if n % 2 else 1):
                seen[n] = time.monotonic()
        while first < WRITES and seen[first]:
            first += 1
        time.sleep(0.0002)
    return seen


# Staleness while the listener is cut off


def _cut(findings: Findings, topology: One, url: str, way: Way, keep_away: float) -> None:
    with _Reader(_watch_versions, Spec(way.driver, url, PREFIX, PATIENT)) as reader:
        writer = make(Spec(way.driver, url, PREFIX, PATIENT))
        writer.settle()
        changed: dict[str, list[float]] = defaultdict(list)  # by version
        for k in range(CUT_KEYS):
            writer.set(f"cut{k}", 0, ())
            changed[f"cut{k}"].append(time.monotonic())
        reader.start()
        with _Killer(topology, keep_away):
            started = time.monotonic()
            for n in range(int(CUT_SECONDS * RATE)):
                time.sleep(max(0.0, started + n / RATE - time.monotonic()))
                key = f"cut{n % CUT_KEYS}"
                writer.set(key, len(changed[key]), ())
                changed[key].append(time.monotonic())
        looks, gaps, blind = reader.result()
        writer.close()
    staleness = sorted(_stale(key, at, version, changed) for key, at, version in looks)
    findings.must("oldest value served, since it changed", staleness[-1] * 1e3, "≤",
                  (BLIND_TTL + HEARD) * 1e3, "ms")  # fmt: skip
    findings.saw("p99 of the same", quantile(staleness, 0.99) * 1e3, "ms")
    findings.saw("look-ups", len(looks))
    findings.saw("served blind, and counted as stale", blind)
    findings.must("gaps that the listener counted", gaps, "≥", CUT_SECONDS - 1)


def _stale(key: str, at: float, version: int, changed: dict[str, list[float]]) -> float:
    """For how long `version` had been replaced when it was asked for; 0 if it had not."""
    times = changed[key]
    return max(0.0, at - times[version + 1]) if version + 1 < len(times) else 0.0


def _watch_versions(member: LocalMember, pipe: Connection) -> Any:
    """Look-ups (key, when asked, version) until told to stop; gaps; blind hits."""
    pipe.send("ready")
    looks: list[tuple[str, float, int]] = []
    while not pipe.poll(0.001):
        for k in range(CUT_KEYS):
            key, at = f"cut{k}", time.monotonic()
            version = member.get(key)
            if version is not None:
                looks.append((key, at, version))
    pipe.recv()
    member.settle()
    seen = snapshot()
    (cache,) = [cache for cache in seen.caches if cache.name == PREFIX]
    (endpoint,) = seen.endpoints
    return looks, endpoint.listener_reconnects, cache.stale_hits.get("blind", 0)


class _Reader:
    """The reading process: `watch(member, pipe)` runs there. A context manager."""

    def __init__(self, watch: Callable[[LocalMember, Connection], Any], spec: Spec) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._pipe, theirs = spawn.Pipe()
        self._process = spawn.Process(target=_read, args=(theirs, watch, spec), daemon=True)
        self._process.start()
        theirs.close()

    def start(self) -> None:
        """Have it watch, from now on."""
        assert self._take() == "heard"
        self._pipe.send("begin")
        assert self._take() == "ready"

    def result(self) -> Any:
        """What it saw; ends its watch, unless that ends by itself."""
        self._pipe.send("stop")
        return self._take()

    def _take(self) -> Any:
        assert self._pipe.poll(60), "the reading process does not answer"
        return self._pipe.recv()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe.close()
        self._process.join(10)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


def _read(pipe: Connection, watch: Callable[[LocalMember, Connection], Any], spec: Spec) -> None:
    logging.getLogger("routecache").setLevel(logging.ERROR)
    member = make(spec)
    member.settle()
    pipe.send("heard")
    pipe.recv()
    pipe.send(watch(member, pipe))
    member.close()


class _Killer:
    """Kills the listeners' connections every second. A context manager."""

    def __init__(self, topology: One, keep_away: float) -> None:
        self._client = redis.Redis.from_url(topology.url)
        self._keep_away = keep_away
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._stop.wait(1.0 - self._keep_away):
            until = time.monotonic() + self._keep_away
            self._kill()
            while time.monotonic() < until and not self._stop.is_set():
                self._kill()
                time.sleep(0.002)

    def _kill(self) -> None:
        for connection in self._client.client_list(_type="pubsub"):
            self._client.client_kill_filter(_id=connection["id"])

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._client.close()
