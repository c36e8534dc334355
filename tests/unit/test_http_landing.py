"""The landing page: right, self-contained, and safe whatever a cache is called."""

import re
from base64 import b64encode
from dataclasses import replace
from hashlib import sha256
from html.parser import HTMLParser
from http import HTTPStatus

import pytest
from prometheus_client import CollectorRegistry

from routecache.registry import ProcessSnapshot
from routecache.stats import CacheSnapshot, CacheStats, EndpointSnapshot
from routecache_exporters.http import Response, Site


def page(
    *caches: CacheSnapshot,
    endpoints: tuple[EndpointSnapshot, ...] = (),
    path: str = "/",
    broken: bool = False,
) -> Response:
    """The landing page for these caches and endpoints, or for a snapshot that cannot be read."""

    def snapshot() -> ProcessSnapshot:
        if broken:
            raise RuntimeError
        return ProcessSnapshot(caches, endpoints)

    site = Site(CollectorRegistry(), snapshot=snapshot)
    return site.respond("GET", path, {}, "", mount="/ops/cache")


def test_the_landing_page_shows_each_cache() -> None:
    """Per cache: look-ups, hit ratios, entries and the state of its L2 circuit."""
    some = replace(
        CacheStats("provider").snapshot(),
        l1_hits=900,
        l2_hits=99,
        misses={"cold": 1},
        l1_entries=49,
        l1_max_entries=50,
        l2="redis",
    )
    endpoint = EndpointSnapshot("redis", "half_open", {}, 0, 1, 50, 0.0)
    tool = CacheStats("tool").snapshot()
    html = page(some, tool, endpoints=(endpoint,)).body.decode()
    for cell in ("1,000", "99.9 %", "90.0 %", "49 of 50", "half open (probing)"):
        assert f"<td>{cell}</td>" in html
    assert '<th scope="row">tool</th><td>0</td><td>no look-ups yet</td>' in html
    assert "<td>no L2</td>" in html


def test_the_landing_page_is_self_contained_and_escapes_names() -> None:
    """No scripts, no address anywhere, balanced tags, and a cache's name cannot add markup."""
    html = page(CacheStats('<img src="x">&').snapshot()).body.decode()
    assert "&lt;img src=&quot;x&quot;&gt;&amp;" in html
    assert not re.search(r"<script|<img|<iframe|https?:|url\(|@import|\son\w+=", html.lower())

    class Balance(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.opened: list[str] = []

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            if tag not in ("meta", "link"):
                self.opened.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert self.opened.pop() == tag

    parser = Balance()
    parser.feed(html)
    parser.close()
    assert parser.opened == []


def test_the_landing_page_allows_its_own_style_and_nothing_else() -> None:
    """The policy names the hash of the page's only style sheet and forbids all other sources."""
    response = page()
    (style,) = re.findall(r"<style>(.*?)</style>", response.body.decode(), re.DOTALL)
    digest = b64encode(sha256(style.encode()).digest()).decode()
    policy = dict(response.headers)["Content-Security-Policy"]
    assert f"style-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy


def test_the_landing_page_survives_counters_that_cannot_be_read() -> None:
    """With a broken snapshot the page still links to everything and says what is missing."""
    response = page(broken=True)
    assert response.status == HTTPStatus.OK
    assert b"could not be read" in response.body
    assert b'href="metrics"' in response.body


@pytest.mark.parametrize(("path", "link"), [("/", "metrics"), ("", "cache/metrics")])
def test_links_lead_to_the_mounted_pages(path: str, link: str) -> None:
    """Relative links work under a mount, with and without a slash at the end of its address."""
    assert f'href="{link}"'.encode() in page(path=path).body
