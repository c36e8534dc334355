"""Processes that the demo starts in a temporary directory, and that end with it in any case."""

import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from routecache_exporters.demo import warden

_WARDEN = Path(warden.__file__)
# A Unix socket's path may have 104 (macOS) to 108 bytes; leave some for the socket's name.
_MAX_ROOT = 80


class StartError(Exception):
    """A process that could not be started or ended at once; the message has its last output."""


@dataclass(frozen=True, slots=True)
class Child:
    """A started process: what it is, its pid, and the file that its output goes to."""

    name: str
    pid: int
    log: Path

    def last_output(self) -> str:
        """The last line that it wrote, or an empty string."""
        try:
            lines = self.log.read_text(errors="replace").strip().splitlines()
        except OSError:
            return ""
        return lines[-1] if lines else ""


class Processes:
    """Starts and stops processes through a warden (see `warden.py`). Safe for threads.

    Attributes:
        root: a new temporary directory for everything that they write. `close` removes it; if this
            process is killed, the warden stops the processes and removes it.
    """

    def __init__(self) -> None:
        self.root = _make_root()
        self._lock = threading.Lock()
        self._warden = subprocess.Popen(
            [sys.executable, "-I", str(_WARDEN), str(self.root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._ask({})  # from now on no signal but SIGKILL ends it

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def directory(self, name: str) -> Path:
        """A directory of `root` called `name`, made if it is not there."""
        path = self.root / name
        path.mkdir(mode=0o700, exist_ok=True)
        return path

    def start(self, name: str, argv: Sequence[str]) -> Child:
        """Start `argv` in the directory called `name`.

        Raises:
            StartError: it cannot be executed.
        """
        log = self.directory(name) / "output.log"
        answer = self._ask({"start": list(argv), "log": str(log)})
        if "error" in answer:
            raise StartError(f"{name} cannot be started: {answer['error']}")
        return Child(name, answer["pid"], log)

    def exit_code(self, child: Child) -> int | None:
        """The exit code of `child`, or None while it runs."""
        code: int | None = self._ask({"poll": child.pid})["code"]
        return code

    def stop(self, child: Child, grace: float = 5.0) -> None:
        """End `child` with SIGTERM, and with SIGKILL after `grace` seconds; wait for its end."""
        self._ask({"stop": child.pid, "grace": grace})

    def wait_until(
        self, child: Child, ready: Callable[[], bool], stop: threading.Event, timeout: float = 20.0
    ) -> None:
        """Wait until `ready()`, or until `stop` is set.

        Raises:
            StartError: it ended, or was not ready after `timeout` seconds.
        """
        tries = int(timeout / 0.05)
        for _ in range(tries):
            if stop.is_set() or ready():
                return
            code = self.exit_code(child)
            if code is not None:
                raise StartError(f"{child.name} ended with {code}: {child.last_output()}")
            stop.wait(0.05)
        raise StartError(f"{child.name} was not ready after {timeout:g} s: {child.last_output()}")

    def close(self) -> None:
        """Stop what still runs, remove `root`, and end the warden. May be called again."""
        with self._lock:
            for pipe in (self._warden.stdin, self._warden.stdout):
                if pipe is not None:
                    with contextlib.suppress(BrokenPipeError):
                        pipe.close()
            self._warden.wait()
        shutil.rmtree(self.root, ignore_errors=True)

    def _ask(self, request: dict[str, object]) -> dict[str, Any]:
        with self._lock:
            stdin, stdout = self._warden.stdin, self._warden.stdout
            assert stdin is not None
            assert stdout is not None
            with contextlib.suppress(BrokenPipeError):
                stdin.write(json.dumps(request) + "\n")
                stdin.flush()
            line = stdout.readline()
            if not line:
                raise StartError(
                    f"the warden (pid {self._warden.pid}) that owns the demo's processes is gone: "
                    f"they may still run"
                )
            answer: dict[str, Any] = json.loads(line)
            return answer


def _make_root() -> Path:
    prefix = "routecache-demo-"
    if len(tempfile.gettempdir()) + len(prefix) > _MAX_ROOT:
        return Path(tempfile.mkdtemp(prefix=prefix, dir="/tmp"))
    return Path(tempfile.mkdtemp(prefix=prefix))
