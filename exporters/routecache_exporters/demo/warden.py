"""The process that owns what the demo starts, so that nothing outlives a demo killed with -9.

Run as a script with a directory as its argument; standard library only, so that it starts fast.
The demo talks to it over its stdin and stdout, one JSON object per line:

    {}                                        ->  {} as soon as it listens
    {"start": ["argv", ...], "log": "path"}   ->  {"pid": 123} or {"error": "..."}
    {"poll": 123}                             ->  {"code": null} while it runs, else its exit code
    {"stop": 123, "grace": 5.0}               ->  {"code": 0}

The kernel closes the demo's end of the pipe however the demo ends. The warden reads end of file
then, stops every process group that it started, removes the directory and exits. As their parent
it cannot mistake a recycled pid for one of them, and there is no moment in which a child
runs that the warden does not know. It heeds no signal but SIGKILL: the demo ends it by hanging up.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from typing import Any

GRACE = 2.0
"""Seconds that processes get between SIGTERM and SIGKILL when the demo is gone."""

_children: dict[int, "subprocess.Popen[bytes]"] = {}


def _start(argv: list[str], log: str) -> dict[str, object]:
    try:
        with open(log, "ab") as output:
            # A session of its own: a Ctrl-C in the terminal reaches the demo alone, and killing
            # the group reaches what the child started itself.
            child = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=os.path.dirname(log),
                start_new_session=True,
            )
    except OSError as error:
        return {"error": str(error)}
    _children[child.pid] = child
    return {"pid": child.pid}


def _stop(children: list["subprocess.Popen[bytes]"], grace: float) -> None:
    for child in children:
        if child.poll() is None:
            child.terminate()
    deadline = time.monotonic() + grace
    for child in children:
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(max(0.0, deadline - time.monotonic()))
        # Whatever of the group is left, also when its leader ended in order.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _answer(request: dict[str, Any]) -> dict[str, object]:
    if "start" in request:
        return _start(request["start"], request["log"])
    if not request:
        return {}
    child = _children[request["poll"] if "poll" in request else request["stop"]]
    if "stop" in request:
        _stop([child], request["grace"])
    return {"code": child.poll()}


def main() -> None:
    """Serve the demo until it hangs up, then clean up."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # A handler, not SIG_IGN: the children would inherit an ignored signal.
        signal.signal(number, lambda _number, _frame: None)
    with contextlib.suppress(BrokenPipeError):
        for line in sys.stdin:
            print(json.dumps(_answer(json.loads(line))), flush=True)
    _stop(list(_children.values()), GRACE)
    shutil.rmtree(sys.argv[1], ignore_errors=True)


if __name__ == "__main__":
    main()
