"""What the key of a request context costs, relative to `str(sorted(items))` + md5.

    python bench/bench_keys.py [--rounds N] [--json] [--limit RATIO]

All contestants take turns within every round, so that a machine that slows down slows all of them;
a ratio is the median over the rounds of one contestant's time by the baseline's time in that round.
Compare ratios, not microseconds. Needs msgspec, orjson and xxhash.
"""

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple, TypeAlias

import orjson

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "cache"))

from routecache.keys import digest

Context: TypeAlias = dict[str, Any]
Contestant: TypeAlias = Callable[[Context], str]

_ROUND_SECONDS: Final = 0.004  # per contestant and round: well above the timer's noise

SMALL: Final[Context] = {"model": "gpt-4o-mini", "task": "chat", "user": "u-1842"}

MEDIUM: Final[Context] = {
    "model": "gpt-4o-mini",
    "task": "chat",
    "user": "u-1842",
    "tenant": "acme",
    "language": "en",
    "region": None,
    "stream": True,
    "temperature": 0.7,
    "max_tokens": 1024,
    "priority": 2,
    "tools": ["search", "calculator", "browser"],
    "budget": {"usd": 0.25, "latency_ms": 800, "tokens": 4000},
}

LARGE: Final[Context] = {
    **{f"field_{i * 37 % 57:02d}": f"value-{i}" if i % 3 == 0 else i for i in range(57)},
    "temperature": 0.2,
    "options": {"json": True, "seed": 7, "stop": ["\n\n", "END"]},
    "messages": [f"message {i}: " + "lorem ipsum dolor sit amet " * 3 for i in range(40)],
}

CONTEXTS: Final[Mapping[str, Context]] = {"small": SMALL, "medium": MEDIUM, "large": LARGE}

BASELINE: Final = "str(sorted(items)) + md5"
OURS: Final = "routecache digest"


def _baseline(context: Context) -> str:
    return hashlib.md5(str(sorted(context.items())).encode()).hexdigest()


def _json(context: Context) -> str:
    text = json.dumps(context, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _orjson(context: Context) -> str:
    data = orjson.dumps(context, option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _xxh3(context: Context) -> str:
    return digest(context, algorithm="xxh3")


CONTESTANTS: Final[Mapping[str, Contestant]] = {
    BASELINE: _baseline,
    "json.dumps(sort_keys, default=str) + blake2b": _json,
    "orjson sorted + blake2b": _orjson,
    OURS: digest,
    "routecache digest, xxh3": _xxh3,
}


class Result(NamedTuple):
    """One contestant on one context: median microseconds per call, median ratio to baseline."""

    context: str
    contestant: str
    microseconds: float
    ratio: float


def measure(name: str, context: Context, rounds: int) -> list[Result]:
    """Time all contestants on `context` in one interleaved run of `rounds` rounds."""
    calls = {
        contestant: max(1, int(_ROUND_SECONDS / _seconds(function, context, 200)))
        for contestant, function in CONTESTANTS.items()
    }
    times: dict[str, list[float]] = {contestant: [] for contestant in CONTESTANTS}
    for _ in range(rounds):
        for contestant, function in CONTESTANTS.items():
            times[contestant].append(_seconds(function, context, calls[contestant]))
    return [
        Result(
            name,
            contestant,
            median(took) * 1e6,
            median(t / base for t, base in zip(took, times[BASELINE], strict=True)),
        )
        for contestant, took in times.items()
    ]


def _seconds(function: Contestant, context: Context, calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        function(context)
    return (time.perf_counter() - start) / calls


def _table(results: Sequence[Result]) -> str:
    lines = [f"{'context':8} {'contestant':46} {'µs':>8} {'ratio':>6}"]
    lines += [
        f"{r.context:8} {r.contestant:46} {r.microseconds:8.2f} {r.ratio:6.2f}" for r in results
    ]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print. Returns 1 when `--limit` is given and our digest exceeds it, else 0."""
    parser = argparse.ArgumentParser(description="Cost of a context's key, relative to md5(str()).")
    parser.add_argument("--rounds", type=int, default=101, help="interleaved rounds (default 101)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--limit", type=float, help="fail when our digest's ratio exceeds this")
    options = parser.parse_args(argv)
    results = [
        result
        for name, context in CONTEXTS.items()
        for result in measure(name, context, options.rounds)
    ]
    if options.json:
        print(json.dumps([result._asdict() for result in results], indent=2))
    else:
        print(_table(results))
    worst = max(result.ratio for result in results if result.contestant == OURS)
    if options.limit is not None and worst > options.limit:
        print(f"{OURS}: ratio {worst:.2f} exceeds {options.limit}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
