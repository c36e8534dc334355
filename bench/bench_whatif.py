"""The misses predicted for other sizes of L1, beside those of caches that have these sizes.

Run with `python -m bench.bench_whatif`; about a minute, `--quick` for a rough one.
"""

import argparse
import random
from collections.abc import Sequence
from itertools import accumulate

from routecache import BaseCacheManager
from routecache.local import L1Policy
from routecache.sizing import SCALES
from routecache.stats import stats_for
from routecache.testing import ManualTimer

SIZE = 100
LOOKUPS = 200_000
WORKLOADS: Sequence[tuple[str, int, float, float, L1Policy]] = (
    # what, keys, Zipf exponent, TTL in seconds, policy
    ("Zipf 0.99, LRU", 1000, 0.99, 1e6, "lru"),
    ("Zipf 0.99, SIEVE", 1000, 0.99, 1e6, "sieve"),
    ("Zipf 0.99, LFU", 1000, 0.99, 1e6, "lfu"),
    ("Zipf 0.7, SIEVE", 1000, 0.7, 1e6, "sieve"),
    ("Zipf 0.99, SIEVE, TTL of 20,000 look-ups", 1000, 0.99, 60.0, "sieve"),
    ("Zipf 1.2 of 3,000 keys, SIEVE", 3000, 1.2, 1e6, "sieve"),
)


def replay(name: str, size: int, trace: Sequence[str], policy: L1Policy, ttl: float) -> list[float]:
    """The real miss ratio, then the predicted ones, over the second half of the trace."""
    timer, middle = ManualTimer(), len(trace) // 2
    with BaseCacheManager(
        size, ttl, enable_redis=False, name=name, timer=timer, l1_policy=policy
    ) as cache:
        half = stats_for(name).snapshot()
        for i, key in enumerate(trace):
            timer.advance(0.003)
            cache.get_or_load(key, lambda: 1)
            if i == middle:
                half = stats_for(name).snapshot()
        whole = stats_for(name).snapshot()
    n = whole.requests - half.requests
    misses = [sum(whole.misses.values()) - sum(half.misses.values())]
    for scale in SCALES:
        key = f"{scale:g}"
        misses.append(whole.whatif_misses.get(key, 0) - half.whatif_misses.get(key, 0))
    return [m / n for m in misses]


def main() -> None:
    """Print real and predicted miss ratios for each workload, and the largest difference."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a fifth of the look-ups")
    lookups = LOOKUPS // 5 if parser.parse_args().quick else LOOKUPS
    print(f"{lookups:,} look-ups, L1 of {SIZE}; scales " + " ".join(f"{s:g}" for s in SCALES))
    for what, keys, exponent, ttl, policy in WORKLOADS:
        weights = list(accumulate(1 / (i + 1) ** exponent for i in range(keys)))
        drawn = random.Random(5).choices(range(keys), cum_weights=weights, k=lookups)
        trace = [str(key) for key in drawn]
        real = [
            replay(f"{what} {scale}", int(SIZE * scale), trace, policy, ttl)[0] for scale in SCALES
        ]
        predicted = replay(what, SIZE, trace, policy, ttl)[1:]
        worst = max(abs(r - p) for r, p in zip(real, predicted, strict=True))
        print(f"{what}: largest difference {worst:.3f}")
        print("  real      " + " ".join(f"{ratio:.3f}" for ratio in real))
        print("  predicted " + " ".join(f"{ratio:.3f}" for ratio in predicted))


if __name__ == "__main__":
    main()
