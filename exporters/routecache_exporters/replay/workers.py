"""Replays one log in several processes, each of which takes every n-th of its requests.

The processes are made anew (spawned) and not forked, as a server makes its workers, and count in
one directory of `routecache.multiprocess`. So /metrics, which the parent serves, and the report say
what all of them did together.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import islice
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from routecache import RoutingCache, RoutingSettings, multiprocess, snapshot
from routecache.multiprocess.survey import Surveyor
from routecache.registry import ProcessSnapshot
from routecache_exporters.multiprocess import snapshot_of
from routecache_exporters.replay.arguments import Speed
from routecache_exporters.replay.context import parse_context
from routecache_exporters.replay.lines import BadRows
from routecache_exporters.replay.logs import Log
from routecache_exporters.replay.pace import Order, Pace, pace_of
from routecache_exporters.replay.policy import Asked
from routecache_exporters.replay.requests import asked
from routecache_exporters.replay.runner import CACHES, Replayer, Tally
from routecache_exporters.replay.times import Times
from routecache_exporters.signals import Stop, stop_on_signals
from routecache_exporters.usage import UsageError

_LOOK_EVERY = 0.2  # seconds between two looks at whether the command was asked to stop


@dataclass(frozen=True, slots=True)
class Work:
    """What every worker needs to know; the fields are those of the command line."""

    file: str
    context: str | None
    timestamp: str | None
    time_unit: str | None
    speed: Speed
    cost: float
    limit: int | None
    settings: RoutingSettings
    directory: Path


@dataclass(frozen=True, slots=True)
class Share:
    """What one worker did, or all of them together."""

    requests: int
    tallies: Mapping[str, Tally]
    elapsed: float
    first_exception: str | None
    behind: float
    order: Order
    doubt: str | None
    whole: bool
    bad: BadRows
    entries: Mapping[str, int]


def replay(work: Work, count: int, stop: Stop) -> Share:
    """Replay in `count` processes and wait for all of them.

    stop: once set, the workers are asked to end, and what they did until then is returned.

    Raises UsageError if a worker ends without having told what it did.
    """
    context = multiprocessing.get_context("spawn")
    pipes = [context.Pipe() for _ in range(count)]
    processes = [
        context.Process(target=_work, args=(work, i, count, theirs), daemon=True)
        for i, (_, theirs) in enumerate(pipes)
    ]
    ours = [mine for mine, _ in pipes]
    try:
        for process, (_, theirs) in zip(processes, pipes, strict=True):
            process.start()
            theirs.close()
        _receive(ours, stop, processes)  # each says that it is ready
        for connection in ours:
            connection.send(None)
        shares = _receive(ours, stop, processes)
        for process in processes:
            process.join()
    finally:
        for process in processes:
            if process.pid is not None:
                process.kill()
                process.join()
    return together([share for share in shares if isinstance(share, Share)])


def books(directory: Path, entries: Mapping[str, int]) -> ProcessSnapshot:
    """What the workers of `directory` counted; `entries` by cache is what they held in the end."""
    counted = snapshot_of(Surveyor(directory).survey().totals)
    caches = tuple(replace(c, l1_entries=entries.get(c.name, 0)) for c in counted.caches)
    return replace(counted, caches=caches)


def together(shares: Sequence[Share]) -> Share:
    """The sum of what the workers did."""
    return Share(
        requests=sum(share.requests for share in shares),
        tallies={name: _add([share.tallies[name] for share in shares]) for name in CACHES},
        elapsed=max(share.elapsed for share in shares),
        first_exception=next((s.first_exception for s in shares if s.first_exception), None),
        behind=max(share.behind for share in shares),
        whole=all(share.whole for share in shares),
        # Everyone reads all rows, and so the same bad ones and late ones, up to its last one.
        order=max((share.order for share in shares), key=lambda order: order.late),
        doubt=next((share.doubt for share in shares if share.doubt), None),
        bad=max((share.bad for share in shares), key=lambda bad: bad.count),
        entries={name: sum(share.entries.get(name, 0) for share in shares) for name in CACHES},
    )


def _add(tallies: Sequence[Tally]) -> Tally:
    names = [field.name for field in fields(Tally)]
    return Tally(**{name: sum(getattr(tally, name) for tally in tallies) for name in names})


def _receive(
    connections: Sequence[Connection],
    stop: Stop,
    processes: Sequence[BaseProcess],
) -> list[object]:
    received: dict[Connection, object] = {}
    told = False
    while len(received) < len(connections):
        if stop.is_set() and not told:
            told = True
            for process in processes:
                if process.pid is not None and process.is_alive():
                    os.kill(process.pid, signal.SIGTERM)
        waiting = [connection for connection in connections if connection not in received]
        for connection in wait(waiting, _LOOK_EVERY):
            assert isinstance(connection, Connection)
            try:
                received[connection] = connection.recv()
            except EOFError:
                number = connections.index(connection) + 1
                raise UsageError(f"worker {number} ended without having told what it did") from None
    return [received[connection] for connection in connections]


def _work(work: Work, index: int, count: int, connection: Connection) -> None:
    """A worker's whole life."""
    multiprocess.enable(work.directory)
    with stop_on_signals() as stop, Log(work.file) as log:
        context = parse_context(work.context, log.columns)
        pace, timer = pace_of(work.speed, stop)
        with RoutingCache(settings=work.settings, timer=timer) as cache:
            replayer = Replayer(cache, pace, cost=work.cost)
            connection.send(None)
            connection.recv()
            threading.Thread(target=_stop_with_parent, args=(connection, stop), daemon=True).start()
            times = Times(work.time_unit)
            requests = islice(asked(log, context, work.timestamp, times), work.limit)
            whole = replayer.run(_every(requests, index, count, pace))
            held = {found.name: found.l1_entries for found in snapshot().caches}
        share = Share(
            replayer.requests, replayer.tallies, replayer.elapsed, replayer.first_exception,
            pace.behind, pace.order, times.doubt, whole, log.bad, held,
        )  # fmt: skip
        connection.send(share)


def _every(requests: Iterator[Asked], index: int, count: int, pace: Pace) -> Iterator[Asked]:
    """This worker's requests. The log's first one starts everyone's clock, whoever's it is."""
    for number, request in enumerate(requests):
        if number == 0:
            pace.wait(request.at)
        if number % count == index:
            yield request
        elif request.at is not None:
            pace.order.take(request.at)


def _stop_with_parent(connection: Connection, stop: Stop) -> None:
    try:
        connection.recv()  # nothing comes but the end
    except (EOFError, OSError):
        stop.set()
