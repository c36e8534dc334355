"""The catalogue as OpenTelemetry instruments: names, kinds and units. Knows no OpenTelemetry.

One rule makes every name: the catalogue's without `_total` and without its unit, and with dots. So
whatever turns OTLP into Prometheus series (the Collector, Prometheus itself) puts both back, and
rules and dashboards written for our page find the same names. That is also why no unit is `1`:
translated, a gauge of unit 1 gets the suffix `_ratio`.

The API has no observable histogram (open-telemetry/opentelemetry-specification#2713). One is
observed as what it consists of, three counters: `.count`, `.sum`, and `.bucket` with the attribute
`le`, cumulative over it as in Prometheus. `histograms.py` puts them together again.
"""

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from routecache_exporters.catalog import METRICS
from routecache_exporters.metric import Metric

SCOPE: Final = "routecache"
"""The name of the instrumentation scope."""
LE: Final = "le"

Kind: TypeAlias = Literal["counter", "up_down_counter", "gauge"]
Part: TypeAlias = Literal["value", "count", "sum", "bucket"]

_UCUM: Final = {"seconds": "s", "bytes": "By"}
# What is counted, where the name does not end in its plural.
_COUNTED: Final = {
    "coalesced": "{request}",
    "in_flight": "{load}",
    "pending": "{key}",
    "reconnects": "{reconnection}",
    "overflow": "{value}",
    "published": "{invalidation}",
    "received": "{invalidation}",
    "healthy": "",
    "success": "",
    "info": "",
}


@dataclass(frozen=True, slots=True)
class Instrument:
    """One instrument: which `part` of which `metric` it observes, and how it is called."""

    name: str
    kind: Kind
    unit: str
    description: str
    metric: Metric
    part: Part = "value"


def base_name(metric: Metric) -> str:
    """The metric's name in OpenTelemetry; a histogram's parts have a suffix to it."""
    name = metric.name.removesuffix("_total")
    if metric.unit:
        name = name.removesuffix("_" + metric.unit)
    return name.replace("_", ".")


def unit(metric: Metric) -> str:
    """The metric's unit in UCUM; `{…}` says what is counted, "" that it is a flag."""
    words = metric.name.removesuffix("_total").removesuffix("_info").split("_")
    if metric.type == "info":
        return ""
    for word in (metric.unit, *words):
        if word in _UCUM:
            return _UCUM[word]
    ending = "_".join(words)
    for counted, said in _COUNTED.items():
        if ending.endswith("_" + counted):
            return said
    return "{" + _singular(words[-1]) + "}"


def _singular(word: str) -> str:
    if word.endswith("ies"):
        return word[:-3] + "y"
    if word.endswith(("sses", "shes")):
        return word[:-2]
    return word.removesuffix("s")


def instruments() -> tuple[Instrument, ...]:
    """All instruments, in the catalogue's order."""
    return tuple(instrument for metric in METRICS for instrument in _of(metric))


def _of(metric: Metric) -> tuple[Instrument, ...]:
    name = base_name(metric)
    if metric.type == "histogram":
        said = metric.help
        number = "{observation}"
        return (
            Instrument(f"{name}.count", "counter", number, f"{said} (number)", metric, "count"),
            Instrument(f"{name}.sum", "counter", unit(metric), f"{said} (sum)", metric, "sum"),
            Instrument(
                f"{name}.bucket", "counter", number, f"{said} (number up to le)", metric, "bucket"
            ),
        )
    kind: Kind = "counter"
    if metric.type != "counter":
        sums = metric.type == "gauge" and metric.aggregation == "sum"
        kind = "up_down_counter" if sums else "gauge"
    return (Instrument(name, kind, unit(metric), metric.help, metric),)
