"""What routecache gives the example gateways: requests/s, probes, attempts at what is broken.

    python bench/bench_gateways.py [--quick] [--json]

Every contestant is two processes of a gateway with three stub providers of its own, and those with
routecache share a Redis. They take turns: in each a number of requests of many users, a few at
once. All contestants see the same: first every provider is well, then one of them fails at once,
then another one hangs until the time-out. Stub providers answer at once, so that a gateway's own
work is most of a request; a real provider takes seconds.

Needs `make litellm` for the contestants with LiteLLM, which are left out and named otherwise.
"""

import asyncio
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import quantiles
from typing import Final, NamedTuple
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import httpx

from bench.interleave import ratio, spread, take_turns
from bench.report import Column, Report, parse
from tests.gateways import LITELLM_PYTHON, PROVIDERS, serving, settings
from tests.helpers import eventually
from tests.servers import RedisServer

AT_ONCE: Final = 2  # for each process
REQUESTS: Final = 60  # in a turn
USERS: Final = 90
TIMEOUT: Final = 0.25
COOLDOWN: Final = 5  # LiteLLM's own


class Kind(NamedTuple):
    """A gateway, the one that it is compared with, and how it is started."""

    name: str
    baseline: str
    application: str
    python: str = sys.executable


_LITELLM: Final = str(LITELLM_PYTHON)
KINDS: Final = (
    Kind("FastAPI asks each time", "FastAPI asks each time", "bench.gateways_without:asks"),
    Kind("FastAPI tries in order", "FastAPI asks each time", "bench.gateways_without:tries"),
    Kind("FastAPI + routecache", "FastAPI asks each time", "fastapi_gateway:app"),
    Kind("LiteLLM alone", "LiteLLM alone", "bench.litellm_alone:app", _LITELLM),
    Kind("LiteLLM + routecache", "LiteLLM alone", "litellm_gateway:app", _LITELLM),
)


_first_users = itertools.count(step=USERS)


class Connection:
    """One connection to a gateway. httpx would take longer than the gateway does."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def to(cls, address: str) -> "Connection":
        place = urlsplit(address)
        return cls(*await asyncio.open_connection(place.hostname, place.port))

    async def ask(self, body: bytes) -> int:
        """Send one chat request; the status of its answer."""
        head = (
            "POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        self._writer.write(head.encode() + body)
        answer = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        length = answer.partition(b"content-length:")[2].split(None, 1)[0]
        await self._reader.readexactly(int(length))
        return int(answer.split(None, 2)[1])

    async def close(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()


class Contestant:
    """Two processes of a kind, and what their callers saw."""

    def __init__(self, kind: Kind, addresses: Sequence[str], runner: asyncio.Runner) -> None:
        self.kind = kind
        self._runner = runner
        self._addresses = [address for address in addresses for _ in range(AT_ONCE)]
        self.begin()

    def begin(self) -> None:
        """Forget what was seen; from now on other users ask, for whom nobody was chosen yet."""
        self.seconds: list[float] = []
        self.errors = 0
        first = next(_first_users)
        self._users = itertools.cycle(range(first, first + USERS))

    def turn(self) -> float:
        """Send `REQUESTS` requests; the seconds that one of them took of the turn."""
        left = iter(range(REQUESTS))
        began = time.perf_counter()
        self._runner.run(self._all(left))
        return (time.perf_counter() - began) / REQUESTS

    async def _all(self, left: Iterator[int]) -> None:
        await asyncio.gather(*(self._caller(address, left) for address in self._addresses))

    async def _caller(self, address: str, left: Iterator[int]) -> None:
        # A connection that waits for its next turn would be closed by the gateway after 5 s.
        connection = await Connection.to(address)
        for _ in left:
            began = time.perf_counter()
            status = await connection.ask(_request(next(self._users)))
            self.seconds.append(time.perf_counter() - began)
            self.errors += status != 200
        await connection.close()


def _request(user: int) -> bytes:
    messages = [{"role": "user", "content": "hello"}]
    return json.dumps({"model": "chat", "user": f"user-{user}", "messages": messages}).encode()


class Stubs:
    """The providers of all contestants: each has three of its own, under its number."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._http = httpx.Client()

    def of(self, number: int) -> dict[str, str]:
        """The providers' addresses by name."""
        return {name: f"{self._address}/{number}-{name}" for name in PROVIDERS}

    def mode(self, name: str, mode: str) -> None:
        """Have the provider `name` of every contestant behave so."""
        for number in range(len(KINDS)):
            page = f"{self._address}/{number}-{name}/mode"
            self._http.post(page, json={"mode": mode}).raise_for_status()

    def calls(self, number: int) -> Mapping[str, Mapping[str, int]]:
        """How many requests and probes the providers of a contestant got, by name."""
        calls = self._http.get(f"{self._address}/calls").json()
        return {
            name: {"chat": 0, "probe": 0, **calls.get(f"{number}-{name}", {})} for name in PROVIDERS
        }

    def close(self) -> None:
        self._http.close()


def compete(
    report: Report,
    title: str,
    broken: str,
    runs: Mapping[int, Contestant],
    stubs: Stubs,
    seconds: float,
) -> None:
    """Let the contestants take turns and report what they and their providers saw."""
    before = {number: stubs.calls(number) for number in runs}
    for contestant in runs.values():
        contestant.begin()
    turns = {contestant.kind.name: contestant.turn for contestant in runs.values()}
    measured = take_turns(turns, seconds)
    rows = []
    for number, contestant in runs.items():
        kind, after = contestant.kind, stubs.calls(number)
        thousands = len(contestant.seconds) / 1000
        chats, probes = (
            sum(after[name][what] - before[number][name][what] for name in names)
            for what, names in (("chat", [broken] if broken else []), ("probe", PROVIDERS))
        )
        # A ratio of requests/s is that of the seconds, upside down.
        ratios = ratio(measured[kind.baseline], measured[kind.name])
        rows.append(
            (
                kind.name,
                1 / spread(measured[kind.name]).median,
                *ratios,
                quantiles(contestant.seconds, n=100)[98] * 1e3,
                probes / thousands,
                chats / thousands,
                contestant.errors / thousands,
            )
        )
    rounds = len(next(iter(measured.values())))
    report.table(
        f"{title} ({rounds} rounds of {REQUESTS} requests)",
        [
            Column("contestant"),
            Column("requests/s", ".0f"),
            *(Column(f"ratio {part}", ".2f") for part in ("p10", "median", "p90")),
            Column("p99 ms", ".1f"),
            Column("probes/1000", ".1f"),
            Column("to the broken/1000", ".1f"),
            Column("errors/1000", ".1f"),
        ],
        rows,
    )


def main(argv: Sequence[str] | None = None) -> int:
    options = parse(__doc__, argv)
    report = Report("gateways", options)
    kinds = {n: kind for n, kind in enumerate(KINDS) if Path(kind.python).exists()}
    if len(kinds) < len(KINDS):
        report.note("LiteLLM is left out: make litellm brings it")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        runner = stack.enter_context(asyncio.Runner())
        address = stack.enter_context(serving("stub_providers:app", folder / "stubs.log"))
        stubs = Stubs(address)
        stack.callback(stubs.close)
        runs = {}
        for number, kind in kinds.items():
            redis = stack.enter_context(RedisServer())
            env = {
                **settings(redis.url, stubs.of(number)),
                "GATEWAY_TIMEOUT": str(TIMEOUT),
                "GATEWAY_COOLDOWN": str(COOLDOWN),
            }
            addresses = [
                stack.enter_context(
                    serving(
                        kind.application,
                        folder / f"{number}-{process}.log",
                        python=kind.python,
                        env=env,
                    )
                )
                for process in range(2)
            ]
            runs[number] = Contestant(kind, addresses, runner)
        for contestant in runs.values():
            contestant.turn()
        failed = sum(contestant.errors for contestant in runs.values())
        report.must(failed == 0, f"{failed} requests failed while all was well")
        seconds = options.seconds(75)
        compete(report, "All providers are well", "", runs, stubs, seconds)
        stubs.mode("beta", "fail")
        compete(report, "One of three providers fails at once", "beta", runs, stubs, seconds)
        stubs.mode("beta", "ok")
        for number, contestant in runs.items():
            eventually(partial(_used, contestant, stubs, number, "beta"), seconds=120)
        stubs.mode("gamma", "slow")
        title = f"One of three providers hangs until the time-out of {TIMEOUT} s"
        compete(report, title, "gamma", runs, stubs, seconds)
    return report.finish()


def _used(contestant: Contestant, stubs: Stubs, number: int, provider: str) -> bool:
    """Whether a turn of the contestant reaches `provider` again."""
    before = stubs.calls(number)[provider]["chat"]
    contestant.begin()
    contestant.turn()
    return stubs.calls(number)[provider]["chat"] - before > REQUESTS / 6


if __name__ == "__main__":
    sys.exit(main())
