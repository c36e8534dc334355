"""`_created` series: none where the process is ours, and the program's own choice anywhere else."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path

SCRIPT = """
    import sys
    from prometheus_client import CollectorRegistry, Counter, generate_latest
    from routecache_exporters import make_wsgi_app, start_http_server
    from routecache_exporters.cli import main

    registry = CollectorRegistry()
    Counter("own", "The program's.", registry=registry)
    make_wsgi_app(registry)
    start_http_server(port=0, registry=registry).close()

    def created():
        lines = generate_latest(registry).decode().splitlines()
        return [line.split()[0] for line in lines if "_created" in line and line[0] != "#"]

    print(created())
    main(["replay", sys.argv[1], "--no-redis", "--metrics-port", "0", "--json"])
    print(created())
"""


def test_a_command_of_ours_switches_them_off_and_an_import_or_a_mount_does_not(
    tmp_path: Path,
) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text(json.dumps({"timestamp": 0, "size": 1, "tool": "bash"}) + "\n")
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SCRIPT), log],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    first, *_, last = done.stdout.splitlines()
    assert first == "['own_created']"
    assert last == "[]"
