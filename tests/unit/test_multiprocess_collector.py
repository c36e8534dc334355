"""One worker's /metrics for all of them: the same rows as for one process, summed."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from routecache import multiprocess
from routecache.errors import ConfigurationError
from routecache_exporters import RoutecacheCollector
from tests.commands import environment
from tests.servers import RedisServer
from tests.snapshots import scrape
from tests.workers import Worker, files


def python(script: str, directory: Path, **env: str) -> Any:
    """Run `script` as a worker of `directory`; what it printed as JSON."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-c",
         textwrap.dedent(script)],
        env=environment({multiprocess.DIRECTORY_VARIABLE: str(directory), **env}),
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


EVERY_COUNTER = """
    import json, os
    from routecache import BaseCacheManager, MISS, Policy
    from routecache_exporters import RoutecacheCollector
    from routecache_exporters.multiprocess import WorkersReader
    url = os.environ["URL"]
    cache = BaseCacheManager(4, redis_url=url, cache_prefix="workers", policy=Policy(
        stale_ttl=60, negative_ttl=5, early_refresh=1.0))
    for i in range(300):
        cache.get_or_load(f"k{i % 9}", lambda: i, tags=("t",))
        cache.get(f"absent{i % 50}")
    cache.delete("k1"); cache.invalidate_tags("t"); cache.clear()
    try:
        cache.get_or_load("failing", lambda: 1 / 0)
    except ZeroDivisionError:
        pass
    broken = BaseCacheManager(redis_url="redis://127.0.0.1:1/0", cache_prefix="broken")
    for i in range(20):
        broken.get(f"k{i}")
    # Nothing may count between the two scrapes that are compared.
    cache.close(); broken.close()
    collector = RoutecacheCollector()

    def rows():
        return {
            f"{s.name} {sorted(s.labels.items())}": s.value
            for family in collector.collect() if family.type in ("counter", "histogram")
            for s in family.samples
        }

    together = rows()
    WorkersReader.in_use = False
    print(json.dumps([together, rows()]))
"""


def test_every_counter_and_histogram_of_one_process_is_there_with_workers(
    tmp_path: Path, shared_redis: RedisServer
) -> None:
    """Whatever is ever counted outside the cells would be missing here."""
    together, alone = python(EVERY_COUNTER, tmp_path, URL=shared_redis.url)
    alone = {name: n for name, n in alone.items() if n}
    together = {name: n for name, n in together.items() if n}
    # The listener and the recovery of other threads may go on counting between the scrapes.
    busy = ("routecache_invalidation", "routecache_listener", "routecache_l2_", "routecache_recov")
    differing = {
        name
        for name in alone.keys() | together.keys()
        if together.get(name) != pytest.approx(alone.get(name, 0)) and not name.startswith(busy)
    }
    assert not differing
    assert {name for name in alone if name.startswith(busy)} <= together.keys()
    assert sum(name.startswith("routecache_load_failures_total") for name in together) == 1
    assert any("l2_unavailable" in name for name in together)


FORKS = """
    import json, os, signal
    from routecache import BaseCacheManager
    from routecache_exporters import RoutecacheCollector
    from tests.snapshots import scrape, value

    cache = BaseCacheManager(enable_redis=False, cache_prefix="forked", name="forked")
    cache.set("k", 1)
    for _ in range(1000):
        cache.get("k")
    def child(n):
        pid = os.fork()
        if pid == 0:
            for _ in range(n):
                cache.get("k")
                cache.get("absent")
            os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(pid, 0)

    def read():
        samples = scrape(RoutecacheCollector())
        return [
            value(samples, "hits_total", cache="forked", tier="l1"),
            value(samples, "misses_total", cache="forked", reason="cold"),
            value(samples, "request_duration_seconds_count", cache="forked", outcome="miss"),
            value(samples, "requests_total", cache="forked"),
            value(samples, "entries", cache="forked", tier="l1"),
            value(samples, "collect_success", collector="workers"),
            sum(name != "lock" for name in os.listdir(os.environ["ROUTECACHE_MULTIPROC_DIR"])),
        ]
    seen = [read()]
    for n in (10, 20, 30):
        child(n)
    seen += [read(), read()]
    print(json.dumps(seen))
"""


def test_forked_children_that_are_killed_count_once_and_for_ever(tmp_path: Path) -> None:
    """What the parent counted before the fork is its own; each child's misses are first misses."""
    assert python(FORKS, tmp_path, PYTHONPATH=str(Path(__file__).parents[2])) == [
        [1000, 0, None, 1000, 1, 1, 1],
        [1060, 60, 60, 1120, 1, 1, 2],
        [1060, 60, 60, 1120, 1, 1, 2],
    ]
    samples = scrape(RoutecacheCollector(workers=tmp_path))
    totals = {name: n for (name, labels), n in samples.items() if ("cache", "forked") in labels}
    assert totals["requests_total"] == 1120
    assert "entries" not in totals
    assert "start_timestamp_seconds" not in totals


def test_gauges_of_living_workers_add_up_by_the_catalogue(tmp_path: Path) -> None:
    script = """
    import json, os, sys
    from routecache import BaseCacheManager
    from routecache_exporters import RoutecacheCollector
    from tests.snapshots import scrape, value
    from tests.helpers import eventually

    read, write = os.pipe()
    for i in (1, 2):
        if os.fork() == 0:
            os.close(write)
            cache = BaseCacheManager(10, 100 * i, enable_redis=False, cache_prefix="g")
            for n in range(i):
                cache.set(str(n), n)
            os.read(read, 1)
            os._exit(0)
    os.close(read)
    collector = RoutecacheCollector()

    def gauges():
        s = scrape(collector)
        return [value(s, name, cache="g", tier="l1") for name in
                ("entries", "max_entries", "ttl_seconds")]
    both = eventually(lambda: gauges() == [3, 20, 200] and gauges(), every=0.05)
    os.close(write)
    os.wait(); os.wait()
    print(json.dumps([both, gauges()]))
    """
    found = python(script, tmp_path, PYTHONPATH=str(Path(__file__).parents[2]))
    assert found == [[3, 20, 200], [None, None, None]]


def test_a_directory_that_cannot_be_used_breaks_no_scrape(tmp_path: Path) -> None:
    """A manager refuses it in one clear error; the collector says that it has nothing."""
    tmp_path.chmod(0o777)
    script = """
    import json
    from routecache import BaseCacheManager, ConfigurationError
    from routecache_exporters import RoutecacheCollector
    from tests.snapshots import scrape, value
    try:
        BaseCacheManager(enable_redis=False)
    except ConfigurationError as error:
        message = str(error)
    samples = scrape(RoutecacheCollector())
    print(json.dumps([message, value(samples, "collect_success", collector="workers"),
                      value(samples, "collect_success", collector="caches")]))
    """
    root = str(Path(__file__).parents[2])
    message, workers, caches = python(script, tmp_path, PYTHONPATH=root)
    assert "others may write to it" in message
    assert (workers, caches) == (0, 1)
    tmp_path.chmod(0o700)


def test_what_is_left_out_shows_and_is_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Worker(tmp_path).count(3).end()
    (tmp_path / "1-0123456789abcdef.cells").write_bytes(b"not one of ours")
    collector = RoutecacheCollector(workers=tmp_path)
    for _ in range(3):
        samples = scrape(collector)
        assert samples["collect_success", frozenset({("collector", "workers")})] == 0
        assert samples["requests_total", frozenset({("cache", "model")})] == 3
    assert [record.getMessage() for record in caplog.records] == [
        "scrape incomplete: collector workers raised UnreadableError in 1 files"
    ]


def test_gauges_that_another_release_wrote_otherwise_are_left_out(tmp_path: Path) -> None:
    worker = Worker(tmp_path).count(3)
    worker.storage.publish(lambda: b"\x81\xa5caches\x01")
    samples = scrape(RoutecacheCollector(workers=tmp_path))
    assert samples["collect_success", frozenset({("collector", "workers")})] == 0
    assert samples["requests_total", frozenset({("cache", "model")})] == 3


def test_without_workers_there_is_no_series_of_them() -> None:
    samples = scrape(RoutecacheCollector())
    assert ("collect_success", frozenset({("collector", "workers")})) not in samples
    assert ("collect_success", frozenset({("collector", "caches")})) in samples


def test_enabling_after_a_manager_was_made_is_refused(tmp_path: Path) -> None:
    script = f"""
    import json, os
    from routecache import BaseCacheManager, ConfigurationError, multiprocess
    del os.environ["ROUTECACHE_MULTIPROC_DIR"]
    multiprocess.enable({str(tmp_path)!r})
    multiprocess.enable({str(tmp_path)!r})
    with BaseCacheManager(enable_redis=False) as cache:
        cache.get("k")
    try:
        multiprocess.enable({str(tmp_path / "other")!r})
    except ConfigurationError as error:
        print(json.dumps(str(error)))
    """
    assert "too late" in python(script, tmp_path)
    assert len(files(tmp_path)) == 1


def test_a_missing_parent_is_told_when_enabling(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        multiprocess._open(tmp_path / "no" / "such")
