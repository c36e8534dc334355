"""/stats.json and the history behind it, as the core without I/O answers."""

import gzip
import json
import math
import threading

import pytest
from prometheus_client import CollectorRegistry

from routecache.registry import ProcessSnapshot
from routecache_exporters.http import Response, Site, start_http_server
from tests import snapshots
from tests.helpers import eventually


def get(site: Site, query: str = "", **headers: str) -> Response:
    """One GET of /stats.json."""
    return site.respond("GET", "/stats.json", headers, query)


def test_stats_are_json_that_nobody_may_store() -> None:
    """The type is JSON's, the answer must not be cached, and the schema is numbered."""
    site = Site(CollectorRegistry(), snapshot=snapshots.source([snapshots.cache("tool")]))
    response = get(site)
    headers = dict(response.headers)
    assert (response.status, headers["Content-Type"]) == (200, "application/json")
    assert headers["Cache-Control"] == "no-store"
    found = json.loads(response.body)
    assert (found["schema"], found["caches"][0]["name"]) == (1, "tool")
    assert "history" not in found


def test_stats_are_compressed_for_clients_that_ask() -> None:
    """As /metrics is, and the body is the same JSON."""
    site = Site(CollectorRegistry(), snapshot=snapshots.source(snapshots.router()))
    response = site.respond("GET", "/stats.json", {"accept-encoding": "gzip"}, "")
    assert dict(response.headers)["Content-Encoding"] == "gzip"
    assert json.loads(gzip.decompress(response.body))["schema"] == 1


def test_numbers_that_json_does_not_have_are_null() -> None:
    """An endless TTL does not make the answer unreadable."""
    site = Site(CollectorRegistry(), snapshot=snapshots.source([snapshots.cache(l1_ttl=math.inf)]))
    assert json.loads(get(site).body)["caches"][0]["ttl_seconds"]["l1"] is None


@pytest.mark.parametrize("query", ["history", "history=", "history=1", "x=2&history=1"])
def test_the_history_comes_when_it_is_asked_for(query: str) -> None:
    """The first request has begun it, and a query adds it to the answer."""
    site = Site(CollectorRegistry(), snapshot=snapshots.source(snapshots.router()))
    get(site)
    history = eventually(
        lambda: (found := json.loads(get(site, query).body)["history"])["times"] and found
    )
    assert len(history["caches"]["model"]["requests"]) == len(history["times"])


def test_a_site_is_watched_by_its_server_or_from_its_first_request() -> None:
    """What is served from here is watched at once and until it is closed; the process that mounts
    a site may yet fork, so there nothing happens before somebody asks."""

    def watched() -> set[threading.Thread]:
        return {each for each in threading.enumerate() if each.name == "routecache-history"}

    before = watched()
    mounted = Site(CollectorRegistry(), snapshot=snapshots.source())
    assert watched() <= before
    mounted.respond("GET", "/-/healthy", {}, "")
    (thread,) = watched() - before
    mounted.rest()
    thread.join()
    before = watched()
    with start_http_server(port=0, registry=CollectorRegistry()):
        (thread,) = watched() - before
    thread.join()


def test_counters_that_cannot_be_read_are_an_error_without_its_text() -> None:
    """500 with the type of the exception; what it says may hold what must not be seen."""

    def broken() -> ProcessSnapshot:
        raise RuntimeError("password=secret")

    response = get(Site(CollectorRegistry(), snapshot=broken))
    assert (response.status, response.body) == (500, b"Failed with RuntimeError.\n")
