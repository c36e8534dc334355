"""How long other processes serve what one process has changed: write → their sink called.

    python bench/coherence.py [--quick] [--check]

A private Redis runs on a Unix socket. One process sets and deletes 2,000 keys at 200 a second and
notes when it sends each command; another has a listener and notes when its sink is told. Both
read the same monotonic clock. Each third write is one of a burst of eight, sent at once. `--check`
fails above promise 5: 50 ms at p99.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import redis

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.private_redis import private_redis
from routecache.remote import endpoint as endpoints
from routecache.remote.listener import Listener

WRITES: Final = 2000
RATE: Final = 200.0  # a second
GOAL: Final = 0.05  # seconds, at p99


class Clock:
    """A sink that notes when it is told of each key."""

    def __init__(self) -> None:
        self.told: list[tuple[str, float]] = []

    def invalidated(self, keys: Sequence[bytes]) -> None:
        now = time.monotonic()
        self.told += [(key.decode(), now) for key in keys]

    def disconnected(self, at: float) -> None:
        raise SystemExit(f"disconnected at {at}")

    def reconnected(self) -> None:
        print("ready", flush=True)

    def everything(self) -> None:
        raise SystemExit("flushed")


def listen(url: str) -> None:
    """The other process: note until standard input ends, then print."""
    sink = Clock()
    listener = Listener(endpoints.acquire(url, None))
    listener.watch([b"coherence:v1:{", b"coherence:tag:"], sink)
    sys.stdin.read()
    print(json.dumps(sink.told))
    listener.close()


def write(client: "redis.Redis", writes: int) -> list[tuple[str, float]]:
    """Set and delete keys in turn, at RATE; gives each key and when its command was sent."""
    sent = []
    started = time.monotonic()
    for n in range(writes):
        due = started + (n - n % 8 if n % 24 < 8 else n) / RATE
        time.sleep(max(0.0, due - time.monotonic()))
        key = f"coherence:v1:{{{n // 2}}}"
        now = time.monotonic()
        if n % 2:
            client.delete(key)
        else:
            client.set(key, b"x" * 200, px=60_000)
        sent.append((key, now))
    return sent


def measure(url: str, writes: int) -> list[float]:
    """The seconds from each write to the other process's sink, in order of size."""
    argv = [sys.executable, str(Path(__file__).resolve()), "--listen", url]
    with (
        subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other,
        redis.Redis.from_url(url) as client,
    ):
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"
        sent = write(client, writes)
        time.sleep(0.2)
        other.stdin.close()
        told: dict[str, list[float]] = {}
        for key, at in json.loads(other.stdout.readline()):
            told.setdefault(key, []).append(at)
    lags = [told[key].pop(0) - at for key, at in sent]
    assert not any(told.values()), "told more often than written"
    return sorted(lags)


def main() -> int:
    """Measure and print. Returns 1 with `--check` above the goal."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the writes")
    parser.add_argument("--check", action="store_true", help="fail above 50 ms at p99")
    parser.add_argument("--listen", metavar="URL", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.listen:
        listen(options.listen)
        return 0
    with private_redis() as server:
        lags = measure(server.url, WRITES // 10 if options.quick else WRITES)
        print(f"{len(lags)} writes at {RATE:g}/s on {server.server}, write → other process's sink:")
    p99 = lags[int(0.99 * len(lags))]
    for name, value in (("p50", lags[len(lags) // 2]), ("p99", p99), ("max", lags[-1])):
        print(f"  {name}  {value * 1e3:8.3f} ms")
    if options.check and p99 > GOAL:
        print(f"p99 is above {GOAL * 1e3:g} ms")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
