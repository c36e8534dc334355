"""Contestants that take turns, so that a machine that slows down slows all of them.

In every round each contestant runs once, for a few milliseconds, in an order drawn anew. Its ratio
in a round is its time by the baseline's time in the same round, and its ratio at the end is the
median of those. So what else the machine was doing is divided out, as far as it lasted longer than
a round.

How to read the figures: trust ratios, not absolute figures. Nanoseconds say what this machine did
while it was watched; a ratio of medians taken together repeats within a few per cent on another
machine or another day. Where p10 and p90 of a ratio lie far apart, the machine was disturbed in a
way that rounds cannot divide out: run again before concluding anything.

A contestant's batch holds the loop over its keys, so that the cost of the loop and no extra call is
in every figure, the baseline's too: about 10 ns for each operation. Ratios of very short operations
are that much nearer to 1 than the operations themselves.

A turn is timed by the CPU time of its thread, from which other programs take less than from the
time on the wall; contestants that wait for I/O or for other threads are timed by the wall instead
(`clock=time.perf_counter`).

The garbage collector is off during a turn, as in `timeit`, and runs between rounds; what existed
before the first round is frozen, which keeps that short. `collect=True` leaves it on instead, for
contestants whose garbage is part of their price.
"""

import gc
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from statistics import median, quantiles
from typing import NamedTuple, TypeAlias

MIN_ROUNDS = 5
_TURN_SECONDS = 0.004  # well above the noise of the clock and of a thread switch
_SEED = 2024

Turn: TypeAlias = Callable[[], float]
"""Runs one contestant once and gives what was measured."""


Clock: TypeAlias = Callable[[], float]
"""Seconds that only go forward."""


class Contestant(NamedTuple):
    """Something to be timed: `batch()` performs `operations` operations."""

    name: str
    batch: Callable[[], object]
    operations: int


class Spread(NamedTuple):
    """The 10th, 50th and 90th percentile of what the rounds measured."""

    p10: float
    median: float
    p90: float


class Result(NamedTuple):
    """One contestant's seconds per operation, and its ratio to the baseline, over all rounds."""

    name: str
    seconds: Spread
    ratio: Spread
    rounds: int


def compete(
    contestants: Sequence[Contestant],
    baseline: str,
    seconds: float,
    *,
    clock: Clock = time.thread_time,
    collect: bool = False,
) -> list[Result]:
    """Time the contestants against each other for about `seconds` in all.

    Args:
        contestants: each is called once before its first turn, which must leave it ready for any
            number of further batches.
        baseline: the name of the contestant that the ratios refer to.
        seconds: for all contestants together; at least five rounds are run.
        clock: in seconds, see above.
        collect: leave the garbage collector on.

    Returns:
        One result for each contestant, in their order.
    """
    turns = {contestant.name: _timed(contestant, clock) for contestant in contestants}
    measured = take_turns(turns, seconds, collect=collect)
    return [
        Result(name, spread(values), ratio(values, measured[baseline]), len(values))
        for name, values in measured.items()
    ]


def take_turns(
    turns: Mapping[str, Turn], seconds: float, *, collect: bool = False
) -> dict[str, list[float]]:
    """Run all turns in every round until `seconds` have passed; what they gave, by name."""
    measured: dict[str, list[float]] = {name: [] for name in turns}
    order = list(turns)
    shuffle = random.Random(_SEED).shuffle
    end = time.perf_counter() + seconds
    with _collector(on=collect):
        while len(measured[order[0]]) < MIN_ROUNDS or time.perf_counter() < end:
            shuffle(order)
            for name in order:
                measured[name].append(turns[name]())
            gc.collect()
    return measured


def spread(values: Iterable[float]) -> Spread:
    """The spread of `values`, of which there are at least two."""
    values = list(values)
    deciles = quantiles(values, n=10, method="inclusive")
    return Spread(deciles[0], median(values), deciles[-1])


def ratio(values: Sequence[float], baseline: Sequence[float]) -> Spread:
    """The spread of `values` by `baseline`, each round by itself."""
    return spread(value / base for value, base in zip(values, baseline, strict=True))


def _timed(contestant: Contestant, clock: Clock) -> Turn:
    batch = contestant.batch
    batch()
    started = clock()
    batch()
    repeats = max(1, round(_TURN_SECONDS / max(clock() - started, 1e-9)))

    def turn() -> float:
        started = clock()
        for _ in range(repeats):
            batch()
        return (clock() - started) / (repeats * contestant.operations)

    return turn


@contextmanager
def _collector(*, on: bool) -> Iterator[None]:
    gc.collect()
    gc.freeze()
    if not on:
        gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()
