"""A TCP proxy before a real Redis that misbehaves on demand: the faults that a network has."""

import contextlib
import itertools
import selectors
import socket
import threading
from types import TracebackType
from typing import Literal, Self, TypeAlias

Mode: TypeAlias = Literal["pass", "black_hole", "drip", "refuse", "deaf", "slow", "late", "mute"]

_MESSAGE = b"$7\r\nmessage\r\n"


class Proxy:
    """Forwards to `backend`, a Unix socket's path or the (host, port) of a server.

    mode, which may be changed while connections are open:

    - "pass";
    - "black_hole" accepts and reads and answers nothing; a connection that lost bytes so is closed
      when the mode changes, as its stream has a hole;
    - "drip" sends a reply byte by byte, one each `drip_every` seconds;
    - "refuse" closes all connections and lets nobody connect;
    - "deaf" closes the connections that subscribe to anything, and lets none do so;
    - "slow" holds back each `slow_every`-th reply for `delay` seconds, "late" each such message to
      a connection that subscribes;
    - "mute" lets a connection that subscribes hear one message, and no more.
    """

    def __init__(self, backend: str | tuple[str, int], drip_every: float = 0.02) -> None:
        self.drip_every = drip_every
        self.delay = 0.0
        self.slow_every = 1
        self._replies = itertools.count(1)
        self._mode: Mode = "pass"
        self._backend = backend
        self._closed = threading.Event()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._listen()

    @property
    def url(self) -> str:
        """For `redis_url`."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def mode(self) -> Mode:
        return self._mode

    @mode.setter
    def mode(self, mode: Mode) -> None:
        was, self._mode = self._mode, mode
        if mode == "refuse" and was != "refuse":
            self._end()
        elif was == "refuse" and mode != "refuse":
            self._listener = socket.create_server(("127.0.0.1", self.port))
            self._listen()

    def _listen(self) -> None:
        self._start(self._accept, self._listener)

    def _start(self, work: object, *args: object) -> None:
        thread = threading.Thread(target=work, args=args, daemon=True)  # type: ignore[arg-type]  # callable
        self._threads = [t for t in self._threads if t.is_alive()] + [thread]
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while not self._closed.is_set():
            try:
                client, _ = listener.accept()
            except OSError:
                return
            self._start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        family = socket.AF_UNIX if isinstance(self._backend, str) else socket.AF_INET
        backend = socket.socket(family)
        lost = listens = told = False
        with client, backend, selectors.DefaultSelector() as selector, contextlib.suppress(OSError):
            backend.connect(self._backend)
            selector.register(client, selectors.EVENT_READ, backend)
            selector.register(backend, selectors.EVENT_READ, client)
            while not self._closed.is_set():
                ready = selector.select(0.05)
                mode = self._mode
                if mode == "refuse" or (lost and mode != "black_hole"):
                    return
                for key, _ in ready:
                    source: socket.socket = key.fileobj  # type: ignore[assignment]  # registered above
                    data = source.recv(65536)
                    if not data:
                        return
                    listens = listens or (source is client and b"SUBSCRIBE" in data)
                    if mode == "black_hole":
                        lost = True
                    elif mode == "deaf" and listens:
                        return
                    elif mode == "drip" and source is backend:
                        self._drip(client, data)
                    elif mode == "mute" and source is backend and told and _MESSAGE in data:
                        continue
                    else:
                        if source is backend:
                            told = told or (listens and _MESSAGE in data)
                            self._hold_back(mode, listens)
                        key.data.sendall(data)
                if mode == "deaf" and listens:
                    return

    def _hold_back(self, mode: Mode, listens: bool) -> None:
        if mode == ("late" if listens else "slow") and next(self._replies) % self.slow_every == 0:
            self._closed.wait(self.delay)

    def _drip(self, client: socket.socket, data: bytes) -> None:
        for i in range(len(data)):
            # Asked once: a mode that changes while this byte goes out must not cost the others.
            dripping = self._mode == "drip"
            client.sendall(data[i : i + 1] if dripping else data[i:])
            if not dripping or self._closed.wait(self.drip_every):
                return

    def _end(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(5)

    def close(self) -> None:
        """Stop listening and end all connections."""
        self._closed.set()
        self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
