"""`python -m bench.scale 50 200 500`: what so many routers cost a Prometheus.

    make prove-scale          (wants prometheus and promtool)

For each number a Prometheus of its own scrapes as many simulated routers under the deployed rules,
for `--seconds` after the first whole scrape. Figures are Prometheus' own. Its windows hold no more
than the run, so rules over hours are cheaper here than in their third hour: the last lines, of one
fleet scraped each second, have longer series.
"""

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass

from bench.scale.blocks import bytes_per_sample
from bench.scale.page import Page, take
from bench.scale.server import Reading, Server, running
from tests.helpers import eventually

_INTERVAL = 15


@dataclass(frozen=True, slots=True)
class Row:
    """What one fleet cost; rates are per second, sizes in bytes, `rules_seconds` per evaluation."""

    routers: int
    interval: int
    series: int
    samples_per_second: float
    memory: int
    cpu_share: float
    scrape_seconds: float
    wal_per_sample: float
    rules_seconds: float
    slowest_group: str
    slowest_seconds: float
    missed: int


def main() -> int:
    """Measure and print; 1 if an evaluation of rules was missed or a target not scraped."""
    parser = argparse.ArgumentParser(prog="python -m bench.scale")
    parser.add_argument("routers", nargs="*", type=int, default=[50, 200, 500])
    parser.add_argument("--seconds", type=float, default=90.0)
    parser.add_argument("--rate", type=float, default=100.0, help="requests per router and second")
    parser.add_argument("--fast", type=int, default=20, help="routers scraped each second; 0: none")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    page = take()
    samples, block_bytes = bytes_per_sample(page, args.rate, _INTERVAL)
    fleets = [(n, _INTERVAL) for n in args.routers] + ([(args.fast, 1)] if args.fast else [])
    rows = [_measure(page, n, args.rate, args.seconds, interval) for n, interval in fleets]
    if args.json:
        found = {"idle": page.idle, "working": len(page.lines), "block_bytes": block_bytes}
        json.dump({**found, "fleets": [asdict(row) for row in rows]}, sys.stdout, indent=2)
        print()
    else:
        print(f"one router: {page.idle} series idle, {len(page.lines)} at work")
        print(f"in a block of two hours, {samples:,} samples: {block_bytes:.2f} bytes per sample")
        for row in rows:
            _print(row)
    return 1 if any(row.missed for row in rows) else 0


def _measure(page: Page, routers: int, rate: float, seconds: float, interval: int) -> Row:
    with running(page, routers, rate, f"{interval}s") as server:
        eventually(lambda: _up(server, routers), 120)
        first = server.read()
        time.sleep(seconds)
        last = server.read()
        if server.up() != routers:
            raise RuntimeError(f"{server.up()} of {routers} routers were scraped in the end")
    return _row(routers, interval, first, last)


def _up(server: Server, routers: int) -> bool:
    return server.up() == routers


def _row(routers: int, interval: int, first: Reading, last: Reading) -> Row:
    passed, samples = last.at - first.at, last.samples - first.samples
    slowest = max(last.rules, key=lambda group: last.rules[group])
    return Row(
        routers,
        interval,
        int(last.series),
        samples / passed,
        int(last.memory),
        (last.cpu - first.cpu) / passed,
        last.scraped,
        (last.wal - first.wal) / samples,
        sum(last.rules.values()),
        slowest,
        last.rules[slowest],
        int(last.missed - first.missed),
    )


def _print(row: Row) -> None:
    print(
        f"{row.routers} routers each {row.interval} s: {row.series:,} series, "
        f"{row.samples_per_second:,.0f} samples/s, {row.memory / 2**20:.0f} MiB, "
        f"{100 * row.cpu_share:.1f} % of a core, scrape {1e3 * row.scrape_seconds:.1f} ms, "
        f"WAL {row.wal_per_sample:.1f} B/sample, rules {1e3 * row.rules_seconds:.0f} ms "
        f"(slowest {row.slowest_group} {1e3 * row.slowest_seconds:.0f} ms), {row.missed} missed"
    )


if __name__ == "__main__":
    sys.exit(main())
