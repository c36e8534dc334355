"""What rules are made of, and how they are written down as a rule file of Prometheus."""

import json
import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from routecache_exporters.pack.config import PREFIX, Config, Duration
from routecache_exporters.pack.panels import PANELS

Severity: TypeAlias = Literal["critical", "warning", "none"]

_WIDTH: Final = 100
_PLACE: Final = re.compile(r"<(\w+)>")
_ACTION: Final = re.compile(r"\{\{.*?\}\}")
_VALUES: Final = {
    "percent": "$value | humanizePercentage",
    "number": "$value | humanize",
    "duration": "$value | humanizeDuration",
}


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording rule."""

    record: str
    expr: str


@dataclass(frozen=True, slots=True)
class Alert:
    """An alerting rule.

    name: without the prefix `RouteCache`.
    labels: that its series have beside the aggregation labels.
    wait: `for`; None fires at once.
    summary, description: `<label>` stands for a label's value; `<percent>`, `<number>` and
        `<duration>` for the alert's own.
    limit: what its threshold and its floor are held against, for docs/alerts.md.
    team: who acts on it, if not the routers' owners.
    """

    name: str
    severity: Severity
    expr: str
    wait: Duration | None
    summary: str
    description: str
    labels: tuple[str, ...] = ()
    limit: str = ""
    team: str = ""


Rule: TypeAlias = Recording | Alert


@dataclass(frozen=True, slots=True)
class Group:
    """Rules that are evaluated one after the other, in a file of their own.

    name: after `routecache-`.
    note: what stands above it in the file.
    needs: groups whose recorded series it reads.
    optional: it is not part of what everybody installs.
    """

    name: str
    note: str
    rules: Sequence[Rule]
    needs: tuple[str, ...] = ()
    optional: bool = False

    @property
    def file(self) -> str:
        """The name of its file."""
        return f"routecache-{self.name}.yml"

    @property
    def alerts(self) -> list[Alert]:
        """Its alerting rules."""
        return [rule for rule in self.rules if isinstance(rule, Alert)]


def text(group: Group, config: Config) -> str:
    """A group's file."""
    lines = ["# Written by `routecache rules`; edit its configuration, not this file."]
    lines += [f"# {line}" for line in textwrap.wrap(group.note, _WIDTH - 2)]
    if group.needs:
        lines.append(f"# Needs {', '.join(f'routecache-{name}.yml' for name in group.needs)}.")
    lines += ["groups:", f"  - name: routecache-{group.name}", "    rules:"]
    for rule in group.rules:
        lines += _recording(rule) if isinstance(rule, Recording) else _alert(rule, config)
        lines.append("")
    return "\n".join(lines)


def _recording(rule: Recording) -> Iterator[str]:
    yield f"      - record: {rule.record}"
    yield from _expression(rule.expr)


def _alert(alert: Alert, config: Config) -> Iterator[str]:
    yield f"      - alert: {PREFIX}{alert.name}"
    yield from _expression(alert.expr)
    if alert.wait is not None:
        yield f"        for: {alert.wait}"
    yield "        labels:"
    yield f"          severity: {alert.severity}"
    if alert.team:
        yield f"          team: {alert.team}"
    yield "        annotations:"
    for name, value in annotations(alert, config).items():
        quoted = f"          {name}: {json.dumps(value, ensure_ascii=False)}"
        if len(quoted) <= _WIDTH or " " not in value or name.endswith("url"):
            yield quoted
        else:
            yield f"          {name}: >-"
            yield from _folded(value)


def _folded(value: str) -> list[str]:
    """Lines of a folded scalar; a template's action stays in one."""
    kept = _ACTION.sub(lambda found: found[0].replace(" ", "\0"), value)
    indent = " " * 12
    lines = textwrap.wrap(
        kept, _WIDTH, initial_indent=indent, subsequent_indent=indent,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
    return [line.replace("\0", " ") for line in lines]


def _expression(expr: str) -> Iterator[str]:
    if "\n" not in expr and len(expr) < _WIDTH - 14:
        yield f"        expr: {expr}"
    else:
        yield "        expr: |-"
        yield from textwrap.indent(expr, " " * 10).splitlines()


def annotations(alert: Alert, config: Config) -> dict[str, str]:
    """An alert's annotations, as templates of Prometheus."""
    return {
        "summary": _template(alert.summary),
        "description": _template(alert.description),
        "runbook_url": config.runbook(alert.name),
        "dashboard_url": _dashboard(alert, config),
    }


def _dashboard(alert: Alert, config: Config) -> str:
    panel = PANELS[alert.name]
    address = f"{config.urls.dashboards}/{panel.dashboard}?viewPanel={panel.number}"
    if alert.severity == "none" or alert.team:
        return address  # these know no fleet
    for label in (*config.aggregation_labels, *({"cache"} & {*alert.labels})):
        # A target need not have a cluster or a namespace.
        address += f"{{{{ with $labels.{label} }}}}&var-{label}={{{{ . }}}}{{{{ end }}}}"
    return address


def _template(text_: str) -> str:
    return _PLACE.sub(
        lambda found: f"{{{{ {_VALUES.get(found[1], f'$labels.{found[1]}')} }}}}", text_
    )
