"""The status page as the server writes it: right, self-contained, and safe whatever a name is."""

import re
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from routecache.registry import ProcessSnapshot
from routecache.stats import CacheSnapshot, EndpointSnapshot
from routecache_exporters.http import Response, Site
from routecache_exporters.performance_metrics import metrics_of
from routecache_exporters.performance_shapes import PerformanceMetrics
from routecache_exporters.reading import Reading
from routecache_exporters.web import cells, status, texts
from tests import snapshots
from tests.pages import troubled

SIZE_BUDGET = 40_000


def page(
    *caches: CacheSnapshot,
    endpoints: tuple[EndpointSnapshot, ...] = (),
    path: str = "/",
    broken: bool = False,
) -> Response:
    """The page for these caches and endpoints, or for a snapshot that cannot be read."""

    def snapshot() -> ProcessSnapshot:
        if broken:
            raise RuntimeError
        return ProcessSnapshot(caches, endpoints)

    site = Site(CollectorRegistry(), snapshot=snapshot)
    return site.respond("GET", path, {}, "", mount="/ops/cache")


class Cells(HTMLParser):
    """The texts of the cells by row and key, and a check that tags are balanced."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: dict[tuple[str, str], str] = {}
        self.opened: list[str] = []
        self._row = self._key = ""
        self.feed(html)
        self.close()
        assert self.opened == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("meta", "link"):
            return
        self.opened.append(tag)
        given = dict(attrs)
        self._row = given.get("data-row") or self._row
        if tag == "div":
            self._key = given.get("data-v") or ""
        elif tag == "tr":
            self._key = ""

    def handle_endtag(self, tag: str) -> None:
        assert self.opened.pop() == tag
        if tag == "tr":
            self._row = ""

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_data(self, data: str) -> None:
        if self._row and self._key:
            place = (self._row, self._key)
            self.found[place] = f"{self.found.get(place, '')} {data}".strip()


def test_without_javascript_the_numbers_stand_there() -> None:
    """Per cache: look-ups, ratios, misses by reason, entries, circuit; and what is wrong."""
    provider = snapshots.cache(
        l1_hits=900,
        l2_hits=99,
        misses={"cold": 1, "l2_unavailable": 1000},
        l1_entries=49,
        l1_size_bytes=1234,
        loads=7,
    )
    response = page(
        provider, snapshots.cache("tool", None), endpoints=(snapshots.endpoint(circuit="open"),)
    )
    html = response.body.decode()
    found = Cells(html).found
    assert found["provider", "lookups"] == "2,000 hit ratio 49.9 %"
    assert found["provider", "ratio"] == "49.9 % L1 45.0 % · L2 4.9 %"
    assert re.sub(r"\s+", " ", found["provider", "misses"]) == "L2 unavailable 1,000 cold 1"
    assert found["provider", "entries"] == "49 of 50 1.2 kB"
    assert found["provider", "l2"].startswith("open, not asked redis")
    assert found["tool", "l2"] == "none"
    assert found["redis", "circuit"].startswith("open, not asked")
    assert '<h2 id="summary">L2 is out</h2>' in html
    assert "L2 redis does not answer" in html
    assert "reload for newer numbers" in html


def test_the_page_is_self_contained_and_escapes_names() -> None:
    """No address anywhere, no handler or style in an attribute, balanced tags, and a cache's name
    cannot add markup."""
    html = page(snapshots.cache('<img src="x">&')).body.decode()
    assert "&lt;img src=&quot;x&quot;&gt;&amp;" in html
    Cells(html)
    markup = re.sub(r"<script>.*?</script>", "", html, flags=re.DOTALL)
    forbidden = r"<img|<iframe|https?:|url\(|@import|<[^>]*\s(on\w+|style)="
    assert not re.search(forbidden, markup.lower())
    assert not re.search(r"https?:|import\(|eval\(|innerHTML|document\.write", html)


def test_the_policy_allows_the_pages_own_style_and_script_and_nothing_else() -> None:
    """It names their hashes, forbids all other sources, and lets the page ask its origin only."""
    response = page()
    html = response.body.decode()
    policy = dict(response.headers)["Content-Security-Policy"]
    for tag, directive in (("style", "style-src"), ("script", "script-src")):
        (text,) = re.findall(f"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
        digest = b64encode(sha256(text.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}';" in policy
    assert policy.startswith("default-src 'none'")
    assert "connect-src 'self'" in policy
    assert "unsafe" not in policy


def test_the_page_survives_counters_that_cannot_be_read() -> None:
    """With a broken snapshot the page still links to everything and says what is missing."""
    response = page(broken=True)
    assert response.status == HTTPStatus.OK
    assert b"could not be read" in response.body
    assert b'href="metrics"' in response.body


@pytest.mark.parametrize(("path", "prefix"), [("/", ""), ("", "cache/")])
def test_links_lead_to_the_mounted_pages(path: str, prefix: str) -> None:
    """Relative links work under a mount, with and without a slash at the end of its address."""
    html = page(path=path).body.decode()
    for name in ("metrics", "stats.json", "-/healthy", "-/ready"):
        assert f'href="{prefix}{name}"' in html
    assert f'data-base="{prefix}"' in html


def test_a_routers_page_is_within_its_budget() -> None:
    """Style, script, four busy caches and an L2 in trouble are below 40 kB before compression."""
    metrics = troubled()
    provider, tool = metrics["caches"]
    metrics["caches"] = [provider, provider, provider, tool]
    size = len(status.render(metrics).encode())
    assert 20_000 < size < SIZE_BUDGET


def test_script_and_server_know_the_same_cells() -> None:
    """Every column has a cell on both sides."""
    script = Path(status.__file__).with_name("page").joinpath("status.js").read_text("utf-8")
    tables: tuple[tuple[str, Any, status._Table], ...] = (
        ("CACHES", cells.CACHE_CELLS, status._CACHES),
        ("TOTALS", cells.TOTAL_CELLS, status._TOTALS),
        ("L2", cells.ENDPOINT_CELLS, status._L2),
    )
    for name, made, table in tables:
        (body,) = re.findall(rf"const {name} = {{\n(.*?)\n}};", script, re.DOTALL)
        keys = re.findall(r"^  (\w+): ", body, re.MULTILINE)
        assert keys == list(made) == [key for key, _ in table.columns]


def _metrics(*caches: CacheSnapshot) -> PerformanceMetrics:
    return metrics_of(Reading(1.0, 1.0, ProcessSnapshot(caches, ())))


def test_what_is_closed_or_unknown_is_said_so() -> None:
    """A cache whose managers are gone has no size, and an endpoint that is not there no state."""
    metrics = _metrics(snapshots.cache(policy="", l2="gone"))
    (cache,) = metrics["caches"]
    assert cells.CACHE_CELLS["entries"](cache, metrics).lines == ("closed",)
    assert cells.CACHE_CELLS["l2"](cache, metrics).lines[0] == "unknown"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (texts.count(1234567), "1,234,567"),
        (texts.rate(0.04), "0.0 /s"),
        (texts.rate(0.25), "0.3 /s"),
        (texts.rate(9.96), "10 /s"),
        (texts.rate(12345.6), "12,346 /s"),
        (texts.ratio(None), "–"),
        (texts.ratio(0.99999), "99.9 %"),
        (texts.ratio(0.29), "29.0 %"),
        (texts.ratio(1.0), "100.0 %"),
        (texts.seconds(None), "–"),
        (texts.seconds(0.0), "0 s"),
        (texts.seconds(3.1e-7), "310 ns"),
        (texts.seconds(4.24e-6), "4.2 µs"),
        (texts.seconds(0.012), "12 ms"),
        (texts.seconds(1.5), "1.5 s"),
        (texts.duration(0.9), "0 s"),
        (texts.duration(200), "3 min 20 s"),
        (texts.duration(14700), "4 h 5 min"),
        (texts.duration(187200), "2 d 4 h"),
        (texts.bytes_of(310), "310 B"),
        (texts.bytes_of(4200), "4.2 kB"),
        (texts.bytes_of(12_000_000), "12 MB"),
        (texts.bytes_of(3_400_000_000), "3.4 GB"),
    ],
)
def test_numbers_read_well(text: str, expected: str) -> None:
    """Two or three digits and a unit; ratios are rounded down, so that 100 % means all."""
    assert text == expected
