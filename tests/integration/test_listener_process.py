"""A listener and the life of its process: forks, the end, warnings, and TLS."""

import json
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import redis

from routecache_exporters.demo.processes import Processes
from tests.helpers import eventually
from tests.listening import Listening, Server, listening
from tests.servers import RedisServer

listen = pytest.fixture(listening, name="listen")

PRELUDE = """
    import json, os, sys, threading, time, warnings
    import redis
    from routecache.remote import endpoint as endpoints
    from routecache.remote.listener import Listener
    class Sink:
        def __init__(self):
            self.calls, self.told = [], threading.Condition()
        def _tell(self, *call):
            with self.told:
                self.calls.append(call)
                self.told.notify_all()
        def invalidated(self, keys): self._tell("invalidated", *[k.decode() for k in keys])
        def disconnected(self, at): self._tell("disconnected")
        def reconnected(self): self._tell("reconnected")
        def everything(self): self._tell("everything")
        def until(self, *call):
            with self.told:
                return self.told.wait_for(lambda: call in self.calls, 10)
    def begin():
        sink = Sink()
        listener = Listener(endpoints.acquire(os.environ["REDIS_URL"], None))
        listener.watch([b"forked:v1:{"], sink)
        assert sink.until("reconnected")
        return listener, sink
    def write(key):
        with redis.Redis.from_url(os.environ["REDIS_URL"]) as client:
            client.set(f"forked:v1:{{{key}}}", 1, px=10_000)
"""

FORKED = """
    warnings.simplefilter("ignore", DeprecationWarning)  # 3.12 warns of fork beside threads
    listener, sink = begin()
    sockets = lambda: sum(
        os.readlink(f"/proc/self/fd/{n}").startswith("socket")
        for n in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{n}")
    )
    answers = []
    for n in range(3):
        read, write_end = os.pipe()
        if os.fork() == 0:
            first = [listener.state, dict(listener.states), threading.active_count(), sockets()]
            sink.calls.clear()
            sink.told = threading.Condition()
            listener.ensure()
            ok = sink.until("disconnected") and sink.until("reconnected")
            write(f"child{n}")
            ok = ok and sink.until("invalidated", f"forked:v1:{{child{n}}}")
            probes = listener.snapshot().probes["ok"]
            os.write(write_end, json.dumps([*first, ok, sink.calls[:2], 0 < probes < 20]).encode())
            os._exit(0)
        answers.append(json.loads(os.read(read, 4096)))
        assert sink.until("invalidated", f"forked:v1:{{child{n}}}")  # heard here, too
        os.close(read)
        os.close(write_end)
    write("parent")
    assert sink.until("invalidated", "forked:v1:{parent}")
    assert [c for c in sink.calls if c[0] != "invalidated"] == [("reconnected",)], sink.calls
    print(json.dumps(answers))
"""

ENDED = """
    listener, sink = begin()
    write("k")
    assert sink.until("invalidated", "forked:v1:{k}")
    print(time.time(), flush=True)
"""

ENDED_CONNECTING = """
    listener = Listener(endpoints.acquire("redis://192.0.2.1:6379/0", None))
    listener.watch([b"forked:v1:{"], Sink())
    print(time.time(), flush=True)
"""


def run(script: str, url: str) -> tuple[str, str, float]:
    """The script's output, its errors, and when it had ended; warnings of any kind are shown."""
    done = subprocess.run(
        [
            sys.executable,
            "-X",
            "dev",
            "-W",
            "always",
            "-c",
            textwrap.dedent(PRELUDE) + textwrap.dedent(script),
        ],
        env={"REDIS_URL": url, "PATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr, time.time()


def test_a_forked_child_listens_for_itself_and_leaves_its_parents_connection_alone(
    shared_redis: RedisServer,
) -> None:
    out, _, _ = run(FORKED, shared_redis.url)
    answer = [
        "disconnected",
        {"connected": 0, "disconnected": 0},
        1,
        0,
        True,
        [["disconnected"], ["reconnected"]],
        True,
    ]
    assert json.loads(out) == [answer] * 3


@pytest.mark.parametrize("script", [ENDED, ENDED_CONNECTING], ids=["connected", "connecting"])
def test_the_process_ends_at_once_and_without_a_warning(
    shared_redis: RedisServer, script: str
) -> None:
    out, errors, ended = run(script, shared_redis.url)
    assert ended - float(out) < 1.0
    assert "Warning" not in errors
    assert "Traceback" not in errors


@pytest.mark.needs("redis-server", "openssl")
def test_tls_is_listened_to_as_any_other_connection(tmp_path: Path, listen: Listening) -> None:
    subprocess.run(
        "openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 "
        "-subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1",
        shell=True,
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    with Processes() as processes:
        port = 21877
        server = Server(
            processes,
            "redis",
            tls_port=port,
            tls_cert_file=cert,
            tls_key_file=key,
            tls_ca_cert_file=cert,
            tls_auth_clients="no",
        )
        url = f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={cert}"
        listener, sink = listen.watched(url, heartbeat_interval=0.02)
        with server.client() as client:
            script = "for i = 1, 50000 do redis.call('SET', 'fast:v1:{' .. i .. '}', '') end"
            client.eval(script, 0)
            eventually(lambda: len(sink.keys) == 50_000)
            client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
            eventually(lambda: sink.count("reconnected") == 2)
            client.set("fast:v1:{a}", 1)
            eventually(lambda: b"fast:v1:{a}" in sink.keys)
        assert listener.generation == 2
        listener.close()


def test_managers_of_one_endpoint_share_one_listener(shared_redis: RedisServer) -> None:
    from routecache.remote import endpoint as endpoints
    from routecache.remote.listener import listener_for

    one = endpoints.acquire(shared_redis.url, None)
    same = endpoints.acquire(shared_redis.url, None)
    with redis.Redis.from_url(shared_redis.url) as client:
        other = endpoints.acquire(None, client)
    assert listener_for(one) is listener_for(same)
    assert listener_for(one) is not listener_for(other)
    for endpoint in (one, same, other):
        endpoints.release(endpoint)
