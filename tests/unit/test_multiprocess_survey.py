"""Reading all workers of a directory: exact whoever ends, is killed or damages a file when."""

import os
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routecache.cells import Histogram
from routecache.errors import ConfigurationError
from routecache.multiprocess import reading
from routecache.multiprocess import survey as surveys
from routecache.multiprocess import totals as bases
from routecache.multiprocess.layout import GAUGES_AT, SEGMENTS_AT, UnreadableError
from routecache.multiprocess.storage import Storage
from routecache.multiprocess.survey import Surveyor
from routecache.multiprocess.totals import BASE, rebucketed
from tests.workers import OWNER, Worker, counted, files, survey


def test_what_an_ended_worker_counted_stays_and_its_file_goes(tmp_path: Path) -> None:
    living, ended = Worker(tmp_path).count(1, a=1), Worker(tmp_path).count(10, a=10, b=20)
    both = (11, {"a": 11, "b": 20})
    assert survey(tmp_path) == both
    ended.end()
    assert survey(tmp_path) == both
    assert files(tmp_path) == {living.name, BASE}
    living.count(1)
    assert survey(tmp_path) == (12, both[1])


def test_any_number_of_workers_one_after_the_other_leaves_one_file(tmp_path: Path) -> None:
    for n in range(1, 31):
        Worker(tmp_path).count(2, a=1).end()
        assert survey(tmp_path) == (2 * n, {"a": n})
        assert files(tmp_path) == {BASE}
    assert (tmp_path / BASE).stat().st_size < 400


def test_gauges_are_those_of_living_workers(tmp_path: Path) -> None:
    living, ended = Worker(tmp_path).count(1), Worker(tmp_path).count(1)
    new = Worker(tmp_path).count(1)
    living.storage.publish(lambda: b"old")
    living.storage.publish(lambda: b"newer")
    ended.storage.publish(lambda: b"ended")
    name = ended.end()
    gauges = Surveyor(tmp_path).survey().gauges
    assert gauges == {living.name: b"newer", new.name: b""}
    assert name not in gauges


STEPS = {
    "before the new base is complete": (os, "fsync"),
    "before the new base takes effect": (os, "rename"),
    "before the files are removed": (Path, "unlink"),
}


@pytest.mark.parametrize("step", STEPS)
def test_a_kill_in_the_middle_of_folding_loses_and_doubles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    class KilledError(BaseException):
        pass

    def killed(*args: object, **options: object) -> None:
        raise KilledError

    Worker(tmp_path).count(1, a=1).end()
    assert survey(tmp_path) == (1, {"a": 1})
    living = Worker(tmp_path).count(5, b=5)
    for _ in range(3):
        Worker(tmp_path).count(10, a=10).end()
    with monkeypatch.context() as patch:
        patch.setattr(*STEPS[step], killed)
        for _ in range(2):
            with pytest.raises(KilledError):
                Surveyor(tmp_path).survey()
    Worker(tmp_path).count(100, a=100).end()
    for _ in range(3):
        assert survey(tmp_path) == (136, {"a": 131, "b": 5})
    assert files(tmp_path) - {".new-base"} == {living.name, BASE}


def test_surveys_and_folds_at_once_agree_while_workers_come_and_go(tmp_path: Path) -> None:
    """Four readers fold beside each other; none ever sees a sum fall."""
    tmp_path.chmod(0o700)
    done = threading.Event()
    falls: list[tuple[int, int]] = []
    failures: list[BaseException] = []

    def read() -> None:
        surveyor, last = Surveyor(tmp_path), 0
        try:
            while not done.is_set():
                hits = surveyor.survey().totals.of(OWNER).l1_hits
                if hits < last:
                    falls.append((last, hits))
                last = hits
        except BlockingIOError:  # folded ten times during one survey: no answer, but no wrong one
            pass
        except BaseException as error:
            failures.append(error)

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    for _ in range(60):
        Worker(tmp_path).count(7, a=1).end()
    done.set()
    for reader in readers:
        reader.join(60)
    assert not falls
    assert not failures
    assert survey(tmp_path) == (420, {"a": 60})
    assert files(tmp_path) == {BASE}


def test_a_worker_that_was_stopped_in_the_middle_of_a_step_holds_up_nobody(tmp_path: Path) -> None:
    worker = Worker(tmp_path).count(3, a=1)
    with worker.cells.recording() as cell:
        cell.add("b")
        total = Surveyor(tmp_path).survey().totals.of(OWNER)
    assert (total.l1_hits, total.counts) == (3, {("a",): 1, ("b",): 1})


def cut(data: bytearray) -> None:
    del data[SEGMENTS_AT + 100 :]


def cut_short(data: bytearray) -> None:
    del data[10:]


def nothing(data: bytearray) -> None:
    data.clear()


def garbled_header(data: bytearray) -> None:
    data[0] ^= 1


def garbled_record(data: bytearray) -> None:
    data[SEGMENTS_AT + 20] ^= 0xFF


def too_much_in_use(data: bytearray) -> None:
    struct.pack_into("=q", data, SEGMENTS_AT, 1 << 40)


def zeros(data: bytearray) -> None:
    data[:] = bytes(len(data))


DAMAGE: list[Callable[[bytearray], None]] = [
    cut, cut_short, nothing, garbled_header, garbled_record, too_much_in_use, zeros,
]  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_left_out_and_named(
    tmp_path: Path, damage: Callable[[bytearray], None]
) -> None:
    living = Worker(tmp_path).count(5, a=5)
    path = tmp_path / Worker(tmp_path).count(1, a=1).end()
    data = bytearray(path.read_bytes())
    damage(data)
    path.write_bytes(data)
    for _ in range(2):
        found = Surveyor(tmp_path).survey()
        assert found.problems == {path.name: "UnreadableError"}
        assert counted(found.totals) == (5, {"a": 5})
    assert path.exists()
    os.utime(path, (0, 0))  # long after anybody could have seen to it
    Surveyor(tmp_path).fold()
    assert files(tmp_path) == {living.name}


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_damage_whatever_raises(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Any bytes changed anywhere in what is in use: other numbers or a named problem."""
    directory = tmp_path_factory.mktemp("workers")
    path = directory / Worker(directory).count(1, a=1, b=2).end()
    content = bytearray(path.read_bytes())
    places = st.integers(0, 40) | st.integers(SEGMENTS_AT, SEGMENTS_AT + 600)
    for at, byte in data.draw(st.dictionaries(places, st.integers(0, 255), min_size=1)).items():
        content[at] = byte
    path.write_bytes(content)
    found = Surveyor(directory).survey()
    assert set(found.problems) <= {path.name}
    path.unlink(missing_ok=True)


def test_a_file_of_another_release_is_left_out_and_left_alone(tmp_path: Path) -> None:
    living = Worker(tmp_path).count(5)
    other = tmp_path / "2-0123456789abcdef.cells"
    other.write_bytes(b"whatever")
    os.utime(other, (0, 0))
    (tmp_path / "notes.txt").write_text("not ours")
    Worker(tmp_path).count(1).end()
    found = Surveyor(tmp_path).survey()
    assert found.problems == {other.name: "FormatError"}
    assert found.totals.of(OWNER).l1_hits == 6
    assert files(tmp_path) == {living.name, other.name, "notes.txt", BASE}


def test_a_damaged_base_stops_the_survey_and_is_never_replaced(tmp_path: Path) -> None:
    """Without it every sum would be wrong, and wrong sums look like restarts."""
    Worker(tmp_path).count(5).end()
    survey(tmp_path)
    damaged = (tmp_path / BASE).read_bytes().replace(b"5", b"6")
    (tmp_path / BASE).write_bytes(damaged)
    ended = Worker(tmp_path).count(1).end()
    with pytest.raises(UnreadableError):
        Surveyor(tmp_path).survey()
    with pytest.raises(UnreadableError):
        Surveyor(tmp_path).fold()
    assert (tmp_path / BASE).read_bytes() == damaged
    assert files(tmp_path) == {BASE, ended}


def test_a_base_that_cannot_be_written_leaves_all_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    name = Worker(tmp_path).count(5, a=1).end()
    monkeypatch.setattr(surveys, "write_base", full)
    found = Surveyor(tmp_path).survey()
    assert found.problems == {BASE: "OSError"}
    assert counted(found.totals) == (5, {"a": 1})
    assert files(tmp_path) == {name}


def test_too_many_open_files_give_no_sum_instead_of_a_wrong_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Worker(tmp_path).count(5).end()

    def refused(self: object) -> Any:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(reading.WorkerReader, "read", refused)
    with pytest.raises(OSError, match="Too many"):
        Surveyor(tmp_path).survey()


def test_what_a_worker_left_that_was_killed_while_it_made_its_file_is_removed(
    tmp_path: Path,
) -> None:
    for name in (".new-0123", ".new-base"):
        (tmp_path / name).write_bytes(b"x")
        os.utime(tmp_path / name, (0, 0))
    (tmp_path / ".new-young").write_bytes(b"x")
    Worker(tmp_path).count(1).end()
    assert survey(tmp_path)[0] == 1
    assert files(tmp_path) == {BASE, ".new-young"}


def test_torn_gauges_are_a_problem_of_that_worker_only(tmp_path: Path) -> None:
    worker = Worker(tmp_path).count(5)
    worker.storage.publish(lambda: b"gauges")
    with (tmp_path / worker.name).open("r+b") as file:
        file.seek(GAUGES_AT + 16)
        file.write(b"x")
    other = Worker(tmp_path).count(2)
    found = Surveyor(tmp_path).survey()
    assert found.problems == {worker.name: "UnreadableError"}
    assert found.totals.of(OWNER).l1_hits == 2
    assert set(found.gauges) == {other.name}


def test_two_releases_with_other_buckets_add_up(tmp_path: Path) -> None:
    one, other = Worker(tmp_path), Worker(tmp_path)
    for worker, bounds in ((one, (1.0, 2.0)), (other, (0.5, 1.5, 2.5))):
        with worker.cells.recording() as cell:
            for value in (0.4, 1.2, 2.2, 9.0):
                cell.observe(bounds, value, "h")
    total = Surveyor(tmp_path).survey().totals.of(OWNER).histograms[("h",)]
    assert sum(total.counts) == 8
    assert total.sum == pytest.approx(2 * 12.8)


def test_another_release_s_buckets_never_make_latency_look_better() -> None:
    old = Histogram((1.0, 2.0, 4.0))
    for value in (0.5, 1.5, 3.0, 5.0):
        old.observe(value)
    new = rebucketed(old, (1.5, 2.0, 10.0))
    assert new.counts == [1, 1, 1, 1]
    assert new.sum == old.sum
    assert rebucketed(old, old.bounds) is old


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o1777])
def test_a_directory_that_others_may_write_to_is_refused(tmp_path: Path, mode: int) -> None:
    directory = tmp_path / "shared"
    directory.mkdir()
    directory.chmod(mode)
    with pytest.raises(ConfigurationError, match="others may write"):
        Storage(directory)


def test_a_directory_that_cannot_be_made_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No such file"):
        Storage(tmp_path / "no" / "such")
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="File exists"):
        Storage(tmp_path / "file")


def test_only_the_owner_can_read(tmp_path: Path) -> None:
    directory = tmp_path / "new"
    worker = Worker(directory).count(1)
    Worker(directory).count(1).end()
    survey(directory)
    assert directory.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in directory.iterdir()} == {0o600}
    assert worker.name in files(directory)


def test_the_base_keeps_no_names_of_files_that_are_gone(tmp_path: Path) -> None:
    for _ in range(5):
        Worker(tmp_path).count(1).end()
        survey(tmp_path)
    _, folded = bases.decode((tmp_path / BASE).read_bytes())
    assert len(folded) == 1
