"""`routecache explain`, `inspect` and `clear` on one server, behind Sentinel and on a cluster."""

import io
import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest

from routecache import MISS, BaseCacheManager, Policy
from routecache.remote.inspection import Inspection
from routecache.serializers import MsgpackSerializer
from routecache_exporters import cli
from routecache_exporters.inspecting.census import classify
from tests.helpers import eventually
from tests.topologies import Cluster, One, Topology, Valkey, WithSentinel

_numbers = itertools.count()
needs_redis = pytest.mark.needs("redis-server")
KINDS = [
    pytest.param(One, id="redis", marks=needs_redis),
    pytest.param(Valkey, id="valkey"),
    pytest.param(WithSentinel, id="sentinel", marks=needs_redis),
    pytest.param(Cluster, id="cluster", marks=needs_redis),
]


@pytest.fixture(scope="module", params=KINDS)
def topology(request: pytest.FixtureRequest) -> Iterator[Topology]:
    with request.param() as topology:
        yield topology


@pytest.fixture(scope="module")
def one() -> Iterator[Topology]:
    with Valkey() as topology:
        yield topology


@pytest.fixture
def prefix() -> str:
    return f"seen{next(_numbers)}"


def manager(topology: Topology, prefix: str, **options: Any) -> BaseCacheManager:
    policy = options.pop("policy", Policy(l2_timeout=2.0, negative_ttl=60.0))
    made = BaseCacheManager(
        1000, redis_url=topology.url, cache_prefix=prefix, policy=policy, **options
    )
    eventually(lambda: made.core.hears)
    return made


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    """What a command that succeeds says as JSON."""
    assert cli.main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_explain_tells_of_a_key_and_never_its_value(
    topology: Topology, prefix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("explain", "k", "--prefix", prefix, "--url", topology.url)
    with manager(topology, prefix, serializer=MsgpackSerializer()) as cache:
        assert run(capsys, *arguments)["l2"]["state"] == "absent"
        cache.set("k", "the-value", tags=("a", "b"))
        said = run(capsys, *arguments)
        assert (said["key"], said["prefix"]) == ("k", prefix)
        l2 = said["l2"]
        assert (l2["state"], l2["serializer"], l2["tags"]) == ("fresh", "msgpack", ["a", "b"])
        assert l2["writer"] == cache.core.release
        assert 200 < l2["seconds_left"] <= 300
        cache.invalidate_tags("b")
        l2 = run(capsys, *arguments)["l2"]
        assert (l2["state"], l2["invalidated_by"]) == ("invalidated", ["b"])
        assert cli.main(list(arguments)) == 0
        out = capsys.readouterr().out
        assert "invalidated by the tag b" in out
        assert "the-value" not in out + json.dumps(said)


def test_explain_sees_the_lease_of_a_load(
    topology: Topology, prefix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = []
    with manager(topology, prefix) as cache:

        def load() -> int:
            seen.append(run(capsys, "explain", "k", "--prefix", prefix, "--url", topology.url))
            return 1

        cache.get_or_load("k", load)
    assert 0 < seen[0]["l2"]["lease_left"] <= 10


def test_inspect_counts_exactly_and_samples_the_rest(
    topology: Topology, prefix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with manager(topology, prefix) as cache, manager(topology, f"{prefix}:other") as other:
        cache.set_many({f"k{i}": "x" * 100 for i in range(250)}, ttl=50)
        cache.get_or_load("none", lambda: MISS)
        cache.invalidate_tags("t", "u:tag:v1:{x}")
        other.set_many({"a": 1, "b": 2})
        counted = run(
            capsys, "inspect", "--prefix", prefix, "--url", topology.url, "--sample", "100"
        )
        (holding,) = counted["prefixes"]
        every = run(capsys, "inspect", "--url", topology.url)
        assert cli.main(["inspect", "--prefix", prefix, "--url", topology.url]) == 0
    out = capsys.readouterr().out
    assert "200 sampled values of 251" in out
    assert (holding["values"], holding["leases"], holding["tags"]) == (251, 0, 2)
    assert holding["wire_versions"] == {"v1": 251}
    sample = holding["sample"]
    assert sample["values"] == 100
    assert sample["serializers"] == {"json": 100}
    assert sample["writers"] == {cache.core.release: 100}
    assert sample["undecodable"] == 0
    assert sum(sample["ttl_at_most"].values()) == 100
    assert set(sample["ttl_at_most"]) <= {"1m"}
    assert sample["bytes_estimated"] > 251 * 100
    assert 0 <= sample["newest_age"] <= sample["oldest_age"] < 100
    found = {each["prefix"]: each["values"] for each in every["prefixes"]}
    assert found[prefix] == 251
    assert found[f"{prefix}:other"] == 2
    assert counted["whole"]
    assert counted["primaries"] == (3 if isinstance(topology, Cluster) else 1)


def test_clear_removes_one_caches_keys_and_running_processes_hear_it(
    topology: Topology, prefix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with manager(topology, prefix) as cache, manager(topology, f"{prefix}:other") as other:
        cache.set_many({f"k{i}": i for i in range(2500)})
        cache.invalidate_tags("t")
        other.set("k0", "stays")
        assert eventually(lambda: cache.get("k0") == 0 and len(cache) > 0)
        assert cli.main(["clear", "--prefix", prefix, "--url", topology.url, "--yes"]) == 0
        assert f"removed 2,501 keys of {prefix}\n" in capsys.readouterr().out
        eventually(lambda: len(cache) == 0)
        assert cache.get("k0", MISS) is MISS
        assert other.get("k0") == "stays"


@pytest.mark.parametrize("option", ["--key", "--tag"])
def test_one_key_is_deleted_or_one_tag_invalidated_and_running_processes_hear_it(
    topology: Topology, prefix: str, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with manager(topology, prefix) as cache:
        cache.set_many({"k": 1, "l": 1}, tags=("t",))
        cache.set("other", 2)
        assert eventually(lambda: cache.get("k") == 1 and cache.explain("k").l1.state == "fresh")
        name = "k" if option == "--key" else "t"
        arguments = ["clear", "--prefix", prefix, "--url", topology.url, option, name, "--yes"]
        assert cli.main(arguments) == 0
        eventually(lambda: cache.explain("k").l1.state == "absent")
        assert cache.get("k", MISS) is MISS
        assert cache.get("l", MISS) == (1 if option == "--key" else MISS)
        assert cache.get("other") == 2
        assert cli.main(arguments) == 0
        said = capsys.readouterr().out.splitlines()
    if option == "--key":
        assert said == ["deleted: Redis held it", "deleted: Redis did not hold it"]


@needs_redis
@pytest.mark.parametrize("what", [["--key", "k"], ["--tag", "t"], []])
def test_where_redis_tells_nobody_our_own_message_does(prefix: str, what: list[str]) -> None:
    with One() as topology:
        rules = ["on", ">pass", "~*", "+@all", "-client|tracking", "allchannels"]
        topology.primary().ask("ACL", "SETUSER", "limited", *rules)
        url = topology.url.replace("redis://", "redis://limited:pass@")
        with BaseCacheManager(cache_prefix=prefix, redis_url=url) as cache:
            eventually(lambda: cache.core.hears)
            cache.set("k", 1, tags=("t",))
            eventually(lambda: cache.get("k") == 1 and cache.explain("k").l1.state == "fresh")
            assert cli.main(["clear", "--prefix", prefix, "--url", url, "--yes", *what]) == 0
            eventually(lambda: cache.explain("k").l1.state == "absent")


def test_foreign_and_unreadable_values_are_counted_and_do_no_harm(
    one: Topology, prefix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ask = one.primary().ask
    ask("HSET", f"{prefix}:v1:{{hash}}", "f", "1")
    ask("SET", f"{prefix}:v1:{{text}}", "garbage")
    ask("SET", f"{prefix}:v7:{{later}}", "unknown", "EX", "100")
    ask("SET", f"{prefix}.foreign:tag:x", "1")
    ask("SET", f"{prefix}:lease:{{k}}", "token", "EX", "9")
    arguments = ("inspect", "--url", one.url)
    (found,) = run(capsys, *arguments, "--prefix", prefix)["prefixes"]
    assert found["wire_versions"] == {"v1": 2, "v7": 1}
    assert found["leases"] == 1
    assert found["sample"]["undecodable"] == 2
    assert found["sample"]["ttl_at_most"] == {"10m": 1, "endless": 2}
    every = [each["prefix"] for each in run(capsys, *arguments)["prefixes"]]
    assert prefix in every
    assert f"{prefix}.foreign" not in every, "a tag alone may be anybody's"
    said = run(capsys, "explain", "hash", "--prefix", prefix, "--url", one.url)["l2"]
    assert (said["state"], said["problem"], said["redis_ttl"]) == ("undecodable", "envelope", None)


def test_a_walk_ends_at_its_limit_and_says_so(
    one: Topology, prefix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with manager(one, prefix) as cache:
        cache.set_many({f"k{i}": i for i in range(5000)})
    arguments = ["inspect", "--prefix", prefix, "--url", one.url, "--limit", "1", "--sample", "0"]
    found = run(capsys, *arguments)
    assert not found["whole"]
    assert 0 < found["prefixes"][0]["values"] < 5000
    assert found["prefixes"][0]["sample"]["bytes"] is None
    assert cli.main(arguments) == 0
    assert "of a part of the keys" in capsys.readouterr().out


def test_inspecting_reads_redis_url_and_writes_nothing(
    one: Topology,
    prefix: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("REDIS_URL", one.url)
    one.primary().ask("SET", f"{prefix}:v1:{{k}}", "x")
    before = one.primary().ask("INFO", "persistence")["rdb_changes_since_last_save"]
    assert run(capsys, "inspect", "--prefix", prefix)["prefixes"][0]["values"] == 1
    run(capsys, "explain", "k", "--prefix", prefix)
    assert one.primary().ask("INFO", "persistence")["rdb_changes_since_last_save"] == before


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("\n", 1), ("no\n", 1), ("", 1)])
def test_clear_asks_on_a_terminal(
    one: Topology,
    prefix: str,
    answer: str,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    one.primary().ask("SET", f"{prefix}:v1:{{k}}", "x")
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    assert cli.main(["clear", "--prefix", prefix, "--url", one.url]) == code
    assert f"Remove all keys of the cache {prefix}" in capsys.readouterr().err
    assert one.primary().ask("EXISTS", f"{prefix}:v1:{{k}}") == code


def test_without_a_terminal_clear_wants_yes(
    one: Topology, prefix: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    one.primary().ask("SET", f"{prefix}:v1:{{k}}", "x")
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert cli.main(["clear", "--prefix", prefix, "--url", one.url]) == 2
    assert "confirm with --yes" in capsys.readouterr().err
    assert one.primary().ask("EXISTS", f"{prefix}:v1:{{k}}") == 1


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["explain", "k"], 2, "--prefix"),
        (["explain", "", "--prefix", "p"], 2, "non-empty"),
        (["explain", "k", "--prefix", "a b"], 2, "cache_prefix"),
        (["inspect", "--limit", "-1"], 2, "limit"),
        (["clear", "--yes"], 2, "--prefix"),
        (["clear", "--prefix", "p", "--key", "k", "--tag", "t"], 2, "not allowed with"),
        (["inspect", "--url", "http://user:secret@host"], 2, "begin with one of redis://"),
        (["inspect", "--url", "redis://user:secret@127.0.0.1:1"], 1, "cannot be reached"),
        (["clear", "--prefix", "p", "--yes", "--url", "redis://:secret@127.0.0.1:1"], 1, "reached"),
    ],
)
def test_a_mistake_or_a_failure_is_one_line_without_a_secret(
    arguments: list[str], code: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("routecache: ")
    assert err.count("\n") == 1
    assert says in err
    assert "secret" not in err


@needs_redis
def test_a_refused_password_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with One(requirepass="right") as topology:
        url = topology.url.replace(":right@", ":wrong@")
        assert cli.main(["inspect", "--url", url]) == 1
    assert "refused the user, the password" in capsys.readouterr().err


def test_a_walk_that_fails_in_the_middle_says_how_far_it_came(
    one: Topology, prefix: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from routecache.errors import RemoteError

    def breaks(_self: Inspection, _prefix: str) -> Iterator[tuple[int, int]]:
        yield 1000, 7
        raise RemoteError("timeout")

    monkeypatch.setattr(Inspection, "clear", breaks)
    assert cli.main(["clear", "--prefix", prefix, "--url", one.url, "--yes"]) == 1
    out, err = capsys.readouterr()
    assert out == f"removed 7 keys of {prefix}\n"
    assert "did not answer in time" in err


@pytest.mark.parametrize(
    ("wire_key", "is_what"),
    [
        (b"p:v1:{k}", ("value", "p", 1)),
        (b"a:b:v12:{x:tag:y}", ("value", "a:b", 12)),
        (b"p:v1:{q:v2:{k}}", ("value", "p", 1)),
        (b"p:lease:{q:v2:{k}}", ("lease", "p", 0)),
        (b"p:tag:q:v1:{k}", ("tag", "p", 0)),
        (b"p:tag:q:tag:r", ("tag", "p", 0)),
        (b"p:v1:{\n}", ("value", "p", 1)),
        (b"p:hb:123:{t}:1", None),
        (b"p:v1:k", None),
        (b"p q:v1:{k}", None),
        (b":v1:{k}", None),
        (b"p:v1:{}", None),
    ],
)
def test_a_wire_key_is_told_from_what_only_looks_like_one(
    wire_key: bytes, is_what: tuple[str, str, int] | None
) -> None:
    assert classify(wire_key) == is_what
