"""The Python of the README and of these pages runs as it stands, each page as one program.

docs/decorator.md, mounting.md, routers.md and migration/ have tests of their own.
"""

import json
import logging
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from routecache import BaseCacheManager
from tests.commands import environment
from tests.pages_code import ROOT, blocks, run
from tests.topologies import One

PAGES = {
    "README.md": 5,
    "docs/health.md": 4,
    "docs/stats-json.md": 1,
    "docs/testing.md": 2,
    "docs/warming.md": 1,
}
"""Pages, and how many blocks of Python each shows."""

PRINTED = {"docs/stats-json.md": "shown None None\n"}
SELECTION = {"provider": "openai", "model": "gpt-x"}
TOKEN = "a token of a test's own"


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with One() as topology:
        yield topology.servers[0].port


@pytest.mark.parametrize("page", PAGES)
def test_the_page_runs_as_one_program_and_does_what_it_says(
    page: str, port: int, tmp_path: Path
) -> None:
    """In a process of its own: what the pages start and count is the process's."""
    code = f"from {__name__} import main; main({page!r}, {str(tmp_path)!r})"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=ROOT, env=environment({"REDIS_URL": f"redis://127.0.0.1:{port}/{_database(page)}"}),
        check=False, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout == PRINTED.get(page, "") + "done\n"


def _database(page: str) -> int:
    return list(PAGES).index(page)


def main(page: str, folder: str) -> None:
    """Run the blocks of a page, and then see that they have done what the page is about."""
    token = Path(folder) / "token"
    token.write_text(TOKEN)
    shown = [
        # A port and a file of the test's own, where the page names those of the reader.
        replace(
            block,
            text=block.text.replace("port=9464", "port=0").replace(
                "/etc/router/alertmanager-token", str(token)
            ),
        )
        for block in blocks(ROOT / page, "python")
    ]
    assert len(shown) == PAGES[page]
    names = given(page)
    run(shown, names)
    if page in SEEN:
        SEEN[page](names)
    print("done")


def given(page: str) -> dict[str, Any]:
    """What a page takes for granted: the reader's own functions."""

    async def choose() -> dict[str, str]:
        return SELECTION

    names: dict[str, Any] = {"__name__": "page"}
    if page == "README.md":
        names |= {
            "choose_model": lambda tokens, task: SELECTION,
            "choose": choose,
            "plan": lambda: ["openai", "mistral"],
        }
    if page == "docs/stats-json.md":
        names["a_cache"] = BaseCacheManager(enable_redis=False, cache_prefix="shown")
    if page == "docs/warming.md":
        names |= {
            "yesterday": lambda: [{"context": {"task": "chat"}, "provider": "openai"}] * 2,
            "probe": lambda provider: {"up": True},
            "choose_model": lambda context: SELECTION,
            "build_chain": lambda context: ["openai", "mistral"],
            "log": logging.getLogger("page"),
        }
    return names


def _readme(names: dict[str, Any]) -> None:
    cache, result = names["cache"], names["result"]
    assert result["model"].loaded == 1
    warmed = {"tokens": 64, "task": "chat"}
    assert cache.get_model_selection(warmed) == SELECTION
    _turn(cache)
    assert cache.get_model_selection(warmed) is None, "a warmed entry outlived its provider"
    assert names["price"]("gpt-z") == 1.25


def _warming(names: dict[str, Any]) -> None:
    cache, result = names["cache"], names["result"]
    assert result.complete
    context = {"task": "chat"}
    assert cache.get_model_selection(context) == SELECTION
    assert cache.get_fallback_chain(context) == ["openai", "mistral"]
    _turn(cache)
    assert cache.get_model_selection(context) is cache.get_fallback_chain(context) is None


def _turn(cache: Any) -> None:
    cache.report_provider_health("openai", healthy=True)
    cache.report_provider_health("openai", healthy=False)


def _health(names: dict[str, Any]) -> None:
    """An alert that the server of the page is sent is a report to the cache of the page."""
    alert = {
        "status": "firing",
        "labels": {"alertname": "GatewayErrors", "provider": "mistral"},
        "fingerprint": "1",
    }
    message = {"version": "4", "status": "firing", "alerts": [alert]}
    with names["server"] as server:
        url = f"http://127.0.0.1:{server.port}/hooks/alertmanager"
        sent = urllib.request.Request(
            url,
            json.dumps(message).encode(),
            {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"},
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        opener.open(sent, timeout=10).close()
    assert names["cache"].provider_health()["mistral"] is False


SEEN = {"README.md": _readme, "docs/health.md": _health, "docs/warming.md": _warming}


def test_every_page_with_python_is_run_by_a_test() -> None:
    elsewhere = {
        "decorator.md", "mounting.md", "routers.md",
        "opentelemetry.md",  # wants the OTLP exporter, which no other test does
        "workers.md",  # a configuration file of gunicorn's
    }  # fmt: skip
    found = {page.name for page in (ROOT / "docs").glob("*.md") if blocks(page, "python")}
    assert found == {Path(page).name for page in PAGES if page != "README.md"} | elsewhere
