"""The sample log: traffic of an imaginary router, the same for everybody who generates it.

Only `random.Random(seed).random()` is drawn from, whose sequence Python guarantees.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import exp, log
from random import Random
from typing import TextIO

from routecache_exporters.replay.policy import PROVIDERS, SPELLINGS, Asked

SEED = 20231116
REQUESTS = 12_000
RATE = 40.0
"""Requests per second: the log spans five minutes."""

COLUMNS = ("timestamp", "provider", "tool", "task", "tier", "context_tokens", "generated_tokens")
_TASKS = ("chat", "code", "summary", "agent", "search", "classify")
_TIERS = ("free", "pro", "enterprise")
_START = datetime(2025, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class SampleRequest:
    """One line of the sample log; `at` is seconds after its start, the sizes are tokens."""

    at: float
    provider: str
    tool: str
    task: str
    tier: str
    context_tokens: int
    generated_tokens: int


def sample(count: int = REQUESTS, seed: int = SEED, rate: float = RATE) -> Iterator[SampleRequest]:
    """Generate the log: `count` requests, `rate` per second on average, as a Poisson process.

    Providers, tools, tasks and tiers are skewed as traffic is; sizes are log-normal.
    """
    draw = Random(seed).random
    at = 0.0
    for _ in range(count):
        at -= log(1.0 - draw()) / rate
        yield SampleRequest(
            at,
            _skewed(PROVIDERS, draw()),
            _skewed(SPELLINGS, draw()),
            _skewed(_TASKS, draw()),
            _skewed(_TIERS, draw()),
            _size(1_100, [draw() for _ in range(12)]),
            _size(140, [draw() for _ in range(12)]),
        )


def endless(seed: int = SEED) -> Iterator[Asked]:
    """The sample's requests over and over, their arrival times going on.

    As a router does that cares for its caches, it asks about sizes in classes: powers of eight.
    With powers of two there would be four times the contexts that the L1 of fallback chains holds,
    and RouteCacheL1Thrashing would be right to say so. These are more than it holds, too, but those
    that do not fit are rarely asked for.
    """
    start = 0.0
    while True:
        last = start
        for request in sample(seed=seed):
            last = start + request.at
            yield Asked(
                {
                    "task": request.task,
                    "tier": request.tier,
                    "context_tokens": _class(request.context_tokens),
                },
                request.provider,
                request.tool,
                last,
            )
        start = last


def write_sample(stream: TextIO) -> None:
    """Write the log as CSV, fit for `routecache replay`."""
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    for request in sample():
        moment = _START + timedelta(seconds=request.at)
        writer.writerow(
            [
                moment.isoformat(timespec="microseconds"),
                request.provider,
                request.tool,
                request.task,
                request.tier,
                request.context_tokens,
                request.generated_tokens,
            ]
        )


def _skewed(names: Sequence[str], draw: float) -> str:
    return names[int(draw * draw * len(names))]


def _class(tokens: int) -> int:
    """The smallest power of eight that is not below `tokens`."""
    bits = (tokens - 1).bit_length()
    return 1 << -(-bits // 3) * 3


def _size(median: float, draws: Sequence[float]) -> int:
    """Log-normal around `median`; twelve uniform draws add up to a normal one (Irwin-Hall)."""
    return max(1, round(median * exp(1.2 * (sum(draws) - 6.0))))
