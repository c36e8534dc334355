"""A headless Chromium for tests, driven over the DevTools protocol."""

import base64
import json
import re
import shutil
import subprocess
import tempfile
import time
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from websockets.sync.client import ClientConnection, connect

from tests.helpers import eventually

_FLAGS: Final = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
)
_SECONDS: Final = 20.0  # for one command


class Page:
    """One tab. Notes every request, every line on the console and every uncaught exception.

    For one thread.
    """

    def __init__(self, socket: ClientConnection) -> None:
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self._socket = socket
        self._last = 0
        for domain in ("Page", "Runtime", "Network", "Log", "Accessibility", "DOM"):
            self.command(f"{domain}.enable")

    def command(self, method: str, **params: Any) -> dict[str, Any]:
        """Send one command and return its result; events that come meanwhile are noted."""
        self._last += 1
        self._socket.send(json.dumps({"id": self._last, "method": method, "params": params}))
        deadline = time.monotonic() + _SECONDS
        while True:
            message = json.loads(self._socket.recv(timeout=deadline - time.monotonic()))
            if message.get("id") == self._last:
                assert "error" not in message, (method, message["error"])
                result: dict[str, Any] = message["result"]
                return result
            self._note(message.get("method", ""), message.get("params", {}))

    def _note(self, event: str, params: dict[str, Any]) -> None:
        if event == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif event == "Runtime.consoleAPICalled":
            self.complaints.append(f"console: {params['args']}")
        elif event == "Runtime.exceptionThrown":
            self.complaints.append(f"exception: {params['exceptionDetails']}")
        elif event == "Log.entryAdded":
            self.complaints.append(f"log: {params['entry']['text']}")

    def open(self, url: str) -> None:
        """Load `url` and wait until it has loaded."""
        self.command("Page.navigate", url=url)
        eventually(lambda: self.evaluate("document.readyState") == "complete")

    def leave(self) -> None:
        """Leave what is shown, and with it its timers and requests."""
        self.command("Page.navigate", url="about:blank")
        eventually(lambda: self.evaluate("location.href") == "about:blank")

    def evaluate(self, expression: str) -> Any:
        """The value of an expression, as JSON."""
        result = self.command(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in result, (expression, result["exceptionDetails"])
        return result["result"].get("value")

    def text(self, selector: str) -> str:
        """What the first element that matches shows."""
        return str(self.evaluate(f"document.querySelector({json.dumps(selector)}).innerText"))

    def emulate(self, *, width: int, height: int = 900, scheme: str = "light") -> None:
        """Show the page in a window of this size, in the `light` or `dark` colour scheme."""
        self.command(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        features = [
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]
        self.command("Emulation.setEmulatedMedia", features=features)

    def press(self, key: str, code: int) -> None:
        """Press and release one key, by its name and Windows virtual key code."""
        for kind in ("rawKeyDown", "keyUp"):
            self.command(
                "Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code
            )

    def accessibility_tree(self) -> list[dict[str, Any]]:
        """The nodes that assistive technology is told of, in the order of the document."""
        nodes = {n["nodeId"]: n for n in self.command("Accessibility.getFullAXTree")["nodes"]}
        ordered: list[dict[str, Any]] = []

        def walk(node: dict[str, Any]) -> None:
            if not node.get("ignored"):
                ordered.append(node)
            for child in node.get("childIds", []):
                if child in nodes:
                    walk(nodes[child])

        for root in [n for n in nodes.values() if n.get("parentId") not in nodes]:
            walk(root)
        return ordered

    def close(self) -> None:
        """Close the tab, and note what it still had to say."""
        self.command("Runtime.evaluate", expression="1")
        self.command("Page.close")
        self._socket.close()

    def screenshot(self, path: Path) -> None:
        """Write what the window shows as a PNG."""
        shot = self.command("Page.captureScreenshot", format="png", captureBeyondViewport=False)
        path.write_bytes(base64.b64decode(shot["data"]))


class Browser:
    """A Chromium with a profile of its own; use it as a context manager."""

    def __init__(self) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="routecache-chromium-"))
        self._process: subprocess.Popen[bytes] | None = None
        self._connections = ExitStack()
        self._address = ""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            ["chromium", *_FLAGS, f"--user-data-dir={self._directory}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            written = self._directory / "DevToolsActivePort"
            eventually(lambda: written.exists() and "\n" in written.read_text(), 60.0)
            port, path = written.read_text().split()
            self._address = f"ws://127.0.0.1:{port}{path}"
        except BaseException:
            self.close()
            raise
        return self

    def page(self) -> Page:
        """A new, empty tab."""
        with self._connect(self._address) as browser:
            browser.send(
                json.dumps(
                    {"id": 1, "method": "Target.createTarget", "params": {"url": "about:blank"}}
                )
            )
            target = json.loads(browser.recv(timeout=_SECONDS))["result"]["targetId"]
        address = re.sub("/devtools/.*", f"/devtools/page/{target}", self._address)
        return Page(self._connections.enter_context(self._connect(address)))

    @staticmethod
    def _connect(address: str) -> AbstractContextManager[ClientConnection]:
        return connect(address, max_size=2**26, proxy=None, compression=None)

    def close(self) -> None:
        """End the browser and remove its profile."""
        self._connections.close()
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        shutil.rmtree(self._directory, ignore_errors=True)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
