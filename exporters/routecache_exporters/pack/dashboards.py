"""The dashboards as Grafana reads them: the templates beside this file, filled in for one `Config`.

`dashboards/` (not in the wheel: its SDK is for developers) makes the templates, dashboards in which
whatever the configuration decides is left open. What is open is written in the text:

    ⟦=alerts.Stampede.threshold⟧     a number of the configuration; also a product of several: a*b
    ⟦%objectives.lookup.budget⟧      the same in percent
    ⟦ms objectives.latency.within⟧   the same in milliseconds
    ⟦job⟧  ⟦others⟧  ⟦redis⟧         matchers that follow the variables: of routers, of routers
                                     without `job`, of the Redis exporter
    ⟦by cache⟧  ⟦level cache⟧        aggregation labels and more, in a grouping and a recorded name
    ⟦runbooks⟧  ⟦suffix⟧             the runbooks' folder, and what follows an alert's name there
    ⟦label⟧                          in the variables and in tables: once for each label but `job`

A string that is nothing but one number becomes a number.
"""

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import reduce
from importlib import resources
from typing import Any, Final

from routecache_exporters.pack.config import Config

_OPEN: Final = re.compile(r"⟦(=|%|ms |by ?|level ?|job|others|redis|runbooks|suffix)([^⟧]*)⟧")
_LABEL: Final = "⟦label⟧"


def templates() -> dict[str, Any]:
    """The templates by uid."""
    folder = resources.files("routecache_exporters.pack") / "boards"
    found = sorted(each.name for each in folder.iterdir() if each.name.endswith(".json"))
    loaded = (json.loads((folder / name).read_text(encoding="utf-8")) for name in found)
    return {each["uid"]: each for each in loaded}


def fill(template: Any, config: Config) -> Any:
    """The dashboard that `template` becomes under `config`.

    Raises KeyError if the template names what the configuration does not have: a mistake in it.
    """
    labels = [label for label in config.aggregation_labels if label != "job"]
    return _filled(template, config, labels)


def dumps(dashboard: Any) -> str:
    """The text of a dashboard's file."""
    return json.dumps(dashboard, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def number(config: Config, path: str) -> float:
    """The number, or the product of numbers, that `path` names: `a.b`, `a.0.b*c.d`."""
    return math.prod(float(_at(config, part)) for part in path.split("*"))


def _filled(node: Any, config: Config, labels: list[str]) -> Any:
    if isinstance(node, dict):
        return {
            key.replace(_LABEL, label) if label else key: _filled(
                _for_label(value, label, labels), config, labels
            )
            for key, value in node.items()
            for label in (labels if _LABEL in key else [""])
        }
    if isinstance(node, list):
        return [
            _filled(_for_label(item, label, labels), config, labels)
            for item in node
            for label in (labels if _is_per_label(item) else [""])
        ]
    return _text(node, config) if isinstance(node, str) else node


def _is_per_label(item: Any) -> bool:
    return item == _LABEL or (isinstance(item, dict) and item.get("name") == _LABEL)


def _for_label(node: Any, label: str, labels: list[str]) -> Any:
    """`node` for one label: itself, its name to be read, and the labels before it as matchers."""
    if not label:
        return node
    before = _matchers(labels[: labels.index(label)])
    text = json.dumps(node, ensure_ascii=False)
    for mark, value in ((_LABEL, label), ("⟦Label⟧", label.capitalize()), ("⟦before⟧", before)):
        text = text.replace(mark, json.dumps(value, ensure_ascii=False)[1:-1])
    return json.loads(text)


def _text(text: str, config: Config) -> str | float:
    alone = _OPEN.fullmatch(text)
    if alone and alone[1] == "=":
        return _integral(number(config, alone[2]))
    return _OPEN.sub(lambda found: _words(found[1].strip(), found[2], config), text)


def _words(kind: str, rest: str, config: Config) -> str:
    made: Mapping[str, Callable[[], str]] = {
        "=": lambda: _plain(config, rest),
        "%": lambda: f"{number(config, rest) * 100:.6g}%",
        "ms": lambda: f"{number(config, rest) * 1000:.6g} ms",
        "by": lambda: config.by(*rest.split()),
        "level": lambda: config.level(*rest.split()),
        "job": lambda: _matchers(config.aggregation_labels),
        "others": lambda: _matchers(label for label in config.aggregation_labels if label != "job"),
        "redis": lambda: "".join(f"{_matcher(label)}, " for label in config.redis_labels),
        "runbooks": lambda: config.urls.runbooks.replace(
            "{{ $externalURL }}", config.urls.prometheus
        ),
        "suffix": lambda: config.urls.runbook_suffix,
    }
    return made[kind]()


def _plain(config: Config, path: str) -> str:
    value = None if "*" in path else _at(config, path)
    return value if isinstance(value, str) else f"{number(config, path):.6g}"


def _matchers(labels: Iterable[str]) -> str:
    return ", ".join(map(_matcher, labels))


def _matcher(label: str) -> str:
    return f'{label}=~"${label}"'


def _integral(value: float) -> float:
    rounded = float(f"{value:.6g}")
    return int(rounded) if rounded.is_integer() else rounded


def _at(config: Config, path: str) -> Any:
    def step(node: Any, name: str) -> Any:
        if isinstance(node, Mapping):
            return node[name]
        if isinstance(node, tuple):
            return node[int(name)]
        if not hasattr(node, name):
            raise KeyError(path)
        return getattr(node, name)

    return reduce(step, path.split("."), config)


def marks(node: Any) -> Iterator[str]:
    """What is open in a template, or was forgotten in a dashboard."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from marks(key)
            yield from marks(value)
    elif isinstance(node, list):
        for item in node:
            yield from marks(item)
    elif isinstance(node, str):
        yield from re.findall(r"⟦[^⟧]*⟧", node)
