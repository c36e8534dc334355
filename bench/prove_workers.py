"""gunicorn with four workers under wrk: /metrics against what wrk counted.

    make prove-workers        (wants wrk: apt-get install wrk)

Each of wrk's eight threads has one connection and ends when an answer has come, so that nothing is
under way when it counts. Returns 1 if a total differs.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.helpers import eventually
from tests.integration.test_workers import GUNICORN, LABELS, Service, alive, ended

EACH = 500
THREADS = 8
SCRIPT = f"""
local asked = 0
response = function()
  asked = asked + 1
  if asked == {EACH} then wrk.thread:stop() end
end
"""


def main() -> int:
    """Prove and print."""
    if shutil.which("wrk") is None:
        print("wrk is not installed: apt-get install wrk", file=sys.stderr)
        return 2
    return max(_prove(preload) for preload in (False, True))


def _prove(preload: bool) -> int:
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        (place / "count.lua").write_text(SCRIPT)
        command = [part.replace("TMP", temporary) for part in GUNICORN]
        service = Service(place / "metrics", *command, *(["--preload"] if preload else []))
        try:
            eventually(service.ready, 30)
            service.ask(160)
            asked = sum(service.answered.values())
            print(f"preload_app {preload}: directory {_kilobytes(service.directory)} KB at first")
            wrong = 0
            for killed in (0, 2):
                victims = [pid for pid in service.answered if alive(pid)][:killed]
                for pid in victims:
                    os.kill(pid, signal.SIGKILL)
                eventually(lambda gone=victims: ended(gone), 30)  # type: ignore[misc]
                asked += _wrk(service.port, place / "count.lua")
                counted = service.metrics()[f"routecache_requests_total{LABELS}"] / 2
                wrong += counted != asked
                print(f"  {killed} workers killed: asked {asked}, /metrics {counted:.0f}")
            files = len(list(service.directory.iterdir()))
            print(f"  directory {_kilobytes(service.directory)} KB, {files} files at last")
            return int(wrong > 0)
        finally:
            service.stop()


def _wrk(port: int, script: Path) -> int:
    done = subprocess.run(
        ["wrk", f"-t{THREADS}", f"-c{THREADS}", "-d30s", "--timeout", "30s", "-s", str(script),
         f"http://127.0.0.1:{port}/ask"],
        capture_output=True, text=True, check=True, timeout=200,
    ).stdout  # fmt: skip
    found = re.search(r"(\d+) requests in", done)
    assert found, done
    errors = re.search(r"Non-2xx.*|Socket errors.*", done)
    assert errors is None, done
    assert int(found[1]) == THREADS * EACH, done  # else some were under way when it ended
    return int(found[1])


def _kilobytes(directory: Path) -> int:
    return sum(path.stat().st_blocks for path in directory.iterdir()) // 2


if __name__ == "__main__":
    raise SystemExit(main())
