"""Whether a configuration can work, beyond the kinds of its values."""

import re
from collections.abc import Iterator
from typing import Final

from routecache.errors import ConfigurationError
from routecache.stats import LAG_BOUNDS, REQUEST_BOUNDS
from routecache_exporters.pack.config import Config, seconds
from routecache_exporters.pack.masks import CAUSES, mistakes

_LABEL: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_REPLICA: Final = ("instance", "pod", "container", "endpoint")
_OURS: Final = ("cache", "l2", "le", "tier", "reason", "cause", "severity", "alertname")
_SAMPLES: Final = 4

OBJECTIVES: Final = ("LookupBudgetBurn", "LatencyBudgetBurn", "FreshnessBudgetBurn")
"""The alerts on an objective's budget: each is a page and a ticket."""

PAGES: Final = (*OBJECTIVES, "L2Down", "InvalidationStalled")
"""The alerts that can page a person."""


def check(config: Config) -> None:
    """Raise ConfigurationError for the first thing that cannot work."""
    for sentence in _problems(config):
        raise ConfigurationError(sentence)


def _problems(config: Config) -> Iterator[str]:
    yield from _labels(config)
    yield from _objectives(config)
    yield from _burns(config)
    yield from _limits(config)
    yield from mistakes(config.masks, PAGES, CAUSES)
    for name, value in (("jobs.routers", config.jobs.routers), ("jobs.redis", config.jobs.redis)):
        if not value or '"' in value or "\\" in value:
            yield f"{name}: give a job's name, without quotes and backslashes"


def _labels(config: Config) -> Iterator[str]:
    labels = config.aggregation_labels
    if "job" not in labels:
        yield "aggregation_labels: job must be among them"
    for key, list_ in (("aggregation_labels", labels), ("redis_labels", config.redis_labels)):
        for label in list_:
            if not _LABEL.fullmatch(label):
                yield f"{key}: {label!r} is no label"
            if label in _REPLICA:
                yield f"{key}: {label} is a replica's; each roll-out would start new series"
            if label in _OURS:
                yield f"{key}: {label} is one of the metrics' own labels"
        if len(set(list_)) < len(list_):
            yield f"{key}: a label is there twice"
    if not set(config.redis_labels) < set(labels):
        yield "redis_labels: name some of aggregation_labels, those that Redis exporters have too"


def _objectives(config: Config) -> Iterator[str]:
    for name, bounds in (("lookup", ()), ("latency", REQUEST_BOUNDS), ("freshness", LAG_BOUNDS)):
        objective = getattr(config.objectives, name)
        if not 0 < objective.target < 1:
            yield f"objectives.{name}.target: give a share above 0 and below 1"
        if objective.floor < 0:
            yield f"objectives.{name}.floor: give 0 or more look-ups per second"
        if bounds and objective.within not in bounds:
            allowed = ", ".join(f"{bound:g}" for bound in bounds)
            yield f"objectives.{name}.within: a histogram can tell {allowed} only"


def _burns(config: Config) -> Iterator[str]:
    shortest = _SAMPLES * seconds(config.scrape_interval)
    for key in ("page", "ticket"):
        for burn in getattr(config.burns, key):
            if seconds(burn.short) >= seconds(burn.long):
                yield f"burns.{key}: the short window {burn.short} is not shorter than {burn.long}"
            if burn.factor <= 0:
                yield f"burns.{key}: give a factor above 0"
    windows = {"burns": config.windows[0], "window": config.window, "miss_ratio.window":
               config.miss_ratio.window}  # fmt: skip
    for key, window in windows.items():
        if seconds(window) < shortest:
            yield f"{key}: {window} is shorter than {_SAMPLES} scrape intervals"
    if seconds(config.burns.budget_window) < seconds(config.windows[-1]):
        yield "burns.budget_window: shorter than the longest window"


def _limits(config: Config) -> Iterator[str]:
    for name, limit in config.alerts.items():
        for key in ("threshold", "floor"):
            value = getattr(limit, key)
            if value is not None and value < 0:
                yield f"alerts.{name}.{key}: give 0 or more"
