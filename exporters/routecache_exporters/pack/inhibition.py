"""Alertmanager's `inhibit_rules`, from the table of masks.

The source of an inhibition is RecentCause, which remembers a cause for hours. A page that is not
about an objective is held back only while its cause itself fires: its condition is about now, and
once the cause is over it is a fault of its own.
"""

from collections.abc import Iterator
from typing import Any, Final

from routecache_exporters.pack.check import OBJECTIVES, PAGES
from routecache_exporters.pack.config import PREFIX, Config
from routecache_exporters.pack.silent import LABELS, RECENT_CAUSE, causes

MARK: Final = "# From here on written by `routecache rules`; edit its table of masks."


def inhibit_rules(config: Config) -> list[dict[str, Any]]:
    """The rules, in the table's order."""
    return [rule for cause in causes(config) for rule in _of(cause, config)]


def _of(cause: str, config: Config) -> Iterator[dict[str, Any]]:
    explains = config.masks[cause].explains
    now = [name for name in explains if name in PAGES and name not in OBJECTIVES]
    later = [name for name in explains if name not in now]
    fleet = list(config.aggregation_labels)
    source = [f'alertname="{PREFIX}{RECENT_CAUSE}"', f'cause="{PREFIX}{cause}"']
    if cause in later:
        # A page and its own ticket: of the same cache or endpoint.
        later.remove(cause)
        twin = [label for label in LABELS if label != "cause"]
        yield _rule(source, _target([cause], ticket=True), fleet + twin)
    if later:
        yield _rule(source, _target(later, ticket=cause not in PAGES), fleet)
    if now:
        yield _rule([f'alertname="{PREFIX}{cause}"'], _target(now), fleet)


def _target(names: list[str], *, ticket: bool = False) -> list[str]:
    one = f'alertname="{PREFIX}{names[0]}"'
    several = f'alertname=~"{PREFIX}({"|".join(names)})"'
    matchers = [one if len(names) == 1 else several]
    return [*matchers, 'severity="warning"'] if ticket else matchers


def _rule(source: list[str], target: list[str], equal: list[str]) -> dict[str, Any]:
    return {"source_matchers": source, "target_matchers": target, "equal": equal}


def text(config: Config) -> str:
    """The section of alertmanager.yml."""
    lines = [MARK, "inhibit_rules:"]
    for rule in inhibit_rules(config):
        for index, key in enumerate(("source_matchers", "target_matchers")):
            lines.append(f"  {'-' if index == 0 else ' '} {key}:")
            lines += [f"      - '{matcher}'" for matcher in rule[key]]
        lines += [f"    equal: [{', '.join(rule['equal'])}]", ""]
    return "\n".join(lines[:-1]) + "\n"
