"""Which L2 a contract test runs on."""

from typing import Any

import pytest

DRIVERS = ("sync", "async")
KINDS = ("fake", "redis", "valkey", "sentinel", "cluster")
_NEEDS = {
    "redis": ("redis-server",),
    "sentinel": ("redis-server",),
    "cluster": ("redis-server", "redis-cli"),
}


def _params(kinds: tuple[str, ...]) -> list[Any]:
    return [
        pytest.param(kind, marks=pytest.mark.needs(*_NEEDS[kind])) if kind in _NEEDS else kind
        for kind in kinds
    ]


ALL = _params(KINDS)


def on(*kinds: str) -> pytest.MarkDecorator:
    """Run the test on these only; docs/promises.md says why."""
    return pytest.mark.parametrize("kind", _params(kinds), indirect=True)


REAL = ("redis", "valkey", "sentinel", "cluster")
