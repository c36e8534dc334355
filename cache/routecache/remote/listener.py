"""The coherence listener: hears what other processes change in L2, so that L1 can drop it.

One daemon thread per process and endpoint, whatever the number of caches. For each primary it
holds two connections: one that the server tells of changed keys, by CLIENT TRACKING in BCAST mode
with the redirection to itself (the one form that RESP2, and so redis-py's public API, can do on
Redis and Valkey alike; a second connection as the target breaks without a sign when it goes), and
one for heartbeats.

A heartbeat is a write under a prefix of this process alone, so that it reaches no other listener.
The server tells of it like of any other write. Since one connection keeps the order, a heartbeat
that comes back proves that all that was written before it was sent has been heard. That is why

- a connection counts only once its first heartbeat has come back, not when SUBSCRIBE is confirmed;
- what may be stale after a disconnect is what changed since the last heartbeat heard was sent,
  whether the server closed the connection or a half-open one went silent;
- a server or proxy that takes CLIENT TRACKING and then says nothing is noticed.

Prefixes cannot be added to a subscribed connection. For a new one a second connection is armed
with them all and proved, then the old one is asked for a PONG, and only after that answer, and
whatever came before it, is it closed: so there is no gap, and what is told twice does no harm.

Connecting happens in a short-lived thread of its own, because DNS, TCP, TLS and AUTH may take a
second during which the other primaries are still to be heard. Everything else is non-blocking in
the one thread: a message of a server that stops in the middle of it holds up nothing.

Where a server refuses CLIENT TRACKING, each cache has a channel `P:inv` instead, to which writers
publish the keys that they have changed (`publishes`, `message_for`). Neither expiry, eviction nor
FLUSHALL is heard then.
"""

import functools
import secrets
import sys
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import redis

from routecache import forking
from routecache.remote.endpoint import Endpoint
from routecache.remote.hearing import ListenerSnapshot, State, Status, stats_for
from routecache.remote.heartbeat import Heart
from routecache.remote.interest import Watches, cache_prefix
from routecache.remote.listening import Loop, Plan
from routecache.remote.messages import message_for
from routecache.remote.subscription import Primary, primary_of, primary_of_endpoint
from routecache.remote.topology import clients_of, moves
from routecache.typing import Sink

__all__ = ["Listener", "Sink", "listener_for", "listener_of", "message_for"]


class Listener:
    """Tells sinks which keys have changed in L2. Safe for threads.

    Args:
        endpoint: whose server is listened to, and whose alias names the counters.
        connect: gives a factory of a `redis.Redis` for each primary; asked anew at each attempt to
            connect and each `heartbeat_lost` seconds, in a thread of its own. The clients' options
            are used, their connections are not. By default the endpoint's server.
        timer: monotonic seconds.
        heartbeat_interval: seconds between two heartbeats.
        heartbeat_lost: seconds after which a heartbeat that did not come back is lost, and the
            connection with it.

    A forked child has the same sinks and no connection until `watch` or `ensure` is called there.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        connect: Callable[[], Sequence[Callable[[], "redis.Redis"]]] | None = None,
        *,
        timer: Callable[[], float] = time.monotonic,
        heartbeat_interval: float = 1.0,
        heartbeat_lost: float = 10.0,
    ) -> None:
        self.alias = endpoint.alias
        self._stats = stats_for(endpoint.alias)
        self._plan = Plan(
            alias=endpoint.alias,
            connect=_primaries(primary_of_endpoint(endpoint), connect),
            changing=connect is not None,
            timer=timer,
            interval=heartbeat_interval,
            lost_after=heartbeat_lost,
        )
        self._lock = forking.RenewedLock()
        self._watches = Watches()
        self._status = Status(disconnected_since=timer())
        self._process = secrets.token_hex(8)
        self._heart: Heart | None = None
        self._loop: Loop | None = None
        forking.reset_in_child(self)

    def reset_after_fork(self) -> None:
        """Let go of the parent's connections; the sinks stay."""
        self._process = secrets.token_hex(8)
        self._heart = None
        loop, self._loop = self._loop, None
        if loop is not None:
            heard_until = loop.abandon()
            now = self._plan.timer()
            self._status = _next(self._status, now if heard_until is None else heard_until)

    def watch(self, prefixes: Sequence[bytes], sink: Sink) -> None:
        """Tell `sink` from now on of keys that begin with one of `prefixes`. Returns at once.

        The first that `sink` is told is `reconnected`, once these prefixes are listened to.
        `disconnected(at)` comes with an `at` before the call, in seconds of the timer: when the
        last heartbeat that came back was sent, until when nothing can have been missed. Before
        `reconnected` it may come again, if more turns out to have been missed, with an earlier
        `at`. An exception of a sink is logged by its type and stops nothing.

        The listener holds `sink` until `unwatch`. A second call for it adds prefixes; once they
        are listened to, it is told `reconnected` again.

        Raises:
            ValueError: no prefix, or an empty one, which would take other applications' keys.
        """
        if not prefixes or not all(prefixes):
            raise ValueError("a sink needs prefixes, and none may be empty")
        with self._lock:
            self._watches.add(prefixes, sink)
            if self._heart is None:
                self._heart = Heart(cache_prefix(prefixes[0]), self._process)
            loop = self._loop
        if loop is not None:
            loop.wake()
        self.ensure()

    def unwatch(self, sink: Sink) -> None:
        """Tell `sink` nothing more; one call may still be under way.

        Without a sink the thread ends and closes its connections, soon and unwaited for.
        """
        with self._lock:
            self._watches.remove(sink)
            if not self._watches:
                self._stop()

    def close(self) -> None:
        """Forget all sinks and stop."""
        with self._lock:
            self._stop()

    def ensure(self) -> None:
        """Start the thread if there are sinks and it does not run, as in a forked child.

        Asked before every L2 command, so it costs nothing while the thread runs.
        """
        if self._loop is not None:
            return
        with self._lock:
            if self._running() or not self._watches:
                return
            if self._heart is None:
                first = self._watches.prefixes()[0]
                self._heart = Heart(cache_prefix(first), self._process)
            loop = Loop(self._plan, self._watches, self._status, self._stats, self._heart)
            thread = threading.Thread(target=loop.run, name="routecache-listener", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # the interpreter is ending, or no more threads: at the next call
                loop.abandon()
                if sys.is_finalizing():
                    return
            else:
                self._loop = loop

    def _running(self) -> bool:
        return self._loop is not None

    def _stop(self) -> None:
        # The thread goes on for a moment; it keeps the old state, and nobody looks at that.
        loop, self._loop = self._loop, None
        self._watches = Watches()
        if loop is not None:
            loop.stop()
            self._status = _next(self._status, self._plan.timer())

    @property
    def state(self) -> State:
        """Whether all that other processes change is heard: from all primaries."""
        return self._status.state

    @property
    def states(self) -> Mapping[str, int]:
        """How many primaries are in each state; without a sink none is in any."""
        if self._loop is None:
            return {"connected": 0, "disconnected": 0}
        up = self._status.up
        return {"connected": up, "disconnected": max(self._status.primaries, 1) - up}

    @property
    def generation(self) -> int:
        """How often it has become connected: what was read in another one may be stale."""
        return self._status.generation

    @property
    def connected_since(self) -> float | None:
        """Since when it is connected, in seconds of its timer; None while it is not."""
        return self._status.connected_since

    @property
    def disconnected_since(self) -> float | None:
        """Since when changes may have been missed, in seconds; None while it is connected."""
        return self._status.disconnected_since

    @property
    def publishes(self) -> bool:
        """Whether writers must publish `message_for` the keys that they change to `P:inv`.

        True until the server was asked, since another process may depend on it.
        """
        return self._status.mode != "tracking"

    def snapshot(self) -> ListenerSnapshot:
        """The counters of its alias, and its state."""
        return self._stats.snapshot(self.alias, self.states)


def _next(status: Status, disconnected_since: float) -> Status:
    since = status.disconnected_since
    return replace(
        status,
        state="disconnected",
        connected_since=None,
        disconnected_since=disconnected_since if since is None else since,
        up=0,
        primaries=0,
    )


def _primaries(
    own: Primary, connect: Callable[[], Sequence[Callable[[], "redis.Redis"]]] | None
) -> Callable[[], Sequence[Primary]]:
    if connect is None:
        return lambda: (own,)
    return lambda: [primary_of(factory()) for factory in connect()]


# By endpoint, so that all managers of one share a thread.
_listeners: "weakref.WeakKeyDictionary[Endpoint, Listener]" = weakref.WeakKeyDictionary()
_lock = forking.RenewedLock()


def listener_for(endpoint: Endpoint) -> Listener:
    """The one listener of `endpoint` in this process, made on first use."""
    with _lock:
        listener = _listeners.get(endpoint)
        if listener is None:
            # Weakly: what this table holds must not keep its own key alive.
            ref = weakref.ref(endpoint)
            connect = functools.partial(_clients, ref) if moves(endpoint) else None
            listener = _listeners[endpoint] = Listener(endpoint, connect)
        return listener


def _clients(ref: "weakref.ref[Endpoint]") -> Sequence[Callable[[], "redis.Redis"]]:
    endpoint = ref()
    return clients_of(endpoint) if endpoint is not None else ()


def listener_of(endpoint: Endpoint) -> Listener | None:
    """The listener of `endpoint`, if it has one yet."""
    return _listeners.get(endpoint)
