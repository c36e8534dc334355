"""docs/reference.md names every argument, field, option and exception, with its default."""

import dataclasses
import inspect
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import routecache
from routecache import BaseCacheManager, HealthPolicy, MonitorPolicy, Policy, RoutingSettings
from routecache import serializers as them
from routecache.errors import CacheError
from routecache.warming.options import Terms, WarmOptions

PAGE = (Path(__file__).parents[2] / "docs/reference.md").read_text("utf-8")


def rows(first: str) -> dict[str, str]:
    """Name and second cell of the table whose first header is `first`."""
    lines = PAGE[PAGE.index(f"| {first} | ") :].split("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip() for cell in line.split(" | ")] for line in lines]
    return {cell[0].strip("| `"): cell[1].strip("` ") for cell in cells}


def shown(value: object) -> str:
    if value is time.monotonic:
        return "time.monotonic"
    if isinstance(value, Policy):
        return "Policy()"
    return repr(value) if isinstance(value, str) else str(value)


def arguments(of: Callable[..., Any]) -> dict[str, str]:
    parameters = inspect.signature(of).parameters.values()
    return {p.name: shown(p.default) for p in parameters if p.name != "self"}


def fields(of: Any) -> dict[str, str]:
    made = of()
    return {field.name: shown(getattr(made, field.name)) for field in dataclasses.fields(of)}


@pytest.mark.parametrize("policy", [Policy, MonitorPolicy, RoutingSettings, Terms])
def test_a_table_has_the_fields_and_their_defaults(policy: Any) -> None:
    first = {Policy: "field", Terms: "option"}.get(policy, f"field of `{policy.__name__}`")
    assert rows(first) == fields(policy)


def test_the_table_of_the_health_policy_has_its_fields_and_defaults() -> None:
    expected = fields(HealthPolicy)
    expected["source_ttls"] = str(dict(HealthPolicy().source_ttls))
    expected["unhealthy_status"] = "MISS"
    assert rows("field of `HealthPolicy`") == expected


def test_the_options_of_a_warm_up_are_those_that_are_checked() -> None:
    assert set(rows("option")) == set(WarmOptions.__annotations__)


def test_the_table_of_a_cache_has_its_arguments_and_their_defaults() -> None:
    assert rows("argument") == arguments(BaseCacheManager)


def test_every_public_method_of_a_cache_is_named() -> None:
    table = PAGE[PAGE.index("| method | ") : PAGE.index("## Policy")]
    # What its own layers call, and exporters.
    inner = {"delete_as", "invalidate_together", "describe", "show", "redis_available"}
    public = {name for name in vars(BaseCacheManager) if not name.startswith("_")} - inner
    assert {name for name in public if f"`{name}(" not in table} == set()


def test_every_exception_is_in_the_table_with_its_built_in_kind() -> None:
    expected = {
        name: error.__mro__[2].__name__
        for name in routecache.__all__
        if inspect.isclass(error := getattr(routecache, name))
        if issubclass(error, CacheError) and error is not CacheError
    }
    assert rows("raised") == expected


def test_every_public_name_is_on_the_page() -> None:
    missing = [name for name in routecache.__all__ if not re.search(rf"`{name}\b", PAGE)]
    assert missing == []


def test_serializers_are_shown_by_their_signatures() -> None:
    for name in them.__all__:
        (given,) = re.findall(rf"^\| `{name}\((.*?)\)` \|", PAGE, re.MULTILINE)
        named = [part.split("=") for part in given.split(", ") if part not in ("", "*")]
        assert {part[0]: "".join(part[1:]) for part in named} == {
            argument: "" if default == str(inspect.Parameter.empty) else default
            for argument, default in arguments(getattr(them, name)).items()
        }, name
