"""What the demo starts ends with it, whatever ends the demo."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from routecache_exporters.demo.processes import Processes, StartError
from tests.helpers import eventually

# Python: a child that ignores SIGTERM and starts a grandchild, then tells both pids.
STUBBORN = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(os.getpid(), child.pid, flush=True)
time.sleep(600)
"""


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    # A zombie still has its pid until its new parent reaps it.
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.fixture
def processes() -> Iterator[Processes]:
    with Processes() as processes:
        yield processes


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_a_child_runs_in_its_directory_and_tells_its_end(processes: Processes) -> None:
    child = processes.start("some", python("import os; print(os.getcwd()); raise SystemExit(3)"))
    assert eventually(lambda: processes.exit_code(child)) == 3
    assert child.last_output() == str(processes.root / "some")


def test_stop_is_an_orderly_end_and_takes_the_whole_group(processes: Processes) -> None:
    child = processes.start("some", python(STUBBORN))
    pids = [int(text) for text in eventually(child.last_output).split()]
    processes.stop(child, grace=0.1)
    assert processes.exit_code(child) == -signal.SIGKILL
    assert all(eventually(lambda pid=pid: gone(pid)) for pid in pids)  # type: ignore[misc]


def test_a_program_that_is_not_there_is_a_clear_error(processes: Processes) -> None:
    with pytest.raises(StartError, match=r"some cannot be started: .*no-such-program"):
        processes.start("some", ["/no-such-program"])


def test_a_child_that_ends_while_it_is_waited_for_is_told_with_its_last_words(
    processes: Processes,
) -> None:
    child = processes.start("some", python("raise SystemExit('bad configuration')"))
    with pytest.raises(StartError, match="some ended with 1: bad configuration"):
        processes.wait_until(child, lambda: False, threading.Event())


def test_waiting_ends_with_the_demo(processes: Processes) -> None:
    child = processes.start("some", python("import time; time.sleep(600)"))
    stop = threading.Event()
    stop.set()
    processes.wait_until(child, lambda: False, stop)
    with pytest.raises(StartError, match="not ready"):
        processes.wait_until(child, lambda: False, threading.Event(), timeout=0.1)


def test_close_stops_everything_and_removes_the_directory() -> None:
    with Processes() as processes:
        child = processes.start("some", python("import time; time.sleep(600)"))
        assert not gone(child.pid)
    assert gone(child.pid)
    assert not processes.root.exists()
    processes.close()


def test_nothing_outlives_a_parent_killed_with_9(tmp_path: Path) -> None:
    """Neither the children, nor their children, nor the warden, nor the directory."""
    parent = subprocess.Popen(
        python(
            "import sys, time\n"
            "from routecache_exporters.demo.processes import Processes\n"
            f"processes = Processes()\n"
            f"child = processes.start('some', [sys.executable, '-c', {STUBBORN!r}])\n"
            "while not child.last_output(): time.sleep(0.01)\n"
            "print(processes._warden.pid, child.last_output(), processes.root, flush=True)\n"
            "time.sleep(600)\n"
        ),
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert parent.stdout is not None
    with parent.stdout:
        *pids, root = parent.stdout.readline().split()
    assert len(pids) == 3
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    for pid in map(int, pids):
        assert eventually(lambda pid=pid: gone(pid), 15)  # type: ignore[misc]
    assert not Path(root).exists()


def test_signals_to_the_warden_do_not_end_it(processes: Processes) -> None:
    """A Ctrl-C or a SIGTERM to all processes of a terminal must not beat the demo's own end."""
    warden = processes._warden
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        warden.send_signal(number)
    child = processes.start("some", python("print('still')"))
    assert eventually(child.last_output) == "still"
    assert warden.poll() is None


def test_a_warden_that_was_killed_is_told() -> None:
    with Processes() as processes:
        processes._warden.kill()
        processes._warden.wait()
        with pytest.raises(StartError, match="warden"):
            processes.start("some", python(""))
    assert not processes.root.exists()


def test_children_do_not_inherit_deaf_ears(processes: Processes) -> None:
    code = "import signal; print(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)"
    assert eventually(processes.start("some", python(code)).last_output) == "True"


def test_a_long_temporary_directory_still_has_room_for_a_socket(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    long = tmp_path / ("x" * 90)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    with Processes() as processes:
        assert len(str(processes.root)) < 80
