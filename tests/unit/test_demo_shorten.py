"""The map from deployed windows to the demo's, and that no duration escapes it."""

import re
from typing import Any

import pytest
import yaml

from routecache_exporters.demo.deployed import deployed
from routecache_exporters.demo.shorten import (
    RANGES,
    WAITS,
    shorten_expression,
    shorten_groups,
)

DURATIONS = re.compile(r"\d+(?:ms|[smhdwy])")


def rule_files() -> list[dict[str, Any]]:
    directory = deployed("prometheus", "rules")
    assert directory is not None
    return [yaml.safe_load(path.read_text()) for path in sorted(directory.glob("*.yml"))]


@pytest.mark.parametrize(
    ("deployed_range", "demo"),
    [
        ("5m", "5s"), ("30m", "12s"), ("1h", "20s"), ("2h", "25s"), ("6h", "40s"), ("1d", "60s"),
        ("3d", "90s"), ("1h30m", "23s"), ("1m", "4s"), ("10m", "8s"), ("30s", "4s"), ("1w", "124s"),
    ],
)  # fmt: skip
def test_ranges(deployed_range: str, demo: str) -> None:
    assert shorten_expression(f"rate(x[{deployed_range}])") == f"rate(x[{demo}])"


def test_offsets_and_subqueries() -> None:
    assert shorten_expression("x offset 1h") == "x offset 20s"
    assert shorten_expression("x offset -1h30m") == "x offset -23s"
    assert shorten_expression("max_over_time(x[6h:5m])") == "max_over_time(x[40s:5s])"


def test_names_strings_and_numbers_stay() -> None:
    expression = """a:b:rate5m{x=~"[5m]", y='1h', z="\\"[5m]"} > 14.4 * 0.001 + 5"""
    assert shorten_expression(expression) == expression


def test_the_order_of_durations_is_kept() -> None:
    def mapped(seconds: int) -> int:
        return int(shorten_expression(f"x[{seconds}s]")[2:-2])

    mapped_durations = [mapped(seconds) for seconds in range(60, 800_000, 977)]
    assert mapped_durations == sorted(mapped_durations)
    assert {seconds: mapped(seconds) for seconds in RANGES} == RANGES


def test_waits_and_intervals() -> None:
    rules = {
        "groups": [
            {
                "name": "g",
                "interval": "1m",
                "rules": [
                    {"alert": "A", "expr": "x", "for": wait, "keep_firing_for": "5m"}
                    for wait in ("2m", "15m", "1h", "0s", "1m", "0")
                ],
            }
        ]
    }
    group = shorten_groups(rules)["groups"][0]
    assert "interval" not in group
    assert [rule["for"] for rule in group["rules"]] == ["2s", "6s", "12s", "0s", "1s", "0s"]
    assert {rule["keep_firing_for"] for rule in group["rules"]} == {"4s"}
    assert rules["groups"][0]["interval"] == "1m"


def test_every_duration_of_the_deployed_rules_is_shortened() -> None:
    """No literal duration of the real rules is left as it was, and nothing waits for minutes."""
    assert rule_files()
    for content in rule_files():
        for old, new in zip(content["groups"], shorten_groups(content)["groups"], strict=True):
            for was, rule in zip(old["rules"], new["rules"], strict=True):
                literals = re.findall(r"\[[^\]]*\]|offset\s+\S+", str(was["expr"]))
                shortened = re.findall(r"\[[^\]]*\]|offset\s+\S+", rule["expr"])
                for literal, short in zip(literals, shortened, strict=True):
                    assert DURATIONS.findall(literal) != DURATIONS.findall(short), rule
                    assert all(text.endswith("s") for text in DURATIONS.findall(short))
                if "for" in was:
                    assert int(rule["for"][:-1]) <= max(WAITS.values())
