"""The command: evaluates the deployed rules over a recorded night, and tells which alerts fired.

python -m bench.faults.overnight [--write] [--keep DIRECTORY]

The windows and waits are the deployed ones, unmapped. The judge is `promtool test rules`: it runs
Prometheus' own rule engine over the record, step by step, with `for`, recorded series and the
alerts' own series. A Prometheus that is started on a backfilled record evaluates rules at the
present moment only, and asking it for an alert's expression over the past leaves `for`, and what
reads ALERTS, to whoever asks. An alert that never fires is never notified, whatever is held back.

The record is quiet only if the same night with a fault in it is not: it is played twice.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from bench.faults import silence
from bench.faults.night import CRAWL, EVERY, HOURS, STEPS, Crawl, Recorder, Series, hour_of_day
from routecache_exporters.pack.config import PREFIX

_RULES: Final = Path(__file__).resolve().parents[2] / "deploy" / "prometheus" / "rules"
_WATCHDOG: Final = f"{PREFIX}Watchdog"
_EPOCH: Final = 1_735_707_600
"""Where the backfilled record begins, in seconds: five o'clock, in UTC."""


@dataclass(frozen=True, slots=True)
class Night:
    """A night as it was recorded: its series, and how many look-ups it had."""

    series: Mapping[Series, Sequence[float | None]]
    lookups: int


def record(crawl: Crawl | None) -> Night:
    """Play one night, with a fault or without."""
    recorder = Recorder(crawl)
    recorder.play()
    return Night(recorder.series, recorder.lookups)


def fired(night: Night, steps: int = STEPS) -> dict[str, float]:
    """Alerts that fired in the first `steps` of the record, and after how many seconds.

    Raises:
        RuntimeError: promtool did not evaluate the rules at every step.
    """
    files = sorted(_RULES.glob("*.yml"))
    groups = [group["name"] for path in files for group in _loaded(path)["groups"]]
    end = int((steps - 1) * EVERY)
    firing = f"timestamp(ALERTS{{alertstate='firing', alertname!='{_WATCHDOG}'}})"
    asked = f"min by (alertname) (min_over_time(({firing})[{end}s:{int(EVERY)}s]))"
    # Exactly one per step: promtool evaluates the first and the last, too.
    evaluated = f"count_over_time(ALERTS{{alertname='{_WATCHDOG}'}}[{end + 1}s])"
    labels = f'{{alertname="{_WATCHDOG}", alertstate="firing", severity="none"}}'
    expected = {"labels": labels, "value": steps}
    test = {
        "interval": f"{int(EVERY)}s",
        "input_series": list(_notation(night.series)),
        "promql_expr_test": [
            {"expr": asked, "eval_time": f"{end}s", "exp_samples": []},
            {"expr": evaluated, "eval_time": f"{end}s", "exp_samples": [expected]},
        ],
    }
    whole = {
        "rule_files": [str(path) for path in files],
        "evaluation_interval": f"{int(EVERY)}s",
        "group_eval_order": groups,
        "tests": [test],
    }
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "night.yml"
        path.write_text(json.dumps(whole), encoding="utf-8")
        done = subprocess.run(
            ["promtool", "test", "rules", path], capture_output=True, text=True, check=False
        )
    return _told(done.stdout + done.stderr, done.returncode)


def _loaded(path: Path) -> Any:
    return yaml.safe_load(path.read_text("utf-8"))


def _told(output: str, code: int) -> dict[str, float]:
    """What promtool says that it got instead of nothing."""
    found = {
        name.removeprefix(PREFIX): float(value)
        for name, value in re.findall(r'\{alertname="(\w+)"\} (\S+)', output)
    }
    # The one failure that may be is the first question's, which asks for what there should not be.
    if output.count("expr: ") != bool(found) or (code != 0) != bool(found):
        raise RuntimeError(f"promtool: {output[-2000:]}")
    return found


def _notation(series: Mapping[Series, Sequence[float | None]]) -> Iterator[dict[str, str]]:
    for each, values in series.items():
        words = " ".join("_" if value is None else repr(value) for value in values)
        yield {"series": _name(each), "values": words}


def _name(series: Series) -> str:
    name, labels = series
    return f"{name}{{{','.join(f'{label}={json.dumps(value)}' for label, value in labels)}}}"


def backfill(night: Night, directory: Path) -> None:
    """Make blocks of a record, for a Prometheus started on `directory` to show.

    Raises:
        subprocess.CalledProcessError: promtool refused it.
    """
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "night.om"
        with path.open("w", encoding="utf-8") as stream:
            stream.writelines(_open_metrics(night.series))
        subprocess.run(
            ["promtool", "tsdb", "create-blocks-from", "openmetrics", "-q", path, directory],
            check=True,
        )


def _open_metrics(series: Mapping[Series, Sequence[float | None]]) -> Iterator[str]:
    names = {each: _name(each) for each in series}
    for step in range(STEPS):
        at = _EPOCH + int(step * EVERY)
        for each, values in series.items():
            if values[step] is not None:
                yield f"{names[each]} {values[step]!r} {at}\n"
    yield "# EOF\n"


def clock(seconds: float) -> str:
    """The time of day so many seconds after the record's begin."""
    minutes = round(hour_of_day(seconds) * 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def watched(quiet: Night, alerts: Iterable[str], control: Mapping[str, float]) -> silence.Watched:
    """What two nights say: the alerts of the quiet one, and those of the one with the fault."""
    told = control.get("MissRatioJumped")
    heard = None if told is None else told - CRAWL.begins * 3600
    found = tuple(sorted(alerts))
    return silence.Watched(
        seconds=HOURS * 3600.0, told=(), noise=(), held=found, lookups=quiet.lookups,
        unevaluated=0, times=0, heard=heard if heard is not None and heard >= 0 else None,
    )  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Play both nights and judge them. 1 if the quiet one was not, or the other one was."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.faults.overnight", description="Prove that a quiet night stays quiet."
    )
    parser.add_argument("--write", action="store_true", help=f"write it to {silence.DATA}")
    parser.add_argument(
        "--keep", type=Path, metavar="DIRECTORY",
        help="leave the quiet night there, for `prometheus --storage.tsdb.path=DIRECTORY "
        "--storage.tsdb.retention.time=100y`",
    )  # fmt: skip
    options = parser.parse_args(argv)
    with ProcessPoolExecutor(2) as pool:
        quiet, ill = pool.map(record, (None, CRAWL))
        alerts, control = pool.map(fired, (quiet, ill))
    if options.keep is not None:
        backfill(quiet, options.keep)
    seen = watched(quiet, alerts, control)
    print(f"{quiet.lookups} look-ups in {HOURS} h, {len(quiet.series)} series, {STEPS} evaluations")
    for title, found in (("the quiet night", alerts), ("with a crawl from two to three", control)):
        told = ", ".join(f"{name} from {clock(at)}" for name, at in found.items())
        print(f"{title}: fired: {told or 'nothing'}")
    for text in silence.problems(seen):
        print(f"night: {text}")
    if options.write:
        silence.merge({"night": seen})
    return 1 if silence.problems(seen) else 0


if __name__ == "__main__":
    sys.exit(main())
