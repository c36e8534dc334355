"""A forked child: own counters from zero, own connections, and no lock that its parent held."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path

from tests.servers import RedisServer

ROOT = Path(__file__).parents[2]

SCRIPT = """
    import json, os, threading, warnings
    from routecache import BaseCacheManager, Policy, snapshot
    warnings.simplefilter("ignore", DeprecationWarning)  # 3.12 warns of fork beside threads
    cache = BaseCacheManager(redis_url=os.environ["REDIS_URL"], cache_prefix="fork",
                             policy=Policy(l2_timeout=5.0))  # eight children on a busy machine
    cache.set("k", "parent")
    assert cache.get("k") == "parent"
    stop = threading.Event()
    def busy():
        i = 0
        while not stop.is_set():
            i += 1
            cache.get_or_load(f"busy{i % 300}", lambda i=i: i)
    threads = [threading.Thread(target=busy) for _ in range(4)]
    for thread in threads:
        thread.start()
    children = []
    for n in range(8):
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            before = cache.get_stats()["requests"]
            ok = cache.get("k") == "parent"
            for i in range(50):
                cache.set(f"child{n}.{i}", i)
                ok = ok and cache.get(f"child{n}.{i}") == i
            for i in range(300):
                value = cache.get_or_load(f"busy{i}", lambda i=i: i)
                ok = ok and value % 300 == i
            seen = snapshot().caches[0]
            os.write(write, json.dumps([before, ok, seen.requests, cache.redis_available]).encode())
            os._exit(0)
        os.close(write)
        children.append((pid, read))
    answers = []
    for pid, read in children:
        answers.append(json.loads(os.read(read, 4096)))
        assert os.waitpid(pid, 0)[1] == 0
    stop.set()
    for thread in threads:
        thread.join()
    cache.close()
    print(json.dumps(answers))
"""


def test_a_child_forked_amid_traffic_starts_at_zero_and_works(shared_redis: RedisServer) -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SCRIPT)],
        env={"REDIS_URL": shared_redis.url, "PATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [[0, True, 1 + 50 + 300, True]] * 8


TWO_FORKERS = """
    import os, sys, threading, warnings
    from routecache import forking
    sys.setswitchinterval(1e-6)
    warnings.simplefilter("ignore", DeprecationWarning)  # 3.12 warns of fork beside threads

    class Thing:
        def __init__(self):
            self.lock = threading.RLock()

    things = [Thing() for _ in range(50)]
    for thing in things:
        forking.keep_whole(thing)
    barrier = threading.Barrier(3)

    def fork_often():
        barrier.wait()
        for _ in range(40):
            pid = os.fork()
            if pid == 0:
                for thing in things:
                    with thing.lock:
                        pass
                if os.fork() == 0:  # the child's own hooks work too
                    os._exit(0)
                os._exit(os.waitstatus_to_exitcode(os.wait()[1]))
            assert os.waitpid(pid, 0)[1] == 0

    threads = [threading.Thread(target=fork_often) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print("done")
"""


def test_threads_that_fork_at_the_same_time_do_not_wait_for_each_other_for_ever() -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(TWO_FORKERS)],
        env={"PATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr


DEAF_CHILD = """
    import os, warnings
    from routecache import BaseCacheManager, Policy
    from tests.helpers import eventually
    warnings.simplefilter("ignore", DeprecationWarning)  # 3.12 warns of fork beside threads
    policy = Policy(l2_timeout=5.0, blind_ttl=0)
    cache = BaseCacheManager(redis_url=os.environ["REDIS_URL"], cache_prefix="deaf", policy=policy)
    assert eventually(lambda: cache.core.hears)
    cache.set("k", "old")
    def is_hit():
        before = cache.get_stats()["l1_hits"]
        cache.get("k")
        return cache.get_stats()["l1_hits"] == before + 1
    assert eventually(lambda: all(is_hit() for _ in range(20)))
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.read(read, 1)
        os._exit(0 if cache.get("k") == "new" else 1)
    cache.set("k", "new")
    os.write(write, b"!")
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    cache.close()
"""


def test_a_child_that_hears_nothing_yet_serves_its_parents_entries_for_the_blind_ttl_at_most(
    shared_redis: RedisServer,
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(DEAF_CHILD)],
        env={"REDIS_URL": shared_redis.url, "PATH": "", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "0\n"), done.stderr


WARMING = """
    import json, os, threading, warnings
    from routecache import BaseCacheManager, snapshot
    warnings.simplefilter("ignore", DeprecationWarning)
    cache = BaseCacheManager(redis_url=os.environ["REDIS_URL"], cache_prefix="forkwarm")
    assert cache.warm(["before"], loader=str.upper).complete
    started, go_on = threading.Event(), threading.Event()
    def load(key):
        started.set()
        assert go_on.wait(30)
        return key
    thread = threading.Thread(target=lambda: cache.warm(["k1", "k2"], loader=load))
    thread.start()
    assert started.wait(30)
    read, write = os.pipe()
    if os.fork() == 0:
        (seen,) = (c for c in snapshot().caches if c.name == "forkwarm")
        kept = cache.get("before")
        own = cache.get_or_load("k1", lambda: "the child's own")
        again = cache.warm(["k3"], loader=str.upper, fleet=None)
        told = [seen.warm_up_started, seen.warm_entries, kept, own, again.complete]
        os.write(write, json.dumps(told).encode())
        os._exit(0)
    os.close(write)
    answer = os.read(read, 4096)
    os.wait()
    go_on.set()
    thread.join()
    print(answer.decode(), cache.get("k2"))
    cache.close()
"""


def test_a_child_forked_amid_a_warm_up_has_begun_none_and_waits_for_none(
    shared_redis: RedisServer,
) -> None:
    """What was warm stays warm; the parent's warm-up ends in the parent alone."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(WARMING)],
        env={"REDIS_URL": shared_redis.url, "PATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [
        *["[null,", "0,", '"BEFORE",', '"the', "child's", 'own",', "true]"],
        "k2",
    ]
