"""`routecache warm` and the requests of a log: what is read, what is told, exit codes."""

import gzip
import json
import os
import sys
from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import redis

from routecache import PastRequest, RoutingCache, RoutingSettings, keys
from routecache_exporters import cli
from routecache_exporters.replay.lines import BadRows
from routecache_exporters.usage import UsageError
from routecache_exporters.warming import past_requests
from tests.servers import RedisServer

LOG = """\
timestamp,provider,task,tokens
2025-01-01 00:00:00,openai,chat,100
2025-01-01 00:00:01,openai,chat,100
not a row
2025-01-01 00:00:02,google,code,900
"""

ROUTER = """\
from routecache import RoutingLoaders

def broken(_):
    raise OSError("secret")

LOADERS = RoutingLoaders(
    provider=lambda name: {"up": name},
    model=lambda context: f"model for {context['task']}",
)
BROKEN = RoutingLoaders(provider=broken, model=broken)
"""


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A log, and beside it the module of a router."""
    (tmp_path / "router_of_the_test.py").write_text(ROUTER)
    (tmp_path / "raises_at_import.py").write_text("\nraise OSError('secret')")
    (tmp_path / "lacks_a_name.py").write_text("import os\n\nLOADERS = os.no_such_thing")
    (tmp_path / "no_python.py").write_text("LOADERS = (\n")
    path = tmp_path / "log.csv"
    path.write_text(LOG)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield path
    for made in tmp_path.glob("*.py"):
        sys.modules.pop(made.stem, None)


def test_the_requests_of_a_log_come_anew_with_each_call(log: Path) -> None:
    bad = BadRows()
    read = past_requests(str(log), "task,tokens:pow10", bad=bad)
    expected = [
        PastRequest({"task": "chat", "tokens": 100}, "openai"),
        PastRequest({"task": "chat", "tokens": 100}, "openai"),
        PastRequest({"task": "code", "tokens": 1000}, "google"),
    ]
    assert list(read()) == expected
    assert list(read()) == expected
    assert (bad.count, bad.first[0].line) == (1, 4)


def test_json_lines_and_gzip_are_read_as_by_replay(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl.gz"
    rows = [{"task": "chat", "tool": "Bash"}, {"task": "code"}]
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    assert list(past_requests(str(path), "task")()) == [
        PastRequest({"task": "chat"}, None, "Bash"),
        PastRequest({"task": "code"}),
    ]


def test_a_limit_ends_the_reading(log: Path) -> None:
    assert len(list(past_requests(str(log), limit=1)())) == 1


def test_a_log_that_cannot_be_used_is_told_when_it_is_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such log file"):
        list(past_requests(str(tmp_path / "nowhere.csv"))())


def warm(server: RedisServer, *arguments: str) -> int:
    return cli.main(["warm", "log.csv", "--redis-url", server.url, *arguments])


@pytest.mark.needs("redis-server")
def test_what_a_log_asked_for_is_in_redis_and_nothing_is_loaded_twice(
    log: Path, redis_server: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--loaders", "router_of_the_test:LOADERS", "--context", "task", "--json")
    assert warm(redis_server, *arguments) == 1, "there is no loader of chains"
    first = {each["cache"]: each for each in json.loads(capsys.readouterr().out)["caches"]}
    assert (first["provider"]["loaded"], first["model"]["loaded"]) == (2, 2)
    assert first["fallback"]["skipped"] == 2
    warm(redis_server, *arguments)
    again = {each["cache"]: each for each in json.loads(capsys.readouterr().out)["caches"]}
    assert (again["model"]["loaded"], again["model"]["from_l2"]) == (0, 2)
    key = keys.value_key("routing:model", keys.digest({"task": "chat"}))
    with redis.Redis.from_url(redis_server.url) as client:
        assert client.exists(key)


@pytest.mark.needs("redis-server")
def test_a_table_tells_of_it_and_of_bad_rows(
    log: Path, redis_server: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    warm(redis_server, "--loaders", "routecache_exporters.replay.loaders:LOADERS")
    out = capsys.readouterr().out
    assert "from Redis" in out
    assert "1 bad rows were left out" in out


@pytest.mark.needs("redis-server")
def test_loaders_that_raise_are_exit_code_1_and_tell_no_text(
    log: Path, redis_server: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert warm(redis_server, "--loaders", "router_of_the_test:BROKEN") == 1
    told = capsys.readouterr()
    assert "not enough" in told.out
    assert "secret" not in told.out + told.err


@pytest.mark.needs("redis-server")
def test_as_many_contexts_are_warmed_as_the_routers_memory_holds(
    log: Path, redis_server: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """150 contexts of a log, where a router's L1 holds 100 unless it is told otherwise."""
    rows = [f"2025-01-01 00:00:00,openai,task{n % 150},{n}\n" for n in range(300)]
    log.write_text("".join(["timestamp,provider,task,tokens\n", *rows]))
    arguments = ("--loaders", "routecache_exporters.replay.loaders:LOADERS", "--context", "task")
    assert warm(redis_server, *arguments) == 0
    assert "taken for model, fallback: --sizes takes more" in capsys.readouterr().out
    assert warm(redis_server, *arguments, "--sizes", "model=1000,fallback=500", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["full"] == []
    assert {each["cache"]: each["entries"] for each in told["caches"]} == {
        "provider": 1, "model": 150, "fallback": 150, "tool": 0,
    }  # fmt: skip
    settings = RoutingSettings(redis_url=redis_server.url, model_maxsize=1000, fallback_maxsize=500)
    with RoutingCache(settings) as router:
        missing = [
            n for n in range(150) if router.get_model_selection({"task": f"task{n}"}) is None
        ]
    assert missing == []


@pytest.mark.needs("redis-server")
def test_a_router_with_a_prefix_of_its_own_is_warmed_under_it(
    log: Path, redis_server: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--loaders", "router_of_the_test:LOADERS", "--context", "task")
    warm(redis_server, *arguments, "--prefix", "eu:")
    settings = RoutingSettings(redis_url=redis_server.url)
    with RoutingCache(settings) as router:
        assert router.get_provider_status("openai") is None
    with RoutingCache(replace(settings, prefix="eu:")) as router:
        assert router.get_provider_status("openai") == {"up": "openai"}
        assert router.get_model_selection({"task": "chat"}) == "model for chat"


def test_bad_rows_are_told_also_if_the_reading_is_ended_early(log: Path) -> None:
    bad = BadRows()
    requests = past_requests(str(log), "task,tokens:pow10", bad=bad)()
    assert isinstance(requests, Generator)
    for _ in range(3):
        next(requests)
    requests.close()
    assert bad.count == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["log.csv"], "required: --loaders"),
        (["-", "--loaders", "router_of_the_test:LOADERS"], "warm needs a file"),
        (["log.csv", "--loaders", "LOADERS"], "give MODULE:NAME"),
        (["log.csv", "--loaders", "no_such_module:LOADERS"], "no module 'no_such_module'"),
        (["log.csv", "--loaders", "router_of_the_test:NONE"], "has no NONE"),
        (["log.csv", "--loaders", "router_of_the_test:ROUTER"], "has no ROUTER"),
        (["log.csv", "--loaders", "router_of_the_test:broken"], "and no RoutingLoaders"),
        (
            ["log.csv", "--loaders", "raises_at_import:X"],
            "importing raises_at_import raised OSError at {here}/raises_at_import.py:2",
        ),
        (
            ["log.csv", "--loaders", "lacks_a_name:LOADERS"],
            "importing lacks_a_name raised AttributeError at {here}/lacks_a_name.py:3",
        ),
        (
            ["log.csv", "--loaders", "no_python:LOADERS"],
            "importing no_python raised SyntaxError at {here}/no_python.py:1",
        ),
        (
            ["log.csv", "--loaders", "router_of_the_test:LOADERS", "--sizes", "tool=9"],
            "'tool=9' is no size",
        ),
        (
            ["log.csv", "--loaders", "router_of_the_test:LOADERS", "--prefix", "a b"],
            "'a b' must be",
        ),
        (["nowhere.csv", "--loaders", "router_of_the_test:LOADERS"], "no such log file"),
        (["log.csv", "--loaders", "router_of_the_test:LOADERS", "--context", "x"], "no column 'x'"),
        (
            ["log.csv", "--loaders", "router_of_the_test:LOADERS", "--rate", "0"],
            "not a number above",
        ),
        (
            ["log.csv", "--loaders", "router_of_the_test:LOADERS", "--deadline", "inf"],
            "not a number",
        ),
        (["log.csv", "--loaders", "router_of_the_test:LOADERS", "--concurrency", "0"], "from 1 up"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    log: Path, arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["warm", *arguments]) == 2
    told = capsys.readouterr().err
    assert says.format(here=log.parent) in told
    assert told.count("\n") == 1
    assert "secret" not in told


def test_a_pipe_that_has_a_name_is_not_read_twice(
    log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo("pipe")
    held = os.open("pipe", os.O_RDWR)  # so that opening it waits for nobody
    try:
        os.write(held, LOG.encode())
        assert cli.main(["warm", "pipe", "--loaders", "router_of_the_test:LOADERS"]) == 2
    finally:
        os.close(held)
    assert "warm needs a file, which it reads twice, and no pipe" in capsys.readouterr().err


def test_without_redis_nothing_is_warmed_and_that_is_told(
    log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--loaders", "router_of_the_test:LOADERS", "--redis-url", "redis://127.0.0.1:9/0"]
    assert cli.main(["warm", "log.csv", *arguments]) == 1
    assert "nothing was warmed" in capsys.readouterr().err
