"""`routecache tune` as a command: what it recommends is what a replay gets, and what it refuses."""

import itertools
import json
import os
import shlex
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from routecache_exporters import cli
from routecache_exporters.demo.sample import write_sample
from routecache_exporters.replay.pace import LogTime
from routecache_exporters.replay.policy import Asked
from routecache_exporters.signals import Stop
from routecache_exporters.tune.command import replay_through
from routecache_exporters.tune.simulation import CacheGrid

_SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """2,000 requests of the sample log: 50 seconds."""
    path = tmp_path_factory.mktemp("logs") / "sample.csv"
    with path.open("w") as stream:
        write_sample(stream)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:2001]))
    return path


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("ROUTING_CACHE_") or name == "REDIS_URL":
            monkeypatch.delenv(name)


def tune(log: Path, capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    given = ("--context", "context_tokens:100", "--ttls", "2,5,20", "--l1-sizes", "10,20,200")
    assert cli.main(["tune", str(log), *given, *arguments]) == code
    return capsys.readouterr().out


def replay(command: str, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> dict[str, Any]:
    """Run the command that `tune` prints, with its variables, for JSON."""
    words = shlex.split(command)
    while "=" in words[0]:
        monkeypatch.setenv(*words.pop(0).split("=", 1))
    assert words[0] == "routecache"
    assert cli.main([*words[1:], "--json", "--no-metrics"]) == 0
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert report["books_balance"]
    return report


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--min-hit-ratio", "60"),
        ("--within", "0"),
        ("--limit", "900"),
        ("--sizes", "model=12", "--workers", "1"),
    ],
    ids=" ".join,
)
def test_the_printed_replay_of_the_recommendation_gives_exactly_what_was_predicted(
    log: Path,
    arguments: tuple[str, ...],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    predicted = json.loads(tune(log, capsys, "--no-redis", "--json", *arguments))
    printed = tune(log, capsys, "--no-redis", *arguments)
    command = printed.split("Check it: ")[1].split("\n")[0]
    replayed = replay(command, capsys, monkeypatch)
    for name, cache in predicted["caches"].items():
        said, got = cache["recommended"], replayed["caches"][name]
        assert said["hits"] == got["hits"]
        assert said["l1_misses"] == got["misses"]
        assert said["hit_ratio"] == pytest.approx(got["hit_ratio"])
        assert said["hits"]["l1"] > 0


def test_a_cache_without_a_recommendation_is_checked_as_it_is_in_force(
    log: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A provider's hit ratio reaches what a model's does not."""
    monkeypatch.setenv("ROUTING_CACHE_MODEL_TTL_SECS", "120")
    arguments = ("--min-hit-ratio", "97", "--sizes", "model=33")
    report = json.loads(tune(log, capsys, *arguments, "--json", code=1))
    chosen = {name: cache["recommended"] for name, cache in report["caches"].items()}
    assert chosen["model"] is None
    assert chosen["provider"] is not None
    words = shlex.split(tune(log, capsys, *arguments, code=1).split("Check it: ")[1].split("\n")[0])
    assert "ROUTING_CACHE_MODEL_TTL_SECS=2" in words, "120 s at 60 times the speed"
    assert "model=33" in words[words.index("--sizes") + 1]
    assert "--fresh" in words


def test_the_check_of_an_interrupted_run_ends_where_it_ended(
    log: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ask, calls = CacheGrid.ask, itertools.count(1)

    def interrupted(grid: CacheGrid, key: str, now: float, worker: int) -> None:
        ask(grid, key, now, worker)
        if next(calls) == 3 * 700:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(CacheGrid, "ask", interrupted)
    printed = tune(log, capsys, "--no-redis", code=128 + signal.SIGTERM)
    monkeypatch.undo()
    report = replay(printed.split("Check it: ")[1].split("\n")[0], capsys, monkeypatch)
    assert report["rows"] == 700


def test_what_came_by_a_pipe_cannot_be_checked_and_that_is_told(
    log: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with log.open() as stream:
        monkeypatch.setattr(sys, "stdin", stream)
        assert cli.main(["tune", "-", "--no-redis"]) == 0
    out = capfd.readouterr().out
    assert "Check it" not in out
    assert "To check it, replay the log from a file" in out


def test_what_is_in_force_is_compared_also_if_it_is_not_on_the_grid(
    log: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROUTING_CACHE_MODEL_TTL_SECS", "7")
    report = json.loads(tune(log, capsys, "--json", "--sizes", "model=33"))
    now = report["caches"]["model"]["in_force"]
    assert (now["ttl"], now["size"]) == (7, 33)
    assert report["caches"]["provider"]["in_force"]["size"] == 50
    assert {cell["ttl"] for cell in report["caches"]["model"]["grid"]} == {2, 5, 7, 20}


def test_a_longer_life_time_loads_less_and_answers_older(
    log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = json.loads(tune(log, capsys, "--json", "--changes-every", "60"))
    assert report["l2"]
    for cache in report["caches"].values():
        cells = [cell for cell in cache["grid"] if cell["size"] == 200]
        for shorter, longer in itertools.pairwise(cells):
            assert shorter["loads"] > longer["loads"]
            assert shorter["mean_age"] < longer["mean_age"]
            assert shorter["outdated_share"] < longer["outdated_share"]
        assert all(cell["max_age"] <= cell["ttl"] for cell in cells)


def test_without_a_recommendation_it_says_why_and_fails(
    log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tune(log, capsys, "--min-hit-ratio", "100", code=1)
    assert "model: no recommendation: no hit ratio reaches 100.00%" in out
    assert "export ROUTING_CACHE_MODEL_TTL_SECS" not in out


def test_more_processes_share_one_l2_and_not_their_l1(
    log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = json.loads(tune(log, capsys, "--json"))["caches"]["model"]["in_force"]
    four = json.loads(tune(log, capsys, "--json", "--workers", "4"))["caches"]["model"]["in_force"]
    assert four["loads"] == one["loads"]
    assert four["hits"]["l1"] < one["hits"]["l1"]


@pytest.mark.parametrize("suffix", ["svg", "html"])
def test_the_plot_has_a_cell_for_each_pair_and_a_point_for_each_life_time(
    log: Path, tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / f"plot.{suffix}"
    report = json.loads(tune(log, capsys, "--json", "--plot", str(path)))
    text = path.read_text()
    svg = ET.fromstring(text[text.index("<svg") :])
    cells = sum(len(cache["grid"]) for cache in report["caches"].values())
    assert len([r for r in svg.iter(f"{_SVG}rect") if r.get("fill", "#fff") != "#fff"]) == cells
    texts = {element.text for element in svg.iter(f"{_SVG}text")}
    for cache in report["caches"].values():
        shown = {f"{100 * cell['l1_hit_ratio']:.1f}" for cell in cache["grid"]}
        assert shown <= texts
    points = [c for c in svg.iter(f"{_SVG}circle") if c.get("class") == "p"]
    assert len(points) == sum(
        len({cell["ttl"] for cell in cache["grid"]}) for cache in report["caches"].values()
    )
    drawn = [r for r in svg.iter(f"{_SVG}rect") if r.get("class") == "r"]
    assert len(drawn) == 1 + 3  # the legend's, and one for each cache


def test_the_printed_command_can_be_pasted_whatever_the_log_is_called(
    log: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    odd = tmp_path / "a=b c.csv"
    odd.write_text(log.read_text())
    printed = tune(odd, capsys, "--no-redis")
    report = replay(printed.split("Check it: ")[1].split("\n")[0], capsys, monkeypatch)
    assert report["rows"] == 2000


def test_a_name_with_markup_in_it_is_text_in_the_plot(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = tmp_path / "<b>&.csv"
    odd.write_text(log.read_text())
    tune(odd, capsys, "--plot", str(tmp_path / "plot.svg"))
    root = ET.fromstring((tmp_path / "plot.svg").read_text())
    assert any("<b>&.csv" in (e.text or "") for e in root.iter(f"{_SVG}text"))


def test_a_stopped_run_tells_what_it_saw_until_then() -> None:
    stop = Stop()
    grids = {name: CacheGrid([10.0], [4]) for name in ("provider", "model", "fallback")}

    def requests() -> Iterator[Asked]:
        for i in range(10):
            if i == 4:
                stop.set()
            yield Asked({"tokens": i}, "openai", "bash", float(i))

    done = replay_through(requests(), grids, 1, LogTime(stop), None)
    assert (done.rows, done.whole) == (4, False)
    assert done.span == 3
    assert grids["model"].look_ups == 4


def test_the_time_of_a_log_never_goes_back_and_ends_when_stopped() -> None:
    stop = threading.Event()
    time = LogTime(stop)
    seen = []
    for at in (1000.0, 1003.0, 1001.0, None, 1004.5):
        assert time.wait(at)
        time.spend(100.0)
        seen.append(time.timer())
    assert seen == [0, 3, 3, 3, 4.5]
    assert (time.order.late, time.order.most) == (1, 2.0), "and who is late is counted"
    stop.set()
    assert not time.wait(1005.0)


HOUR = 900  # requests, one every four seconds, of 60 contexts


def hour(path: Path, times: Iterable[object]) -> Path:
    rows = [f"{at},{i * 7 % 60}\n" for i, at in enumerate(times)]
    path.write_text("".join(["time,size\n", *rows]))
    return path


def tuned(path: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert cli.main(["tune", str(path), "--context", "size", "--json", *arguments]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_an_hour_is_one_whatever_unit_it_is_counted_in_from_its_start(
    tmp_path: Path, unit: str, capsys: pytest.CaptureFixture[str]
) -> None:
    scale = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    dates = tuned(hour(tmp_path / "a.csv", [1.7e9 + 4 * i for i in range(HOUR)]), capsys)
    path = hour(tmp_path / "b.csv", [4 * i * scale for i in range(HOUR)])
    counted = tuned(path, capsys, "--time-unit", unit)
    assert counted["span_seconds"] == dates["span_seconds"] == 3596
    for name in ("model", "fallback"):  # providers are drawn by the text of a row
        assert counted["caches"][name] == dates["caches"][name]
    assert counted["caches"]["model"]["recommended"]["ttl"] > 240, "a context comes every 240 s"
    assert cli.main(["tune", str(path), "--context", "size", "--time-unit", unit]) == 0
    printed = capsys.readouterr().out
    assert f"--time-unit {unit}" in printed.split("Check it: ")[1].split("\n")[0]
    assert "taken for" not in printed


def test_milliseconds_from_the_start_are_doubted_and_recommend_nothing_unless_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = hour(tmp_path / "log.csv", [4000 * i for i in range(HOUR)])
    assert cli.main(["tune", str(path), "--context", "size"]) == 1
    out = capsys.readouterr().out
    assert "model: no recommendation: nothing was asked for again while it lived" in out
    assert "The arrival times are no dates; they were taken for seconds (--time-unit)." in out


@pytest.mark.parametrize("what", ["newest first", "one date is far ahead"])
def test_a_log_whose_time_stands_still_is_refused(
    tmp_path: Path, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    times = [1.7e9 + 4 * i for i in range(HOUR)]
    if what == "newest first":
        times.reverse()
    else:
        times[1] = 4102444800
    path = hour(tmp_path / "log.csv", times)
    assert cli.main(["tune", str(path), "--context", "size"]) == 2
    out, err = capsys.readouterr()
    assert not out
    assert "requests of" in err
    assert "are older than one before them by more than 30 s" in err
    assert "sort the log by its time" in err
    assert err.count("\n") == 1


def test_a_small_disorder_is_told_and_harms_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    times = [1.7e9 + 4 * i for i in range(HOUR)]
    times[10], times[11] = times[11], times[10]
    path = hour(tmp_path / "log.csv", times)
    assert tuned(path, capsys)["out_of_order"] == {"requests": 1, "seconds": 4.0}
    assert cli.main(["tune", str(path), "--context", "size"]) == 0
    told = "1 request is older than one before it, by up to 4 s: sort the log by its time."
    assert told in capsys.readouterr().out


def test_a_log_of_one_moment_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = hour(tmp_path / "log.csv", [1.7e9] * 5)
    assert cli.main(["tune", str(path), "--context", "size"]) == 2
    assert "all 5 requests of" in capsys.readouterr().err


def test_a_recommendation_at_the_edge_of_what_was_tried_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = hour(tmp_path / "log.csv", [1.7e9 + 4 * i for i in range(HOUR)])
    arguments = ["tune", str(path), "--context", "size", "--no-redis", "--l1-sizes", "10,100"]
    assert cli.main([*arguments, "--ttls", "60,500", "--min-hit-ratio", "1"]) == 0
    assert "tried (--" not in capsys.readouterr().out
    assert cli.main([*arguments, "--ttls", "60,2000", "--within", "0"]) == 0
    out = capsys.readouterr().out
    assert "model: no longer life time was tried (--ttls): one may save more." in out
    assert "model: no larger size was tried (--l1-sizes): one may answer more." in out
    assert cli.main([*arguments, "--ttls", "60,2000,3000", "--l1-sizes", "10,100,200"]) == 0
    assert "model: no larger size was tried" not in capsys.readouterr().out


@pytest.mark.parametrize(("bad", "code"), [(HOUR, 0), (HOUR + 1, 1)])
def test_a_log_most_of_which_is_bad_is_no_ground_for_a_recommendation(
    tmp_path: Path, bad: int, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    path = hour(tmp_path / "log.csv", [1.7e9 + 4 * i for i in range(HOUR)])
    path.write_text(path.read_text() + "never,1\n" * bad)
    assert cli.main(["tune", str(path), "--context", "size"]) == code
    told = "Most of the log is left out: 901 of 1,801 rows are bad, the first in line 902: time: "
    assert (told in capsys.readouterr().out) is bool(code)


def test_a_log_without_times_or_rows_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "log.csv"
    path.write_text("size\n10\n")
    assert cli.main(["tune", str(path)]) == 2
    assert capsys.readouterr().err == (
        "routecache: tune needs arrival times: name their column with --timestamp, one of size\n"
    )
    path.write_text("time,size\nlater,10\n")
    assert cli.main(["tune", str(path)]) == 2
    err = capsys.readouterr().err
    assert "none of the 1 rows" in err
    assert "line 2: time: 'later' is no time" in err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--ttls", "60,0"], "'0' is not a number of seconds above 0"),
        (["--ttls", ",".join(["1"] * 51)], "51 values, of which at most 50 fit"),
        (["--l1-sizes", "10,many"], "'many' is not a whole number from 1 up"),
        (["--sizes", "tool=3"], "'tool=3' is no size: give CACHE=N once for each of provider"),
        (["--within", "101"], "'101' is not a percentage from 0 to 100"),
        (["--changes-every", "model=60,model=70"], "'model=70' is no period"),
        (["--changes-every", "inf"], "'inf' is not a number of seconds above 0"),
        (["--max-outdated", "5"], "--max-outdated needs --changes-every"),
        (["--plot", "/nowhere/plot.svg"], "cannot write /nowhere/plot.svg: No such file"),
        (["--context", "nothing"], "no column 'nothing' for --context"),
    ],
)
def test_what_cannot_be_meant_is_told_in_one_line(
    log: Path, arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["tune", str(log), *arguments]) == 2
    out, err = capsys.readouterr()
    assert err.startswith("routecache: ")
    assert err.count("\n") == 1
    assert says in err
    assert not out
