"""What every suite shares: which servers are there, real Redis servers, and balanced books."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from routecache import caches, stats
from tests.books import check_books
from tests.servers import RedisServer

# How to bring the programs that suites may need, by the names that Debian gives them.
BRING = (
    "sudo apt-get install -y redis-server prometheus prometheus-alertmanager "
    "prometheus-redis-exporter chromium"
)
# Python environments of their own, by the names that suites call them: what brings each, and what
# is there once it is.
ENVIRONMENTS = {"litellm": ("make litellm", Path(__file__).parents[1] / ".venv-litellm/.installed")}
_left_out: dict[str, set[str]] = {}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests whose programs are missing; in CI that is an error."""
    kept, dropped = [], []
    for item in items:
        needs = [name for mark in item.iter_markers("needs") for name in mark.args]
        missing = {name for name in needs if not _is_there(name)}
        if missing:
            suite = item.nodeid.partition("::")[0]
            _left_out.setdefault(suite, set()).update(missing)
            dropped.append(item)
        else:
            kept.append(item)
    if dropped and os.environ.get("CI"):
        raise pytest.UsageError(f"missing in CI: {_left_out}; bring them with: {_bring()}")
    config.hook.pytest_deselected(items=dropped)
    items[:] = kept


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Name the suites that were left out, and the one command that brings them."""
    if _left_out:
        terminalreporter.section("left out")
        for suite, missing in sorted(_left_out.items()):
            terminalreporter.write_line(f"{suite}: needs {', '.join(sorted(missing))}")
        terminalreporter.write_line(f"bring them with: {_bring()}")


def _is_there(name: str) -> bool:
    if name in ENVIRONMENTS:
        return ENVIRONMENTS[name][1].exists()
    return shutil.which(name) is not None


def _bring() -> str:
    """One line that brings all that is missing."""
    missing = set().union(*_left_out.values())
    made = [ENVIRONMENTS[name][0] for name in sorted(missing & ENVIRONMENTS.keys())]
    return " && ".join([*made, *([BRING] if missing - ENVIRONMENTS.keys() else [])])


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """A skipped test fails a run in CI."""
    reporter: Any = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter is not None and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(autouse=True)
def books_balance() -> Iterator[None]:
    """After every test, in every cache of the process, the counts agree with each other."""
    yield
    check_books()
    # A page of the caches of all tests would be no test's own: names beyond its bound are `other`.
    alive = {manager.name for manager in caches()}
    for name in [name for name in stats._stats if name not in alive]:
        del stats._stats[name]


@pytest.fixture(scope="session")
def shared_redis() -> Iterator[RedisServer]:
    """One real Redis or Valkey for all tests that leave it running; use a prefix of your own."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    """A real Redis or Valkey of the test's own, to stop and start; it keeps its data on disk."""
    with RedisServer() as server:
        yield server
