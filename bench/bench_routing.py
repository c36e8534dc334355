"""What a request's routing decisions cost: hashed once or twice, awaited or not, or computed.

    python bench/bench_routing.py [--quick] [--json] [--check] [--collect]

First the model selection and the fallback chain of one request, both hits of L1, with the context
as it is and in a `RequestContext` that is made for each request.

Then the sample log of `routecache demo`, all four questions of each request, as `routecache replay`
asks them. A computed answer is taken to cost what `routecache replay --cost-ms` takes by default;
these milliseconds are accounted and not spent, the caches' own time is measured. The log is asked
as fast as it can be, so that no entry expires: what TTLs cost depends on a log's pace
(`routecache replay --speed 1`).
"""

import argparse
import asyncio
import itertools
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import report
from bench.bench_keys import CONTEXTS
from bench.interleave import Contestant, compete
from bench.private_redis import private_redis
from routecache import AsyncRoutingCache, RequestContext, RoutingCache, RoutingSettings
from routecache_exporters.demo.sample import REQUESTS, endless
from routecache_exporters.replay.command import add_command
from routecache_exporters.replay.pace import Pace
from routecache_exporters.replay.runner import CACHES, Replayer

LAPS: Final = 100
MEMORY_ONLY: Final = RoutingSettings(enable_redis=False)
AS_IS: Final = "the context as it is"
ONCE: Final = "a RequestContext"
AWAITED: Final = "the context as it is, asyncio"
AWAITED_ONCE: Final = "a RequestContext, asyncio"
GOAL: Final = 0.85  # of the medium context, sync
SAVED: Final = 0.98  # of the decisions' time, at least


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print. Returns 1 if an answer was wrong, or with `--check` a goal missed."""
    options = report.parse(__doc__, argv)
    result = report.Report("routing", options)
    for name in CONTEXTS:
        _hashed_once(name, options, result)
    with private_redis() as server:
        _decisions(server.url, options, result)
    return result.finish()


def _as_it_is(context: object) -> object:
    return context  # a call, as RequestContext is one


def _hashed_once(name: str, options: report.Options, result: report.Report) -> None:
    context = CONTEXTS[name]
    with RoutingCache(MEMORY_ONLY) as cache, asyncio.Runner() as runner:
        cache.warm(models=[(context, "m")], fallbacks=[(context, ["m", "n"])])
        tasks = AsyncRoutingCache.from_sync(cache)

        def ask(make: Callable[[Any], object]) -> Callable[[], None]:
            def batch() -> None:
                for _ in range(LAPS):
                    request = make(context)
                    cache.get_model_selection(request)
                    cache.get_fallback_chain(request)

            return batch

        async def ask_awaited(make: Callable[[Any], object]) -> None:
            for _ in range(LAPS):
                request = make(context)
                await tasks.get_model_selection(request)
                await tasks.get_fallback_chain(request)

        contestants = [
            Contestant(AS_IS, ask(_as_it_is), LAPS),
            Contestant(ONCE, ask(RequestContext), LAPS),
            Contestant(AWAITED, lambda: runner.run(ask_awaited(_as_it_is)), LAPS),
            Contestant(AWAITED_ONCE, lambda: runner.run(ask_awaited(RequestContext)), LAPS),
        ]
        results = compete(contestants, AS_IS, options.seconds(4.0), collect=options.collect)
        runner.run(tasks.close())
        stats = cache.get_stats()
        result.must(stats["model"]["misses"] == 0, "a look-up that had to be a hit of L1 missed")
    result.results(f"model and fallback of one request, {name} context", results, "µs")
    if name == "medium":
        result.goal(f"{ONCE}, medium, by {AS_IS}", results[1].ratio.median, GOAL)


def _decisions(url: str, options: report.Options, result: report.Report) -> None:
    cost = _documented_cost()
    count = REQUESTS // 15 if options.quick else REQUESTS
    computed = len(CACHES) * cost
    rows: list[report.Row] = [("computed", computed * 1e3, 0.0, 0.0, 1.0)]
    for name, settings in (
        ("routecache in memory", MEMORY_ONLY),
        ("routecache over Redis", RoutingSettings(redis_url=url)),
        ("the same, another process's L2", RoutingSettings(redis_url=url)),
    ):
        with RoutingCache(settings) as cache:
            replayer = Replayer(cache, Pace(None, Event()), timer=time.perf_counter)
            replayer.run(itertools.islice(endless(), count))
        loads = sum(tally.loads for tally in replayer.tallies.values())
        wrong = replayer.wrong_answers + replayer.exceptions
        result.must(wrong == 0, f"{name}: {wrong} answers were wrong or raised")
        spent = (replayer.elapsed + loads * cost) / count
        own = replayer.elapsed / count
        rows.append((name, spent * 1e3, (computed - spent) * 1e3, own * 1e6, spent / computed))
        if settings is not MEMORY_ONLY:
            result.goal(f"{name}: share of the time saved", 1 - spent / computed, SAVED,
                        at_least=True)  # fmt: skip
    columns = [
        report.Column("four decisions of one request"),
        report.Column("ms", ".3f"),
        report.Column("ms saved", ".3f"),
        report.Column("µs, own", ".1f"),
        report.Column("by computed", ".4f"),
    ]
    title = f"{count} requests of the sample log, {cost * 1e3:g} ms a computed answer"
    result.table(title, columns, rows)
    result.note("'own' is the replay's whole time, which computes each answer to check it")


def _documented_cost() -> float:
    parser = argparse.ArgumentParser()
    add_command(parser.add_subparsers())
    cost: float = parser.parse_args(["replay", "-"]).cost_ms
    return cost / 1e3


if __name__ == "__main__":
    raise SystemExit(main())
