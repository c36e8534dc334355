"""Whether it was quiet when nothing was wrong: judged, kept as JSON, told on a page."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from bench.faults.night import CRAWL, HOURS
from bench.faults.trials import TRIALS
from bench.faults.verdict import without_severity

DATA: Final = Path(__file__).resolve().parents[2] / "docs" / "alerts-quiet.json"

_NIGHT: Final = (
    f"{HOURS} hours of a router from one morning into the next, recorded; by night it is asked an "
    "eighth as often as by day or less, and entries expire in between"
)
_CRAWL: Final = (
    f"at two in the night a client asks {CRAWL.rate:g} times a second for what nobody has asked for"
)

KINDS: Final[Mapping[str, tuple[str, str, str]]] = MappingProxyType(
    {name: (trial.what, trial.control, trial.alert) for name, trial in TRIALS.items()}
    | {
        "night": (_NIGHT, _CRAWL, "MissRatioJumped"),
    }
)
"""By trial: what goes on, its control, and the alert that has to tell of the control."""

_TITLE: Final = "## Quiet when nothing is wrong"

_INTRODUCTION: Final = """\
    make quiet-healthy quiet-rollout    # on the same stack, 30 minutes each, durations mapped
    make quiet-night                    # the deployed rules with their own windows and waits

Nobody is to be notified, and no alert is to fire behind the inhibitions either. Silence alone
proves nothing, so each trial has a control: a fault put into the lane at the end of its watch, or
into the same night, which has to be told. The night is played by the real caches on a clock that
is moved by hand and recorded once a minute from their exporter; `promtool test rules` evaluates
every rule at every minute of it. What an L2 in memory does not tell (circuits, listeners and the
Redis exporter) stands in the record as it is when all is well."""


@dataclass(frozen=True, slots=True)
class Watched:
    """What was seen of one lane that nothing was wrong with.

    seconds: that it was watched.
    told: alerts that somebody was notified of.
    noise: alerts of no trial's lane, or of the idle one.
    held: alerts that fired, whether or not they were told.
    lookups: that were asked meanwhile.
    unevaluated: evaluations of rules that failed; -1 if nobody counted.
    times: how often what keeps the lane busy was done.
    heard: seconds from the control, a fault put in at the end, to its notification; None: it was
        not told.
    """

    seconds: float
    told: tuple[str, ...]
    noise: tuple[str, ...]
    held: tuple[str, ...]
    lookups: int
    unevaluated: int
    times: int
    heard: float | None


def problems(watched: Watched) -> list[str]:
    """Why this is no proof of quiet; nothing if it is one."""
    found = [f"{alert} was told" for alert in watched.told]
    found += [f"{alert} was told beside it" for alert in watched.noise]
    told = {without_severity(alert) for alert in watched.told}
    found += [f"{alert} fired" for alert in watched.held if alert not in told]
    if watched.lookups <= 0:
        found.append("nothing was asked")
    if watched.unevaluated:
        found.append("not every rule was evaluated")
    if watched.heard is None:
        found.append("the control was not told, so the silence proves nothing")
    return found


def merge(seen: Mapping[str, Watched]) -> None:
    """Keep what was seen in place of what was seen of these trials before."""
    kept = load() | {name: asdict(watched) for name, watched in seen.items()}
    text = json.dumps(kept, indent=1, ensure_ascii=False)
    DATA.write_text(f"{text}\n", encoding="utf-8")


def load() -> dict[str, Any]:
    """What was seen, by trial; nothing if nothing was kept."""
    if not DATA.is_file():
        return {}
    kept: dict[str, Any] = json.loads(DATA.read_text(encoding="utf-8"))
    return kept


def section() -> list[str]:
    """What is kept, as lines of a page; nothing if nothing is kept."""
    kept = load()
    if not kept:
        return []
    lines = [
        _TITLE, "", *_INTRODUCTION.splitlines(), "",
        "| trial | what goes on | watched | look-ups | notified, or fired | control: told after |",
        "|---|---|---|---|---|---|",
    ]  # fmt: skip
    lines += [_row(name, Watched(**kept[name])) for name in KINDS if name in kept]
    missing = [f"`{name}`" for name in KINDS if name not in kept]
    return [*lines, "", f"Not tried: {', '.join(missing)}."] if missing else lines


def _row(name: str, watched: Watched) -> str:
    what, control, alert = KINDS[name]
    if watched.times:
        what = f"{what} ({watched.times} times)"
    told = "not told" if watched.heard is None else f"{alert}, {_span(watched.heard)}"
    bad = "<br>".join(f"**{text}**" for text in problems(watched)) or "0"
    return (
        f"| `{name}` | {what} | {_span(watched.seconds)} | {watched.lookups:,} | {bad} | "
        f"{control}: {told} |"
    )


def _span(seconds: float) -> str:
    """A length of time in the largest unit that gives two or more of it."""
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
