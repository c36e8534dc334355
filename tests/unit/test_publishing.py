"""What a worker says of itself to the others, and that it says it."""

import threading
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType

import msgspec
import pytest

from routecache import multiprocess, publishing
from routecache.cells import Cells, HistogramSnapshot
from routecache.exemplars import Exemplar
from routecache.registry import ProcessSnapshot
from routecache.stats import LOAD_BOUNDS, CacheStats
from routecache_exporters import RoutecacheCollector
from tests.snapshots import cache, endpoint
from tests.workers import Worker


def whole() -> ProcessSnapshot:
    exemplar = Exemplar((("trace_id", "a" * 32),), 0.5, 1700000000.0)
    load = HistogramSnapshot(LOAD_BOUNDS, (1,) + (0,) * len(LOAD_BOUNDS), 0.5, {0: exemplar})
    errors = MappingProxyType({("l2", "get", "timeout"): 3})
    return ProcessSnapshot(
        (cache(errors=errors, load_duration=load), replace(CacheStats("gone").snapshot())),
        (endpoint(circuits={"open": 2}, circuit="open"),),
    )


def test_a_snapshot_is_read_as_it_was_written() -> None:
    snapshot = whole()
    assert publishing.decode(publishing.encode(snapshot)) == snapshot


def test_what_a_newer_release_says_besides_is_passed_over() -> None:
    snapshot = whole()
    fields = msgspec.msgpack.decode(publishing.encode(snapshot), strict=False)
    fields["weather"] = "fine"
    fields["caches"][0]["mood"] = ["good"]
    assert publishing.decode(msgspec.msgpack.encode(fields)) == snapshot


def test_what_cannot_be_read_is_an_error_of_one_kind() -> None:
    for data in (b"", b"\xc1", b"\x80", b"\x81\xa6caches\x01"):
        with pytest.raises(ValueError):  # the message is msgspec's
            publishing.decode(data)


def test_gauges_that_cannot_be_read_are_told_once_and_raise_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    worker = Worker(tmp_path)

    def broken() -> bytes:
        raise RuntimeError("redis://user:password@host")

    for _ in range(3):
        worker.storage.publish(broken)
    assert [record.getMessage() for record in caplog.records] == [
        "the metrics of this process are incomplete: its gauges cannot be read (RuntimeError)"
    ]


def test_another_worker_s_exemplars_are_in_the_answer(tmp_path: Path) -> None:
    worker = Worker(tmp_path)
    (named, *_) = whole().caches
    cells = Cells(partial(worker.storage.new_cell, ("cache", named.name)))
    with cells.recording() as cell:  # what has an exemplar was counted
        cell.observe(LOAD_BOUNDS, 0.5, "load")
    worker.storage.publish(lambda: publishing.encode(whole()))
    exemplars = [
        sample.exemplar
        for family in RoutecacheCollector(workers=tmp_path).collect()
        if family.name == "routecache_load_duration_seconds"
        for sample in family.samples
        if sample.exemplar is not None
    ]
    assert [exemplar.labels for exemplar in exemplars] == [{"trace_id": "a" * 32}]


def test_nobody_publishes_while_workers_are_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multiprocess, "current", lambda: None)
    before = set(threading.enumerate())
    publisher = publishing.Publisher()
    publisher.refresh()
    assert set(threading.enumerate()) <= before
