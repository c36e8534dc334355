"""The layers of the design hold: import-linter's contracts, and no work at import."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_lower_layers_never_import_upper_ones() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]


def test_importing_creates_no_metric_reads_no_setting_and_starts_no_thread() -> None:
    script = """
import os, threading
read = []
class Watched(dict):
    def get(self, key, default=None):
        read.append(key)
        return super().get(key, default)
import prometheus_client, redis, msgspec  # what these do is theirs
before = len(list(prometheus_client.REGISTRY.collect()))
os.environ = Watched(os.environ)
import routecache, routecache_exporters, routecache_exporters.http
assert len(list(prometheus_client.REGISTRY.collect())) == before
assert threading.active_count() == 1
mine = [key for key in read if key.startswith(("ROUTING_", "REDIS_"))]
assert mine == [], mine
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
