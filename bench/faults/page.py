"""What the faults' alerts were seen to do: kept as JSON, told as a page and drawn as a matrix.

python -m bench.faults.page [--check]
"""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from bench.faults import silence
from bench.faults.matrix import Row, drawn
from bench.faults.table import FAULTS, NOT_TOLD
from bench.faults.verdict import SETTLE, without_severity
from bench.faults.wave import Phases, Result
from routecache_exporters.pack.masks import MASKS

_ROOT: Final = Path(__file__).resolve().parents[2]
DATA: Final = _ROOT / "docs" / "alerts-proven.json"
PAGE: Final = _ROOT / "docs" / "alerts-proven.md"
PICTURE: Final = _ROOT / "docs" / "images" / "alerts-proven.svg"

_INTRODUCTION: Final = """\
# Alerts, proved by their faults

<!-- Written by `make faults`; edit bench/faults/page.py. -->

**{proved} of {alerts} alerts** were told under their own fault and resolved after it, in {rows} of
{faults} faults. A fault is put into a lane of its own: routers in processes of their own, their
Redis and its exporter. One Prometheus, one Alertmanager and a webhook watch all lanes with the
deployed rules, routes and inhibitions; a healthy and an idle lane beside them have to stay silent.
Durations are mapped, so that an hour passes in 20 s: scrapes and evaluations come every second,
`group_wait` is 8 s. Each lane is well for {healthy:g} s, ill for {fault:g} s, and watched for
{recovery:g} s or more afterwards. All times below are seconds of this mapped time.

An objective of 5 ms feels what else runs on a machine. So the watchers run when nothing else wants
the processor, and the lanes, where that is permitted, with a real-time priority (`chrt -r 1`).

    make fault FAULT=redis_slow    # one row
    make faults                    # all of them (FAULTS_ARGS="--lanes 3" at once on two processors)

A row is proved if its own alerts are told, whatever else is told is allowed by the masks
([Alerts](alerts.md)), no alert is told for the first time later than {settle:g} s after the fault's
end (the longest `for` of a symptom and `group_wait`, as mapped), all resolve, and the lanes without
a fault tell nothing. A negative time: the alert ended while its fault lasted. MissRatioJumped
compares with an hour before, and CacheCostsMoreThanItSaves looks back over one; an hour is 20 s
here, after which the ill lane is compared with itself.

![Which alert tells of which fault, and after how many seconds](images/alerts-proven.svg)

| fault | what happens | its alerts: told after, resolved after its end | what else was told, and who brings it along |
|---|---|---|---|
"""  # noqa: E501  # a row of a table is one line


def merge(result: Result, phases: Phases) -> None:
    """Keep what a wave saw, in place of what was seen of its faults before, and draw it all."""
    kept = load() if DATA.is_file() else {}
    seen: dict[str, Any] = {name: kept[name] for name in FAULTS if name in kept}
    for name, verdict in result.verdicts.items():
        seen[name] = {
            "alerts": list(FAULTS[name].alerts),
            "seconds": asdict(phases),
            "beside": len(result.verdicts) - 1,
            "noise": list(result.noise),
            **asdict(verdict),
            "brought": brought(FAULTS[name].alerts, verdict.fired),
        }
    ordered = {name: seen[name] for name in FAULTS if name in seen}
    DATA.write_text(json.dumps(ordered, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    for path, text in made().items():
        path.write_text(text, encoding="utf-8")


def brought(own: Sequence[str], fired: Iterable[str]) -> dict[str, str]:
    """Who brings along each alert that was told beside a fault's `own`, as the masks are now."""
    return {alert: _bringer(own, alert) for alert in fired if alert not in own}


def load() -> dict[str, Any]:
    """What was seen, by fault."""
    seen: dict[str, Any] = json.loads(DATA.read_text(encoding="utf-8"))
    return seen


def made() -> dict[Path, str]:
    """The generated files, from what is kept."""
    seen = load()
    return {PAGE: _page(seen), PICTURE: drawn(_rows(seen))}


def unproved(seen: Mapping[str, Any]) -> list[str]:
    """Faults that were not seen, or not as they should be."""
    return [
        name for name in FAULTS if name not in seen or seen[name]["problems"] or seen[name]["noise"]
    ]


def _rows(seen: Mapping[str, Any]) -> list[Row]:
    return [
        Row(name, tuple(row["alerts"]), row["fired"], not row["problems"])
        for name, row in seen.items()
    ]


def _page(seen: Mapping[str, Any]) -> str:
    bad = unproved(seen)
    alerts = {alert for fault in FAULTS.values() for alert in fault.alerts}
    proved = {a for name, row in seen.items() if name not in bad for a in row["alerts"]}
    seconds = next(iter(seen.values()))["seconds"]
    told = _INTRODUCTION.format(
        proved=len(proved), alerts=len(alerts), rows=len(FAULTS) - len(bad), faults=len(FAULTS),
        settle=SETTLE, **seconds,
    )  # fmt: skip
    lines = told.splitlines()
    for name, row in seen.items():
        own = "<br>".join(_times(alert, row) for alert in row["alerts"])
        others = [alert for alert in row["fired"] if alert not in row["alerts"]]
        beside = "<br>".join(f"{_times(alert, row)} ({row['brought'][alert]})" for alert in others)
        mark = "".join(f"<br>**{text}**" for text in (*row["problems"], *row["noise"]))
        lines.append(f"| `{name}` | {FAULTS[name].what} | {own}{mark} | {beside} |")
    if bad:
        lines += ["", "Not proved:", ""]
        lines += [f"- `{name}`: {'see its row' if name in seen else 'not tried'}." for name in bad]
    lines += ["", "Alerts without a fault:", ""]
    lines += [f"- `{alert}` {reason}." for alert, reason in NOT_TOLD.items()]
    lines += ["", *silence.section()]
    return "\n".join(lines).rstrip() + "\n"


def _times(alert: str, row: Mapping[str, Any]) -> str:
    fired, resolved = row["fired"].get(alert), row["resolved"].get(alert)
    told = "not told" if fired is None else f"{fired:.0f} s"
    return f"{alert}: {told}, {'not resolved' if resolved is None else f'{resolved:.0f} s'}"


def _bringer(causes: Iterable[str], symptom: str) -> str:
    """Who in the table of masks says that `symptom` may come beside `causes`."""
    name, ahead = without_severity(symptom), [without_severity(cause) for cause in causes]
    for cause in ahead:  # grows as it is read: what is brought along may bring along in turn
        mask = MASKS.get(cause)
        if cause == name:
            return f"{name} itself"
        if mask is not None and name in mask.accompanies:
            return cause
        if mask is not None:
            ahead += [other for other in mask.accompanies if other not in ahead]
    return "nobody"


def main(argv: Sequence[str]) -> int:
    """Write the generated files; with --check tell whether they are as they should be."""
    stale = [path for path, text in made().items() if _old(path) != text]
    if "--check" in argv:
        for path in stale:
            print(f"{path.relative_to(_ROOT)} is out of date: python -m bench.faults.page")
        return 1 if stale else 0
    for path, text in made().items():
        path.write_text(text, encoding="utf-8")
    return 0


def _old(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
