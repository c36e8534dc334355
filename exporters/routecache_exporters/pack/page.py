"""docs/alerts.md: every alert, what it needs, what holds it back."""

import re
from collections.abc import Iterator
from typing import Final

from routecache_exporters.pack.config import PREFIX, Config
from routecache_exporters.pack.groups import groups
from routecache_exporters.pack.masks import Mask
from routecache_exporters.pack.needs import families
from routecache_exporters.pack.rules import Alert, Group

_HEAD: Final = """\
# Alerts

**TL;DR** Critical pages a person, warning is a ticket, none reaches nobody. Written by `make
monitoring` from the code's own configuration (`exporters/routecache_exporters/pack/`); `make check`
fails if it is stale. `routecache rules --show-config` prints what can be chosen, `routecache rules
--config my.yaml --write DIR` writes rules with one's own choice.

Names are without their common prefix `RouteCache`, and link to the runbook. *threshold*: the limit
of the alert's number; *floor*: the traffic below which it stays silent.

| alert | severity | for | meaning | threshold | floor | held back by |
|---|---|---|---|---|---|---|
"""

_MASKS: Final = """
## What holds back what

A cause holds back the symptoms that it *explains*, within one fleet ({fleet}), for {memory} after
it fired: the slow windows of the objectives stay true that long. (A page that is not about an
objective is held back only while its cause itself fires.) What it *may bring along* is told all the
same. A ticket never holds back a page.

| cause | explains | may bring along |
|---|---|---|
"""

_FAMILIES: Final = """
## Drop a family, lose these alerts

| metric family | alerts |
|---|---|
"""

_GROUPS: Final = """
## Groups

One file each, to be installed one by one; a group reads the recorded series of those that it needs.

| file | alerts | needs |
|---|---|---|
"""

_PROOF: Final = """
## Seen to fire

Each alert but Watchdog and RecentCause, which notify nobody, has a fault of its own ([what was
seen](alerts-proven.md)): routers in processes of their own, Redis, its exporter, Prometheus,
Alertmanager and a webhook are started, the fault is put in and taken out again, and what was
notified is held against the masks above. With `prometheus`, `prometheus-alertmanager`,
`prometheus-redis-exporter` and `redis-server` on the PATH:

    make fault                      # which faults there are, and whose they are
    make fault FAULT=redis_slow     # one of them, in about 6 minutes
    make faults                     # all of them, and docs/alerts-proven.md

Whether anybody is notified when nothing is wrong is tried by `make quiet-healthy`, `make
quiet-rollout` and `make quiet-night`, each of which ends with a fault that has to be told
([results](alerts-proven.md#quiet-when-nothing-is-wrong)).
"""


def render(config: Config) -> str:
    """The page."""
    made = groups(config)
    alerts = [alert for group in made for alert in group.alerts]
    masks = _MASKS.format(fleet=f"equal {config.by()}", memory=config.memory)
    parts = (
        _HEAD, *(_alert(alert, config) for alert in alerts),
        masks, *_masks(config),
        _FAMILIES, *_lost(alerts, made),
        _GROUPS, *(_group(group) for group in made),
        _PROOF,
    )  # fmt: skip
    return "".join(parts)


def _row(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"


def _alert(alert: Alert, config: Config) -> str:
    limit = config.alerts.get(alert.name)
    threshold, floor = "", ""
    what, _, of_what = alert.limit.partition("; ")
    if limit is not None and limit.threshold is not None:
        threshold = f"{limit.threshold:g} {what}"
        floor = _rate(limit.floor, of_what) if limit.floor is not None else ""
    elif alert.limit:
        objective = config.objectives
        floors = {
            "LookupBudgetBurn": objective.lookup.floor,
            "LatencyBudgetBurn": objective.latency.floor,
            "FreshnessBudgetBurn": objective.freshness.floor,
        }
        threshold = _burns(alert, config) if alert.name in floors else alert.limit
        floor = _rate(floors[alert.name], "look-ups/s") if alert.name in floors else ""
    held = [cause for cause, mask in config.masks.items() if _holds(cause, mask, alert)]
    return _row(
        f"[{alert.name}](../deploy/runbooks/{PREFIX}{alert.name}.md)",
        alert.severity + (f", team {alert.team}" if alert.team else ""),
        alert.wait or "",
        re.sub(r"<(\w+)>", r"*\1*", alert.summary),
        threshold,
        floor,
        ", ".join(held),
    )


def _rate(number: float, what: str) -> str:
    return f"{number:g} {what.replace('s/s', '/s') if number == 1 else what}"


def _holds(cause: str, mask: Mask, alert: Alert) -> bool:
    own_ticket = alert.name != cause or alert.severity == "warning"
    return alert.name in mask.explains and own_ticket


def _burns(alert: Alert, config: Config) -> str:
    pairs = config.burns.page if alert.severity == "critical" else config.burns.ticket
    windows = " or ".join(f"{pair.factor:g} over {pair.long} and {pair.short}" for pair in pairs)
    return f"{alert.limit}: {windows}"


def _masks(config: Config) -> Iterator[str]:
    for cause, mask in config.masks.items():
        explains = [f"{name} (its ticket)" if name == cause else name for name in mask.explains]
        yield _row(cause, ", ".join(explains), ", ".join(mask.accompanies))


def _lost(alerts: list[Alert], made: list[Group]) -> Iterator[str]:
    lost: dict[str, list[str]] = {}
    for alert in alerts:
        for family in families(alert, made):
            names = lost.setdefault(family, [])
            if alert.name not in names:
                names.append(alert.name)
    for family in sorted(lost):
        yield _row(f"`{family}`", ", ".join(lost[family]))


def _group(group: Group) -> str:
    folder = "optional" if group.optional else "rules"
    names = dict.fromkeys(alert.name for alert in group.alerts)
    return _row(
        f"[{group.file}](../deploy/prometheus/{folder}/{group.file})",
        ", ".join(names),
        ", ".join(group.needs),
    )
