"""Are the figures of docs/tuning.md what `routecache tune` and `replay` say of the two real logs?

    python -m bench.tuning_page azure-llm-2023-code.csv azure-llm-2023-conv.csv

Computes each row and sentence anew, names those that do not stand on the page, and then fails. What
was replayed with Redis depends on the machine and is left out. Takes about a minute.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

PAGE: Final = Path(__file__).resolve().parents[1] / "docs/tuning.md"
CONTEXT: Final = "ContextTokens:100"
SHOWN: Final = (10, 25, 50, 100)  # entries of L1 that the grid's columns are of
ROWS: Final = (30, 60, 180, 300, 600, 1200)  # its life times


def missing(text: str, told: Iterator[str]) -> list[str]:
    """Those of `told` that do not stand in `text`, however its lines are broken."""
    page = " ".join(text.split())
    return [each for each in told if " ".join(each.split()) not in page]


def told_of(code: Path, conversation: Path) -> Iterator[str]:
    """What the page has to say of the two logs."""
    logs = {"code": code, "conversation": conversation}
    for name, log in logs.items():
        yield from grid_rows(name, tune(log)["caches"]["model"]["grid"])
    for name, log in logs.items():
        yield from predictions(name, log)
    yield from _sentences(code)


def tune(log: Path, *arguments: str, context: str = CONTEXT) -> dict[str, Any]:
    """The report of `routecache tune` as JSON; having no recommendation is no failure."""
    return _run(["tune", str(log), "--context", context, *arguments, "--json"], {}, allowed=(0, 1))


def grid_rows(name: str, grid: list[dict[str, Any]]) -> Iterator[str]:
    """The rows of a log's model selections, a life time each."""
    cells = {(cell["ttl"], cell["size"]): cell for cell in grid}
    for ttl in ROWS:
        row = [cells[ttl, size] for size in SHOWN]
        most = row[-1]
        yield " | ".join(
            [
                f"| {name if ttl == ROWS[0] else ''}",
                f"{ttl} s{' (default)' if ttl == 180 else ''}",
                *(f"{100 * cell['l1_hit_ratio']:.1f} %" for cell in row),
                f"{100 * most['hit_ratio']:.1f} %",
                f"{1000 * (1 - most['hit_ratio']):.0f}",
                f"{most['loads_saved']:,}",
                f"{most['mean_age']:.0f} s",
                f"{most['max_age']:.0f} s |",
            ]
        )


def predictions(name: str, log: Path) -> Iterator[str]:
    """For each cache what is recommended, predicted and replayed, up to what Redis replayed."""
    shared = tune(log)["caches"]
    variables, sizes = {}, []
    for cache, found in shared.items():
        chosen = found["recommended"]
        variables[f"ROUTING_CACHE_{cache.upper()}_TTL_SECS"] = f"{chosen['ttl']:g}"
        sizes.append(f"{cache}={chosen['size']}")
    without = tune(log, "--no-redis")["caches"]
    words = ["replay", str(log), "--context", CONTEXT, "--timestamp", "TIMESTAMP"]
    words += ["--sizes", ",".join(sizes), "--speed", "log", "--no-redis", "--no-metrics", "--json"]
    alone = _run(words, variables)["caches"]
    for i, (cache, found) in enumerate(shared.items()):
        chosen = found["recommended"]
        predicted = next(
            cell for cell in without[cache]["grid"]
            if (cell["ttl"], cell["size"]) == (chosen["ttl"], chosen["size"])
        )  # fmt: skip
        replayed = alone[cache]
        loads = sum(replayed["misses"].values())
        yield (
            f"| {'' if i else name} | {cache} | {chosen['ttl']:g} s, {chosen['size']} "
            f"| {_loads(predicted['loads'], predicted)} | {_loads(loads, replayed)} "
            f"| {_loads(chosen['loads'], chosen)} |"
        )
        yield f"| {chosen['hits']['l1']:,} / {chosen['hits']['l2']:,} |"


def _run(
    words: list[str], variables: Mapping[str, str], allowed: tuple[int, ...] = (0,)
) -> dict[str, Any]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if name != "REDIS_URL" and not name.startswith("ROUTING_CACHE_")
    }
    done = subprocess.run(
        [sys.executable, "-m", "routecache_exporters.cli", *words],
        check=False, stdout=subprocess.PIPE, text=True, env={**kept, **variables},
    )  # fmt: skip
    if done.returncode not in allowed:
        raise SystemExit(f"routecache {shlex.join(words)} failed")
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def _loads(loads: int, told: Mapping[str, Any]) -> str:
    return f"{loads:,}, {100 * told['hit_ratio']:.2f} %"


def _sentences(code: Path) -> Iterator[str]:
    raw, hundreds, doubling = (
        tune(code, context=f"ContextTokens{bucket}")["caches"]["model"]["in_force"]
        for bucket in ("", ":100", ":pow2")
    )
    yield (
        f"a hit ratio of {100 * raw['hit_ratio']:.1f} %, multiples of 100 give "
        f"{100 * hundreds['hit_ratio']:.1f} %, powers of two {100 * doubling['hit_ratio']:.1f} %"
    )
    changes = ("--changes-every", "provider=3600,model=86400,fallback=86400", "--max-outdated", "2")
    provider, model = (tune(code, *changes)["caches"][name] for name in ("provider", "model"))
    now, then = provider["in_force"], provider["recommended"]
    yield f"At the default of {now['ttl']:g} s {100 * now['outdated_share']:.2f} % of the statuses"
    yield (
        f"{then['ttl']:g} s gives {100 * then['outdated_share']:.2f} % for {then['loads']} loads "
        f"an hour instead of {now['loads']}"
    )
    stays = model["recommended"]
    yield f"stay at {stays['ttl']:g} s, with {100 * stays['outdated_share']:.2f} % outdated"
    enough = tune(code, "--min-hit-ratio", "90")["caches"]
    status = enough["provider"]["recommended"]
    yield (
        f"{enough['model']['recommended']['ttl']:g} s for model selections, the default, and "
        f"{status['ttl']:g} s for provider status, whose answers are then "
        f"{status['mean_age']:.0f} s old"
    )
    four = tune(code, "--workers", "4")["caches"]["model"]["in_force"]
    apart = tune(code, "--workers", "4", "--no-redis")["caches"]["model"]["in_force"]
    yield f"{four['loads']} model selections at the default settings"
    yield (
        f"answers {100 * four['l1_hit_ratio']:.1f} % of the look-ups instead of "
        f"{100 * hundreds['l1_hit_ratio']:.1f} %, Redis the rest. Without Redis they load "
        f"{apart['loads']:,}"
    )


def main() -> int:
    """0 if all that was computed stands on the page."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("code", type=Path)
    parser.add_argument("conversation", type=Path)
    args = parser.parse_args()
    lost = missing(PAGE.read_text(encoding="utf-8"), told_of(args.code, args.conversation))
    for each in lost:
        print(f"not on the page: {each}")
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
