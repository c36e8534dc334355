"""The status page of several workers behind one port: it is about all of them, whoever answers."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser import Browser
from tests.helpers import eventually
from tests.integration.test_workers import GUNICORN, Service

pytestmark = pytest.mark.needs("chromium")

TOTAL = """[document.getElementById("identity").textContent.split(" · ")[1],
    document.querySelector("#totals [data-v=lookups] span").textContent]"""
WATCH = """window.seen = []; const row = document.querySelector("#totals [data-v=lookups]");
    new MutationObserver(() => seen.push(Number(row.firstChild.textContent.replaceAll(",", ""))))
    .observe(row, {subtree: true, childList: true, characterData: true})"""


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    command = [part.replace("TMP", str(tmp_path)) for part in GUNICORN]
    command[command.index("--workers") + 1] = "2"
    service = Service(tmp_path / "metrics", *command)
    try:
        eventually(service.ready, 30)
        yield service
    finally:
        service.stop()


def answer(service: Service) -> Any:
    return json.loads(service.get("/stats.json"))


def test_answers_of_workers_in_turn_agree_and_never_go_back(service: Service) -> None:
    """Each worker tells the same totals, sizes and configuration, and nothing but the time and the
    process differs while nobody asks; while somebody does, no total falls."""
    service.ask(80)
    eventually(lambda: len({answer(service)["process"]["pid"] for _ in range(8)}) == 2, 30)
    before = answer(service)
    told: dict[int, Any] = {}

    def both() -> bool:
        one = answer(service)
        told[one["process"]["pid"]] = one
        return len(told) == 2

    eventually(both, 30)
    one, two = told.values()
    for key in ("status", "workers", "summary", "problems"):
        assert one[key] == two[key]
    # Of the time since the start, and of rates over a minute that is not over yet, no more is asked
    # than that they are of the same totals.
    moving = ("recent", "uptime_seconds")
    assert [{k: v for k, v in c.items() if k not in moving} for c in one["caches"]] == [
        {k: v for k, v in c.items() if k not in moving} for c in two["caches"]
    ]
    (cache,) = one["caches"]
    assert cache["requests"] == 160
    assert before["workers"]["processes"] == 2
    last = 0
    for _ in range(20):
        service.ask(8)
        (cache,) = answer(service)["caches"]
        assert cache["requests"] == last + 16 if last else cache["requests"] == 176
        last = cache["requests"]


def test_the_page_shows_all_workers_and_its_numbers_never_go_back(service: Service) -> None:
    service.ask(80)
    with Browser() as browser:
        page = browser.page()
        page.open(f"http://127.0.0.1:{service.port}/")
        eventually(lambda: page.text("#live") == "Live, each second")
        assert page.evaluate(TOTAL) == ["2 workers together", "160"]
        page.evaluate(WATCH)
        pids = set()
        asked = 80

        def enough() -> bool:
            nonlocal asked
            service.ask(8)
            asked += 8
            pids.add(answer(service)["process"]["pid"])
            return len(pids) == 2 and page.evaluate("seen.length") >= 6

        eventually(enough, 60)
        eventually(lambda: page.evaluate(TOTAL)[1] == f"{2 * asked:,}")
        seen = page.evaluate("seen")
        assert seen == sorted(seen)
        page.leave()
        page.close()
        assert page.complaints == []
