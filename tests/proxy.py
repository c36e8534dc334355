"""A TCP proxy before a real Redis that misbehaves on demand: the faults that a network has."""

import contextlib
import selectors
import socket
import threading
from types import TracebackType
from typing import Literal, Self, TypeAlias

Mode: TypeAlias = Literal["pass", "black_hole", "drip"]


class Proxy:
    """Forwards to the Unix socket at `path`.

    mode: "pass"; "black_hole" accepts and reads and answers nothing; "drip" sends a reply byte
    by byte, one each `drip_every` seconds. It may be changed while connections are open.
    """

    def __init__(self, path: str, drip_every: float = 0.02) -> None:
        self.mode: Mode = "pass"
        self.drip_every = drip_every
        self._path = path
        self._closed = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        """For `redis_url`."""
        return f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(client,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        backend = socket.socket(socket.AF_UNIX)
        with client, backend, selectors.DefaultSelector() as selector, contextlib.suppress(OSError):
            backend.connect(self._path)
            selector.register(client, selectors.EVENT_READ, backend)
            selector.register(backend, selectors.EVENT_READ, client)
            while not self._closed.is_set():
                for key, _ in selector.select(0.05):
                    source: socket.socket = key.fileobj  # type: ignore[assignment]  # registered above
                    data = source.recv(65536)
                    if not data:
                        return
                    if self.mode == "black_hole":
                        continue
                    if self.mode == "drip" and source is backend:
                        self._drip(client, data)
                    else:
                        key.data.sendall(data)

    def _drip(self, client: socket.socket, data: bytes) -> None:
        for i in range(len(data)):
            client.sendall(data[i : i + 1])
            if self._closed.wait(self.drip_every):
                return

    def close(self) -> None:
        """Stop listening and end all connections."""
        self._closed.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(5)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
