"""The status page in a real browser: live, honest in an outage, and self-contained."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
from prometheus_client import CollectorRegistry

from routecache import BaseCacheManager
from routecache_exporters import mount_wsgi, performance_metrics, start_http_server
from tests.browser import Browser, Page
from tests.helpers import eventually
from tests.pages import LOOKS, fixed_site, serving, troubled
from tests.servers import RedisServer

pytestmark = pytest.mark.needs("chromium", "redis-server")
SHOWN = """Object.fromEntries([...document.querySelectorAll("main tbody [data-v]")].map(cell => [
    cell.closest("[data-row]").dataset.row + " " + cell.dataset.v,
    [cell.dataset.state, ...[...cell.children].map(line => line.textContent)]]))"""
OTHER = """["identity", "window", "all-rate", "all-ratio", "all-l2", "summary", "problems"].map(
    id => document.getElementById(id).textContent).concat([document.title,
    document.getElementById("verdict").dataset.state])"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for the tests of this file."""
    with Browser() as started:
        yield started


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A tab whose every request stays with the exporter and that never complains."""
    tab = browser.page()
    yield tab
    tab.close()
    assert tab.complaints == []
    foreign = [url for url in tab.requests if not url.startswith(("http://127.0.0.1:", "data:"))]
    assert foreign == []


@contextmanager
def traffic(manager: BaseCacheManager) -> Iterator[None]:
    """Look-ups in another thread that mostly need L2, as L1 is small."""
    ended = threading.Event()

    def ask() -> None:
        n = 0
        while not ended.wait(0.005):
            n += 1
            manager.get_or_load(f"k{n % 100}", lambda: {"n": 1})

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def polls(page: Page) -> int:
    """How often the page has asked for the numbers."""
    page.evaluate("1")  # so that events that came meanwhile are noted
    return sum("/stats.json" in url for url in page.requests)


def live(page: Page) -> bool:
    """Whether the page shows what it polled itself."""
    return page.text("#live") == "Live, each second"


def circuit() -> str:
    """The circuit of the only endpoint that is in use, as the process itself sees it."""
    return performance_metrics()["endpoints"][0]["circuit"]


def test_an_outage_is_shown_by_the_next_poll_and_so_is_its_end(
    page: Page, redis_server: RedisServer
) -> None:
    """Real Redis, real site, real browser: the first row says what is wrong, the cells of cache and
    endpoint too, within two polls of a second each; and all is well again when Redis is back."""
    with (
        BaseCacheManager(10, redis_url=redis_server.url, cache_prefix="shown") as manager,
        traffic(manager),
        start_http_server(port=0, registry=CollectorRegistry()) as server,
    ):
        page.emulate(width=1440)
        eventually(lambda: circuit() == "closed")
        page.open(server.url + "/")
        eventually(lambda: live(page) and page.text("#summary") == "Well")
        before = page.evaluate(SHOWN)
        eventually(lambda: page.evaluate(SHOWN)["shown lookups"] != before["shown lookups"])
        eventually(lambda: page.evaluate("!document.querySelector('tbody .spark').hidden"))

        page.evaluate(
            "window.heard = 0; new MutationObserver(all => heard += all.length).observe("
            "document.querySelector('[role=status]'), "
            "{subtree: true, childList: true, characterData: true})"
        )
        asked = polls(page)
        eventually(lambda: polls(page) >= asked + 2)
        assert page.evaluate("heard") == 0  # numbers have changed, and nobody is interrupted

        redis_server.stop()
        eventually(lambda: circuit() == "open")
        asked = polls(page)
        eventually(lambda: page.text("#summary") == "L2 is out")
        assert polls(page) <= asked + 2
        assert page.evaluate("heard") > 0
        assert "L2 redis does not answer" in page.text("#problems")
        shown = page.evaluate(SHOWN)
        assert shown["shown l2"][:2] == ["critical", "open, not asked"]
        assert shown["redis circuit"][:2] == ["critical", "open, not asked"]
        eventually(
            lambda: page.evaluate(SHOWN)["redis listener"][:2] == ["warning", "disconnected"]
        )
        eventually(lambda: page.evaluate(SHOWN)["shown misses"][1].startswith("L2 unavailable"))
        assert page.evaluate("document.title").startswith("L2 is out")

        redis_server.start()
        eventually(lambda: page.text("#summary") == "Well", 40.0)
        eventually(lambda: page.evaluate(SHOWN)["redis listener"][:2] == ["ok", "connected"])
        assert page.evaluate(SHOWN)["shown l2"][0] == "ok"
        page.leave()


def test_a_silent_exporter_is_told_from_a_quiet_one(browser: Browser) -> None:
    """When nothing answers, the page says so, since when, and whose numbers still stand there; it
    goes on by itself when the exporter is back."""
    page = browser.page()
    server = start_http_server(port=0, registry=CollectorRegistry())
    page.open(server.url + "/")
    eventually(lambda: live(page))
    server.close()
    eventually(lambda: page.text("#summary") == "No answer")
    assert page.evaluate("document.getElementById('verdict').dataset.state") == "silent"
    eventually(lambda: page.text("#live").startswith("Last answer 2 s ago"))
    assert "The numbers below are those of" in page.text("#problems")
    with start_http_server(port=server.port, registry=CollectorRegistry()):
        eventually(lambda: live(page) and page.text("#summary") != "No answer")
    page.close()
    # The browser itself writes a line for each refused connection; the page adds none.
    assert {line for line in page.complaints if "ERR_" not in line} == set()


def test_an_exporter_that_hangs_is_silent_too(page: Page) -> None:
    """A request without an answer is told from a slow second, before it is given up."""
    site = fixed_site(troubled())
    with serving(site, page) as url:
        page.open(url)
        eventually(lambda: live(page))
        site.answering.clear()
        eventually(lambda: page.text("#summary") == "No answer")
        assert "The exporter does not answer." in page.text("#problems")
        site.answering.set()
        eventually(lambda: live(page) and page.text("#summary") == "L2 is partly out")


def test_an_exporter_that_cannot_read_its_counters_says_so(browser: Browser) -> None:
    """A 500 is neither well nor silence."""
    page = browser.page()
    site = fixed_site(troubled())
    with serving(site, page) as url:
        page.open(url)
        eventually(lambda: live(page))
        site.metrics = None
        eventually(lambda: "answers with status 500" in page.text("#problems"))
    page.close()


@pytest.mark.parametrize("look", LOOKS, ids=lambda look: look.__name__)
def test_script_and_server_write_the_same(page: Page, look: Any) -> None:
    """Every cell, the first row and the title are the same from both, so that the page does not
    change its mind when the script takes over; without the script all of it stands there."""
    with serving(fixed_site(look()), page) as url:
        page.command("Emulation.setScriptExecutionDisabled", value=True)
        page.open(url)
        cells, rest = page.evaluate(SHOWN), page.evaluate(OTHER)
        assert "reload for newer numbers" in page.text("#live")
        assert polls(page) == 0
        page.command("Emulation.setScriptExecutionDisabled", value=False)
        page.open(url + "?")
        eventually(lambda: live(page) and polls(page))
        assert page.evaluate(SHOWN) == cells
        assert page.evaluate(OTHER) == rest


def test_caches_come_and_go_without_a_reload(page: Page) -> None:
    """New rows stand where the server has them, old ones leave, and the heading of an empty table
    turns into a sentence."""
    site = fixed_site(troubled())
    with serving(site, page) as url:
        page.open(url)
        names = "[...document.querySelectorAll('#caches tbody th')].map(head => head.innerText)"
        assert page.evaluate(names) == ["provider", "tool"]
        more = troubled()
        more["caches"].insert(0, more["caches"][0] | {"name": "<b>first"})
        site.metrics = more
        eventually(lambda: page.evaluate(names) == ["<b>first", "provider", "tool"])
        none = troubled()
        none["caches"] = []
        site.metrics = none
        eventually(lambda: page.evaluate("document.querySelector('#caches').hidden"))
        assert page.text("#caches-empty") == "No cache has been made yet."


def test_updates_can_be_paused(page: Page) -> None:
    """What moves by itself can be stopped (WCAG 2.2.2), by keyboard too, and goes on afterwards."""
    site = fixed_site(troubled())
    page.command(
        "Page.addScriptToEvaluateOnNewDocument",
        source="window.turns = 0; const wait = setTimeout;"
        "window.setTimeout = (f, ms) => wait(() => { turns += 1; f(); }, ms)",
    )
    with serving(site, page) as url:
        page.open(url)
        eventually(lambda: live(page))
        page.evaluate("document.getElementById('pause').focus()")
        page.press(" ", 32)
        eventually(lambda: page.text("#live").startswith("Paused"))
        asked = polls(page)
        turns = page.evaluate("turns")
        eventually(lambda: page.evaluate("turns") >= turns + 2)
        assert polls(page) == asked
        assert page.text("#live").startswith("Paused")
        page.press(" ", 32)
        eventually(lambda: live(page) and polls(page) > asked)


def _nothing_else(_environ: Any, start_response: Any) -> list[bytes]:
    start_response("404 Not Found", [])
    return []


def test_workers_that_answer_in_turn_do_not_share_a_curve(page: Page) -> None:
    """Each answer is shown with the minutes of the process that gave it; a counter of one is never
    taken for the growth of another's."""
    site = fixed_site(troubled())
    with serving(site, page) as url:
        page.open(url)
        eventually(lambda: live(page) and polls(page) > 1)
        for pid, hits in ((1, 10**9), (2, 10), (1, 10**9)):
            other = troubled()
            other["process"]["pid"] = pid
            other["caches"][0]["requests"] = hits
            site.metrics = other
            eventually(partial(_tells_of, page, f"process {pid} "))
        curve = "document.querySelector('tbody .spark[data-s=rate]').getAttribute('aria-label')"
        eventually(lambda: page.evaluate(curve) == "Look-ups per second: no history yet")


def _tells_of(page: Page, process: str) -> bool:
    return process in page.text("#identity")


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # as in the base
        pass


@pytest.mark.parametrize("path", ["/ops/cache", "/ops/cache/"])
def test_the_page_works_under_a_path_of_another_application(page: Page, path: str) -> None:
    """Mounted at a path, with and without a slash, it polls below that path and its links lead
    there, whatever a proxy in front calls it."""
    app = mount_wsgi(_nothing_else, "/ops/cache", registry=CollectorRegistry())
    with make_server("127.0.0.1", 0, app, handler_class=_Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            page.open(f"http://127.0.0.1:{server.server_port}{path}")
            eventually(lambda: live(page) and polls(page) > 1)
        finally:
            page.leave()
            server.shutdown()
            thread.join()
    paths = {url.partition("?")[0].rpartition(":")[2].partition("/")[2] for url in page.requests}
    assert "ops/cache/stats.json" in paths
    assert all(p.startswith("ops/cache") or p == "" for p in paths - {"blank"}), paths
