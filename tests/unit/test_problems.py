"""What is called a problem, and what is not."""

from collections.abc import Mapping
from typing import Any

import pytest

from routecache.registry import ProcessSnapshot
from routecache_exporters import problems
from routecache_exporters.reading import Reading
from tests import snapshots

CONNECTED = {"listeners": {"connected": 1}}
DISCONNECTED = {"listeners": {"disconnected": 1}}


def reading(cache: Mapping[str, Any], endpoint: Mapping[str, Any]) -> Reading:
    """One cache over one endpoint."""
    return Reading(
        1.0,
        1.0,
        ProcessSnapshot((snapshots.cache(**cache),), (snapshots.endpoint(**endpoint),)),
    )


@pytest.mark.parametrize(
    ("cache", "endpoint", "codes"),
    [
        ({}, CONNECTED, []),
        ({}, {}, []),
        ({}, {"circuit": "open"}, ["l2_circuit_open"]),
        ({}, {"circuit": "open"} | DISCONNECTED, ["l2_circuit_open"]),
        ({}, {"circuit": "open"} | CONNECTED, ["l2_circuit_not_probed"]),
        ({}, {"circuit": "half_open"}, ["l2_circuit_half_open"]),
        ({}, {"circuits": {"closed": 2, "open": 1}}, ["l2_circuit_partly_open"]),
        ({}, DISCONNECTED, ["listener_disconnected"]),
        ({}, {"connections_in_use": 50}, ["l2_pool_exhausted"]),
        ({}, {"invalidation_probes": {"ok": 5, "lost": 1}} | CONNECTED, ["probes_lost"]),
        ({"misses": {"l2_unavailable": 1}}, CONNECTED, ["l2_failing"]),
        ({"misses": {"l2_unavailable": 1}}, {"circuit": "open"}, ["l2_circuit_open"]),
        ({"misses": {"undecodable": 1}}, CONNECTED, ["undecodable"]),
        ({"misses": {"cold": 10**6, "evicted": 10**6}}, CONNECTED, []),
        ({"loads": 100, "load_failures": {"error": 6}}, CONNECTED, ["loads_failing"]),
        ({"loads": 100, "load_failures": {"error": 5}}, CONNECTED, []),
        ({"stale_hits": {"error": 1}}, CONNECTED, ["stale_error"]),
        ({"stale_hits": {"blind": 1}}, CONNECTED, ["stale_blind"]),
        ({"stale_hits": {"blind": 1}}, DISCONNECTED, ["listener_disconnected"]),
        ({"stale_hits": {"refreshing": 9}}, CONNECTED, []),
    ],
)
def test_each_trouble_is_one_problem(
    cache: Mapping[str, Any], endpoint: Mapping[str, Any], codes: list[str]
) -> None:
    """A cause is named and not also its symptoms; capacity and cost are none."""
    found = problems.find(reading(cache, endpoint), reading({}, CONNECTED))
    assert [problem["code"] for problem in found] == codes
    assert (problems.status(found) == "ok") == (not codes)
    assert not any(
        char.isdigit() for p in found for char in p["text"].replace("L2", "").replace("L1", "")
    )


def test_what_happened_long_ago_is_no_problem() -> None:
    """Counters that have not grown lately say nothing, nor do they without an earlier reading."""
    bad = {"misses": {"l2_unavailable": 9}, "loads": 1, "load_failures": {"error": 1}}
    assert problems.find(reading(bad, CONNECTED), reading(bad, CONNECTED)) == []
    assert problems.find(reading(bad, CONNECTED), None) == []


def test_caches_with_the_same_trouble_share_one_sentence() -> None:
    """A hundred caches over one L2 do not fill the page; programs get all the names."""
    names = [f"cache-{letter}" for letter in "abcdef"]

    def of(n: int, misses: int) -> Reading:
        some = (snapshots.cache(name, misses={"l2_unavailable": misses}) for name in names[:n])
        return Reading(1.0, 1.0, ProcessSnapshot(tuple(some), (snapshots.endpoint(),)))

    texts = {}
    for n in (1, 2, 4, 6):
        (problem,) = problems.find(of(n, 1), of(n, 0))
        assert problem["caches"] == names[:n]
        texts[n] = problem["text"].partition(" missed")[0].removeprefix("Look-ups of ")
    assert texts == {
        1: "cache-a",
        2: "cache-a and cache-b",
        4: "cache-a, cache-b, cache-c and cache-d",
        6: "cache-a, cache-b, cache-c and others",
    }


def test_the_worst_comes_first_and_names_the_headline() -> None:
    """An outage is critical and stands before warnings."""
    cache = {"misses": {"undecodable": 1}}
    now = reading(cache, {"circuit": "open"})
    snapshot = now.snapshot
    found = problems.find(now, reading({}, {}))
    assert [p["code"] for p in found] == ["l2_circuit_open", "undecodable"]
    assert (problems.status(found), problems.summary(found, snapshot)) == ("critical", "L2 is out")
    assert problems.summary([], snapshot) == "Well"
    assert problems.summary([], ProcessSnapshot((), ())) == "No cache yet"
    assert problems.summary(found[1:], snapshot) == "Impaired"
    two = ProcessSnapshot(snapshot.caches, (*snapshot.endpoints, snapshots.endpoint("redis-2")))
    assert problems.summary(found, two) == "L2 is partly out"
