"""What-if: the misses that L1 would have at other sizes, estimated while it runs at its own.

Sources: StatCache (Berg and Hagersten, ISPASS 2004) and StatStack (Eklöv and Hagersten, ISPASS
2010). Their one measurement is the reuse time: how many look-ups, of any key, lie between a
look-up of a key and the next one of it. It is cheap, because it has to be taken for a sample of
look-ups only. From the distribution of reuse times follows the expected stack distance of each,
how many different keys were asked for meanwhile: every look-up in between whose own reuse time
leads beyond the end adds one. An LRU cache of C entries holds a key whose stack distance is less
than C. So one sample predicts all sizes at once, larger ones included.

How it is done here. About one look-up in 128 is a candidate: those hits whose latency is sampled,
and as many of the others by chance. Its key gets a probe, and the key's entry is kept off the hit
path until the next look-up of it (`fresh_until`), which ends the probe. So an L1 hit pays nothing,
and a probe costs one look-up some microseconds. Probes stand for the look-ups between them: that
is their weight. It predicts a miss for a size

- if the entry was invalidated before its key was asked for again, or never stored: at any size;
- with the chance x / (TTL + x) if x seconds passed: so often an entry that is never evicted expires
  between two look-ups. Its real end is no guide, since a larger cache holds older copies;
- if the stack distance of its reuse time is the size or more. That is known as soon as so much
  time has passed, and counted then: the next look-up of the key may be far away, or never come.

Probes under way tell of reuse times too: they are longer than their age (Kaplan and Meier, 1958).
Without them long reuse times would be missing until they end, and misses be predicted too few.

SIEVE and LFU miss less than LRU. Measured on Zipf traces, their misses for want of room are the
same share of LRU's at all sizes, within 5 points but for the smallest. So the share at the size in
force, of which both sides are known, corrects the others. What is left between prediction and
reality at scale 1 is the error that an operator sees.

Everything runs under L1's lock, which the caller holds.
"""

import math
import random
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from routecache.entry import Entry
from routecache.typing import L1MissReason

SCALES: Final = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Sizes, relative to the one in force."""
_IN_FORCE: Final = SCALES.index(1.0)

_CANDIDATE_BITS: Final = 7
_LIMIT: Final = 512  # probes under way
_MIN_GAP: Final = 0.002  # seconds between two probes, so that they cost a busy process little
_SPREAD: Final = 16  # probes over which the look-ups between two of them are spread
_STEPS: Final = 8  # buckets for each doubling of the reuse time
_LOOK_EVERY: Final = 16  # new probes, between two looks at those under way
_LEARN_EVERY: Final = 32  # ended probes after which the stack distances are computed anew
_HALVE_AT: Final = 4096  # ended probes after which the past counts half
_TRUST_FROM: Final = 64  # ended probes before which nothing is corrected


class Probe:
    """One sampled look-up of a key, from which the next one is waited for.

    `at` is the number of the look-up, `since` its time in seconds of the timer, `weight` how many
    it stands for; `ttl` seconds is how long the entry lives, None while nothing was stored.
    `counted` holds the misses that were predicted already, for the first of the scales.
    """

    __slots__ = ("at", "counted", "since", "ttl", "weight")

    def __init__(self, at: int, since: float, weight: float, ttl: float | None) -> None:
        self.at = at
        self.since = since
        self.weight = weight
        self.ttl = ttl
        self.counted: list[float] = []


class WhatIf:
    """The estimator of one L1.

    Args:
        maxsize: entries that L1 holds at most.
        hits: how many hits there were so far.
        predicted: called with a scale and a number of misses that are predicted for it.

    The caller holds L1's lock.
    """

    def __init__(
        self, maxsize: int, hits: Callable[[], int], predicted: Callable[[float, int], None]
    ) -> None:
        self._sizes = [scale * maxsize for scale in SCALES]
        self._hits = hits
        self._predicted = predicted
        self.probes: dict[str, Probe] = {}
        self.reset()

    def reset(self) -> None:
        """Forget everything; for a forked child, whose hits are counted from zero."""
        self.probes.clear()
        self.misses = 0
        self._last_at = 0
        self._unspread = 0.0
        self._next_time = -math.inf
        self._reuses = ReuseTimes()
        self._begun = self._ended = 0
        # Look-ups that an LRU cache of this size would have missed for want of room; of these, how
        # many were hits all the same, and how many it would not have missed and L1 did.
        self._modelled = self._saved = self._lost = 0.0
        self._owed = [0.0] * len(SCALES)
        self._thresholds = [math.inf] * len(SCALES)

    def candidate(self) -> bool:
        """Whether a look-up off the hit path is one, by chance."""
        return not random.getrandbits(_CANDIDATE_BITS)

    def begin(self, key: str, entry: Entry | None, now: float) -> None:
        """A candidate: `key` was looked up now and answered with `entry`, or missed."""
        if now < self._next_time or key in self.probes:
            return
        at = self._hits() + self.misses
        self._begun += 1
        if self._begun % _LOOK_EVERY == 0 or len(self.probes) >= _LIMIT:
            self._look(at, now)
        if len(self.probes) >= _LIMIT:
            # Of keys that nobody may ask for again, the oldest tells least.
            del self.probes[next(iter(self.probes))]
        # Spread over several probes: the gap before a probe depends on whether it follows a hit.
        self._unspread += max(0, at - self._last_at)
        weight, self._last_at = self._unspread / _SPREAD, at
        self._unspread -= weight
        self._next_time = now + _MIN_GAP
        self.probes[key] = Probe(at, now, weight, None if entry is None else _ttl(entry))
        if entry is not None:
            entry.fresh_until = -math.inf

    def stored(self, key: str, ttl: float) -> bool:
        """`key` was put into L1 for `ttl` seconds; whether to keep its entry off the hit path."""
        probe = self.probes.get(key)
        if probe is None:
            return False
        probe.ttl = ttl
        return True

    def end(self, key: str, now: float, gone: L1MissReason | None) -> None:
        """A key with a probe is looked up again; `gone` is why L1 does not answer, if so."""
        probe = self.probes.pop(key)
        reuse = self._hits() + self.misses - probe.at
        if gone == "invalidated" or probe.ttl is None:
            self._end(probe, reuse, 1.0)
            return
        self._count(probe, reuse)
        has_room = len(probe.counted) <= _IN_FORCE
        if gone is None and not has_room:
            self._saved += probe.weight
        elif gone in ("evicted", "cold") and has_room:
            self._lost += probe.weight
        self._end(probe, reuse, _expiry(probe, now))

    def _end(self, probe: Probe, reuse: int | None, other: float) -> None:
        """`other` is the chance of a miss that is not for want of room."""
        for i in range(len(SCALES)):
            counted = probe.counted[i] if i < len(probe.counted) else 0.0
            self._owe(i, max(0.0, probe.weight * other - counted))
        if probe.ttl is not None:
            self._reuses.add(reuse, probe.weight)
        self._ended += 1
        if self._ended % _LEARN_EVERY == 0:
            at = self._hits() + self.misses
            under_way = [(at - p.at, p.weight) for p in self.probes.values() if p.ttl is not None]
            self._thresholds = self._reuses.thresholds(self._sizes, under_way)
        if self._ended >= _HALVE_AT:
            self._ended //= 2
            self._reuses.halve()
            self._modelled, self._saved, self._lost = (
                n / 2 for n in (self._modelled, self._saved, self._lost)
            )

    def _count(self, probe: Probe, age: int) -> None:
        """Predict the misses of sizes for which `age` look-ups are too long a time."""
        while len(probe.counted) < len(SCALES):
            i = len(probe.counted)
            if age < self._thresholds[i]:
                return
            if i == _IN_FORCE:
                self._modelled += probe.weight
            misses = probe.weight * self._correction()
            probe.counted.append(misses)
            self._owe(i, misses)

    def _correction(self) -> float:
        if self._ended < _TRUST_FROM or not self._modelled:
            return 1.0
        return min(max(1 + (self._lost - self._saved) / self._modelled, 0.25), 2.0)

    def _owe(self, i: int, misses: float) -> None:
        owed = self._owed[i] + misses
        whole = int(owed)
        self._owed[i] = owed - whole
        if whole:
            self._predicted(SCALES[i], whole)

    def _look(self, at: int, now: float) -> None:
        """Count what is known of the probes under way, and end those of which all is."""
        for key, probe in list(self.probes.items()):
            if probe.ttl is None:
                continue
            self._count(probe, at - probe.at)
            if now - probe.since >= probe.ttl:
                del self.probes[key]
                self._end(probe, None, 1.0)


def _ttl(entry: Entry) -> float:
    return entry.expires_at - entry.filled_at


def _expiry(probe: Probe, now: float) -> float:
    """The chance that an entry that is never evicted expired between two look-ups."""
    assert probe.ttl is not None
    passed = now - probe.since
    if passed >= probe.ttl:
        return 1.0
    return passed / (probe.ttl + passed) if probe.ttl < math.inf else 0.0


class ReuseTimes:
    """The weighted distribution of reuse times, in buckets that grow with them."""

    def __init__(self) -> None:
        self._weights: dict[int, float] = {}
        self._never = 0.0

    def add(self, reuse: int | None, weight: float) -> None:
        """Add a reuse time in look-ups, None for one without end."""
        if reuse is None:
            self._never += weight
        else:
            bucket = _bucket(reuse)
            self._weights[bucket] = self._weights.get(bucket, 0.0) + weight

    def halve(self) -> None:
        """The past counts half from now on."""
        self._never /= 2
        self._weights = {bucket: weight / 2 for bucket, weight in self._weights.items()}

    def thresholds(
        self, sizes: Sequence[float], under_way: Iterable[tuple[int, float]]
    ) -> list[float]:
        """The reuse times from which on the expected stack distance is each of the rising sizes.

        `under_way` are ages and weights of those that have not ended.
        """
        censored: dict[int, float] = {}
        for age, weight in under_way:
            censored[_bucket(age)] = censored.get(_bucket(age), 0.0) + weight
        at_risk = self._never + sum(self._weights.values()) + sum(censored.values())
        found: list[float] = []
        distance, reached, share = 0.0, 0.0, 1.0  # the share of look-ups that leads beyond here
        for bucket in sorted(self._weights.keys() | censored.keys()):
            end = 2 ** ((bucket + 0.5) / _STEPS)
            self._reach(found, sizes, distance, reached, end, share)
            distance += (end - reached) * share
            reached = end
            ended = self._weights.get(bucket, 0.0)
            if at_risk > 0:
                share *= max(0.0, 1 - ended / at_risk)
            at_risk -= ended + censored.get(bucket, 0.0)
        self._reach(found, sizes, distance, reached, math.inf, share)
        return found + [math.inf] * (len(sizes) - len(found))

    @staticmethod
    def _reach(
        found: list[float], sizes: Sequence[float], distance: float, reached: float, end: float,
        share: float,
    ) -> None:  # fmt: skip
        # Each look-up from `reached` to `end` adds a key of its own with the chance `share`.
        for size in sizes[len(found) :]:
            if share <= 0 or reached + (size - distance) / share > end:
                return
            found.append(reached + (size - distance) / share)


def _bucket(reuse: int) -> int:
    return int(math.log2(max(reuse, 1)) * _STEPS)
