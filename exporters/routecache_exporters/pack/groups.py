"""All groups of rules."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from routecache_exporters.pack import objectives
from routecache_exporters.pack.capacity import capacity
from routecache_exporters.pack.coherence import coherence, providers
from routecache_exporters.pack.config import Config
from routecache_exporters.pack.l2 import l2, redis
from routecache_exporters.pack.loaders import loaders
from routecache_exporters.pack.rules import Alert, Group, text
from routecache_exporters.pack.scraping import scrape
from routecache_exporters.pack.silent import silent

_GROUPS: Final[tuple[Callable[[Config], Group], ...]] = (
    objectives.requests,
    objectives.lookup,
    objectives.latency,
    objectives.freshness,
    l2,
    redis,
    coherence,
    capacity,
    loaders,
    scrape,
    silent,
    providers,
)


def groups(config: Config, *, optional: bool = True) -> list[Group]:
    """The groups, in an order in which each comes after those that it needs.

    Alerts that the configuration disables are left out, and a group without rules.
    """
    made = [_enabled(make(config), config) for make in _GROUPS]
    return [group for group in made if group.rules and (optional or not group.optional)]


def _enabled(group: Group, config: Config) -> Group:
    kept = [
        rule
        for rule in group.rules
        if not isinstance(rule, Alert)
        or rule.name not in config.alerts
        or config.alerts[rule.name].enabled
    ]
    return replace(group, rules=kept)


def files(config: Config, *, optional: bool = False) -> dict[str, str]:
    """The rule files by name."""
    return {group.file: text(group, config) for group in groups(config, optional=optional)}
