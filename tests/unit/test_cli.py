"""The command line: one clear line for a mistake, ports, signals, help."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from argparse import ArgumentTypeError
from collections.abc import Iterator
from pathlib import Path

import pytest

from routecache_exporters import cli, usage
from routecache_exporters.ports import LOOPBACK, choose_port, port_number
from routecache_exporters.signals import stop_on_signals
from routecache_exporters.usage import UsageError, require

DIR = ("--multiproc-dir", "{workers}")


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.create_server((LOOPBACK, 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.csv"
    path.write_text("TIMESTAMP,ContextTokens\n2023-11-16 18:17:03,10\n")
    return path


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "required: COMMAND"),
        (["repaly"], "invalid choice: 'repaly'"),
        (["replay"], "required: FILE"),
        (["replay", "nowhere.csv"], "no such log file: nowhere.csv"),
        (["replay", "{log}", "--context", "Tokens"], "no column 'Tokens' for --context"),
        (["replay", "{log}", "--context", "ContextTokens:pow3"], "unknown bucket 'pow3'"),
        (["replay", "{log}", "--timestamp", "when"], "no column 'when' for --timestamp"),
        (["replay", "{log}", "--speed", "fast"], "'fast' is neither a number above 0 nor max"),
        (["replay", "{log}", "--speed", "0"], "'0' is neither"),
        (["replay", "{log}", "--speed", "log"], "--speed log needs --no-redis"),
        (["replay", "{log}", "--speed", "log", "--no-redis", "--spend-cost"], "--spend-cost takes"),
        (["replay", "{log}", "--sizes", "model"], "'model' is no size: give CACHE=N"),
        (["replay", "{log}", "--sizes", "model=0"], "'0' is not a whole number from 1 up"),
        (["tune", "nowhere.csv"], "no such log file: nowhere.csv"),
        (["replay", "{log}", "--limit", "0"], "whole number from 1 up"),
        (["replay", "{log}", "--cost-ms", "-1"], "milliseconds"),
        (["replay", "{log}", "--metrics-port", "70000"], "'70000' is no port"),
        (["replay", "{log}", "--metrics-port", "{taken}"], "is taken: give another"),
        (["replay", "{log}", "--no-redis", "--redis-url", "x"], "not allowed with"),
        (["replay", "{log}", "--redis-url", "http://x"], "begin with one of redis://"),
        (["replay", "{log}", "--redis-url", "redis://["], "IPv6 address"),
        (
            ["replay", "{log}", "--redis-url", "redis://localhost:port"],
            "has a port that is no number",
        ),
        (["replay", "{log}", "--no-metric"], "unrecognized"),
        (["demo", "--seconds", "0"], "'0' is not a number of seconds above 0"),
        (["demo", "--seconds", "20", "--outage"], "--seconds of at least 90"),
        (["demo", "--port", "{taken}"], "is taken: give another with --port"),
        (["demo", "--web.listen-address", "9464"], "'9464' is no address to listen on"),
        (["demo", "--web.config.file", "x.yml"], "--web.config.file needs --router-only"),
        (["demo", "--web.listen-address", "unix:///x.sock"], "cannot scrape a Unix socket"),
        (["exporter", *DIR, "--web.listen-address", "127.0.0.1:{taken}"], "is taken; stop what"),
        (["exporter", *DIR, "--web.config.file", "/no/such.yml"], "cannot read /no/such.yml: No"),
        (["replay", "{log}", "--metrics-port", "1", "--web.listen-address", ":1"], "not allowed"),
        (["demo", "--write-sample", "/no/such/directory/x.csv"], "cannot write"),
    ],
)
def test_a_mistake_is_one_clear_line_and_exit_code_2(
    arguments: list[str],
    says: str,
    log: Path,
    taken: int,
    tmp_path_factory: pytest.TempPathFactory,
    capsys: pytest.CaptureFixture[str],
) -> None:
    workers = tmp_path_factory.mktemp("workers")
    filled = [argument.format(log=log, taken=taken, workers=workers) for argument in arguments]
    assert cli.main(filled) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("routecache: ")
    assert err.count("\n") == 1
    assert says in err


def deep(levels: int, kind: str) -> str:
    """A JSON value of so many containers in one another."""
    opened, closed, core = {"list": ("[", "]", ""), "dict": ('{"a": ', "}", "1")}[kind]
    return opened * levels + core + closed * levels


@pytest.mark.parametrize("kind", ["list", "dict"])
@pytest.mark.parametrize("levels", [100, 900, 985, 10_000, 100_000])
@pytest.mark.parametrize("options", [[], ["--context", "c:pow2"], ["--timestamp", "c"]], ids=str)
def test_a_very_deep_row_is_a_bad_line(
    tmp_path: Path, levels: int, kind: str, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """However deep and wherever it is read, it is left out and named, and the rest is replayed."""
    log = tmp_path / "log.jsonl"
    log.write_text(f'{{"c": 1}}\n{{"c": {deep(levels, kind)}}}\n{{"c": 2}}\n')
    arguments = ["replay", str(log), "--no-redis", "--no-metrics", "--json"]
    assert cli.main([*arguments, *options]) == 0
    out, err = capsys.readouterr()
    report = json.loads(out)
    reason = "JSON of more than 100 levels, which no cache key can hold"
    assert report["bad_rows"] == {"count": 1, "first": [{"line": 2, "reason": reason}]}
    assert (report["rows"], report["exceptions"], err) == (2, 0, "")


@pytest.mark.parametrize("kind", ["list", "dict"])
def test_a_row_as_deep_as_a_key_can_be_is_replayed(
    tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The row itself is one of the levels."""
    log = tmp_path / "log.jsonl"
    log.write_text(f'{{"c": {deep(99, kind)}, "d": {[[]] * 200}}}\n')
    assert cli.main(["replay", str(log), "--no-redis", "--no-metrics", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["rows"], report["exceptions"], report["bad_rows"]["count"]) == (1, 0, 0)


@pytest.mark.parametrize("levels", [100, 10_000])
def test_a_log_of_very_deep_rows_alone_is_one_clear_error(
    tmp_path: Path, levels: int, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text(f'{{"c": {deep(levels, "dict")}}}\n')
    assert cli.main(["replay", str(log), "--no-redis", "--no-metrics", "--json"]) == 2
    err = capsys.readouterr().err
    assert "line 1: JSON of more than 100 levels" in err
    assert err.count("\n") == 1


def test_the_report_says_that_its_quantiles_are_estimates(
    log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["replay", str(log), "--no-redis", "--no-metrics"]
    says = "interpolated within histogram buckets, not measured"
    assert cli.main(arguments) == 0
    assert f"p50 and p99 are {says}." in capsys.readouterr().out
    assert cli.main([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["quantiles"] == says


def test_a_bad_environment_is_one_clear_line(
    log: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ROUTING_CACHE_MODEL_TTL_SECS", "soon")
    assert cli.main(["replay", str(log), "--no-metrics"]) == 2
    err = capsys.readouterr().err
    assert "ROUTING_CACHE_MODEL_TTL_SECS" in err
    assert err.count("\n") == 1


def test_an_outage_of_a_redis_that_is_not_ours_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://localhost:1/0")
    assert cli.main(["demo", "--outage"]) == 2
    assert "unset REDIS_URL" in capsys.readouterr().err


def test_arguments_are_not_abbreviated(log: Path) -> None:
    """So that a new option never changes what an old script means."""
    assert cli.main(["replay", str(log), "--lim", "1"]) == 2


@pytest.mark.parametrize("command", [[], ["replay"], ["demo"], ["exporter"]])
def test_help(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([*command, "--help"])
    assert ended.value.code == 0
    assert "usage: routecache" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("routecache ")


def test_a_reader_that_leaves_is_no_traceback(log: Path) -> None:
    command = [sys.executable, "-m", "routecache_exporters.cli", "replay", str(log)]
    read, write = os.pipe()
    os.close(read)
    try:
        ended = subprocess.run(
            [*command, "--no-redis", "--no-metrics", "--json"],
            stdout=write,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
    finally:
        os.close(write)
    assert ended.returncode == 1
    assert ended.stderr == ""


def test_a_taken_default_port_gives_a_free_one_and_says_so(taken: int) -> None:
    port, note = choose_port(None, taken, "--port")
    assert port != taken
    assert note is not None
    assert str(taken) in note
    assert str(port) in note


def test_a_taken_port_that_was_asked_for_is_an_error(taken: int) -> None:
    with pytest.raises(UsageError, match=f"port {taken} on {LOOPBACK} is taken"):
        choose_port(taken, 1, "--port")


def test_a_free_port_is_taken_as_it_is_and_0_asks_for_any(taken: int) -> None:
    free, note = choose_port(0, taken, "--port")
    assert note is None
    assert choose_port(free, taken, "--port") == (free, None)


def test_an_address_that_is_not_ours_is_an_error() -> None:
    with pytest.raises(UsageError, match="not usable"):
        choose_port(9464, 9464, "--port", "203.0.113.1")


@pytest.mark.parametrize("text", ["-1", "65536", "x", "", "1.5", "²"])
def test_what_is_no_port(text: str) -> None:
    with pytest.raises(ArgumentTypeError):
        port_number(text)


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rich.table", None)
    with pytest.raises(UsageError, match=r"rich is not installed: pip install 'routecache\[cli\]'"):
        usage.require("rich.table", "cli")
    assert require("json", "cli").__name__ == "json"


def test_the_table_without_rich_is_refused_before_the_work(
    log: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "rich.table", None)
    assert cli.main(["replay", str(log), "--no-redis", "--no-metrics"]) == 2
    assert "routecache[cli]" in capsys.readouterr().err
    assert cli.main(["replay", str(log), "--no-redis", "--no-metrics", "--json"]) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_sets_the_event_once_and_then_acts_as_before(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with stop_on_signals() as stop:
        signal.raise_signal(number)
        assert stop.is_set()
        assert stop.signal == number
        assert signal.getsignal(number) == before
    assert signal.getsignal(number) == before


def test_outside_the_main_thread_no_handler_is_installed() -> None:
    seen: list[bool] = []

    def use() -> None:
        with stop_on_signals() as stop:
            seen.append(stop.is_set())

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert seen == [False]
