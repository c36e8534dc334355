"""What is to be warm in one cache, and what became of each key. No I/O."""

import logging
import time
from collections.abc import AsyncIterable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Final, Literal, TypeAlias

from routecache import forking, keys
from routecache.errors import CacheError, ConfigurationError, KeyTypeError
from routecache.tiered._core import TieredCore
from routecache.tiered.flights import Flight
from routecache.tiered.warming import Filled
from routecache.typing import MISS
from routecache.warming.options import Terms, WarmProgress, WarmResult

Items: TypeAlias = Iterable[str | tuple[str, Any]]
"""Keys, or pairs of key and value, the hottest first."""
Source: TypeAlias = Mapping[str, Any] | Items | Callable[[], Any] | None
"""Keys or items, or a function that gives them; None stands for the hottest keys of L2."""
AnySource: TypeAlias = Source | AsyncIterable[Any]
Loader: TypeAlias = Callable[[str], Any]
Tags: TypeAlias = Iterable[str] | Callable[[Any], Iterable[str]]
State: TypeAlias = Literal["waiting", "l1", "l2", "loaded", "failed"]

BATCH: Final = 100
"""Keys that are read from L2 in one round trip."""

_log = logging.getLogger("routecache")


class Plan:
    """The keys of one cache's warm-up, in order, and their states. Safe for threads.

    Args:
        core: of the cache.
        source: see `Source`; at most `limit` keys are taken from it, all of L1 if None.
        loader: gives a key's value; None if L2 and the items have to do.
        ttl, tags: of what is loaded, as of `get_or_load`.
        hottest: whether to go on with L2's hottest keys while there is room.
        known: whether `loader` can load a key; None if it can load all.

    gathered: whether all keys are known.
    """

    def __init__(
        self, core: TieredCore, source: AnySource, terms: Terms, *, loader: Loader | None = None,
        ttl: float | None = None, tags: Tags = (), limit: int | None = None, hottest: bool = False,
        known: Callable[[str], bool] | None = None,
    ) -> None:  # fmt: skip
        core.check_keys()
        core.check_write(ttl, () if callable(tags) else core.check_tags(tags))
        if isinstance(source, str):
            raise KeyTypeError(f"{source!r} is one str: give an iterable of keys, such as a list")
        if limit is not None and (isinstance(limit, bool) or limit < 1):
            raise ConfigurationError(f"limit={limit!r}: give a number of keys from 1 on, or None")
        self.core = core
        self.source = source
        self.ttl, self.tags = ttl, tags
        self.limit = core.local.maxsize if limit is None else limit
        self.hottest = hottest or source is None
        self.problem: str | None = None
        self.gathered = False
        self._terms = terms
        self._loader = loader
        self._known = known
        self._values: dict[str, Any] = {}
        self._states: dict[str, State] = {}
        self._flights: set[Flight] = set()
        self._echoes: dict[str, Future[None]] = {}
        self._lock = forking.RenewedLock()
        self._telling = forking.RenewedLock()
        self._began = time.monotonic()
        self._result: WarmResult | None = None
        core.warm_up = core.warm_up._replace(started=time.time(), entries=0)

    # What is to be warm

    def read(self) -> None:
        """Take the source in; what it raises ends it, unless it is a mistake in the program."""
        source: Any = self.source
        try:
            self.take(source() if callable(source) else source)
        except CacheError:
            raise
        except Exception as error:  # noqa: BLE001  # a source may raise anything
            self.broke(error)

    def broke(self, error: Exception) -> None:
        """The source raised."""
        self.problem = type(error).__name__
        _log.warning("a warm-up's source of keys raised %s", self.problem)

    def take(self, source: Any) -> None:
        """Take keys or items in, as many as there is room for."""
        if source is None:
            return
        for item in source.items() if isinstance(source, Mapping) else source:
            if not self.take_one(item):
                return

    def take_one(self, item: Any) -> bool:
        """Take one key or item in; whether there is room for more."""
        pair: tuple[Any, Any] = item if isinstance(item, tuple) and len(item) == 2 else (item, MISS)
        key, value = keys.check_key(pair[0]), pair[1]
        with self._lock:
            if len(self._states) < self.limit and self._result is None:
                self._states.setdefault(key, "waiting")
                if value is not MISS:
                    self._values.setdefault(key, value)
            return len(self._states) < self.limit and self._result is None

    @property
    def pattern(self) -> str:
        """What all keys of this cache in L2 match."""
        return keys.value_pattern(self.core.prefix)

    @property
    def room(self) -> int:
        """For how many of L2's hottest keys there is room."""
        return self.limit - len(self._states) if self.hottest and self.core.has_l2 else 0

    def found(self, wire_keys: Sequence[str]) -> None:
        """L2's hottest keys."""
        for wire_key in wire_keys:
            key = keys.key_of(self.core.prefix, wire_key)
            if key is not None:
                self.take_one(key)

    # What became of it

    def batches(self, *, again: bool = False) -> list[list[str]]:
        """The keys to read from L2: those that are waiting, or all of them once more."""
        with self._lock:
            wanted = [k for k, s in self._states.items() if s == "waiting" or again]
        return [wanted[i : i + BATCH] for i in range(0, len(wanted), BATCH)]

    def filled(self, batch: Sequence[str], found: Sequence[Filled]) -> None:
        """What L1 and L2 held of a batch."""
        with self._lock:
            for key, where in zip(batch, found, strict=True):
                if self._states[key] == "waiting" and where in ("l1", "l2"):
                    self._settle(key, "l1" if where == "l1" else "l2")
        self.tell()

    def to_load(self) -> list[str]:
        """The keys that are waiting and can be loaded."""
        with self._lock:
            waiting = [key for key, state in self._states.items() if state == "waiting"]
        return [key for key in waiting if key in self._values or self._can_load(key)]

    def _can_load(self, key: str) -> bool:
        return self._loader is not None and (self._known is None or self._known(key))

    def load_of(self, key: str) -> Callable[[], Any]:
        """The loader of one key: the program's own, or one that gives the item's value."""
        if key in self._values:
            value = self._values[key]
            return lambda: value
        assert self._loader is not None, "to_load gives no key without a loader"
        loader = self._loader
        return lambda: loader(key)

    def is_given(self, key: str) -> bool:
        """Whether the value is there already, so that no provider is asked for it."""
        return key in self._values

    def take_off(self, key: str) -> Flight | None:
        """The flight to lead for `key`; None if somebody else loads it, or the time is over."""
        with self._lock:
            if self._result is not None or self.core.closed:
                return None
            flight, leads = self.core.flights.join(key)
            if not leads:
                return None
            self._flights.add(flight)
        echo = self.core.expect(key)
        if echo is not None:
            self._echoes[key] = echo
        return flight

    def landed(self, flight: Flight, outcome: str | None) -> None:
        """How a flight of `take_off` ended; None if it was interrupted."""
        with self._lock:
            self._flights.discard(flight)
            if outcome == "error":
                self._settle(flight.key, "failed")
            elif outcome is not None:
                self._settle(flight.key, "l2" if outcome == "l2_hit" else "loaded")
        if outcome in (None, "error", "l2_hit"):
            self._forget_echo(flight.key)
        self.tell()

    def echoes(self) -> list["Future[None]"]:
        """Futures that end when this process hears of what it wrote."""
        return list(self._echoes.values())

    def _forget_echo(self, key: str) -> None:
        echo = self._echoes.pop(key, None)
        if echo is not None:
            self.core.expect_no_more(key, echo)

    def _settle(self, key: str, state: State) -> None:
        self._states[key] = state
        if state != "failed" and self._result is None:
            warm_up = self.core.warm_up
            self.core.warm_up = warm_up._replace(entries=warm_up.entries + 1)

    # Progress and end

    def tell(self) -> None:
        """Tell the program how far it is."""
        progress = self._terms.progress
        if progress is None:
            return
        with self._telling:
            if self._result is not None:
                return
            try:
                progress(self._progress())
            except Exception as error:  # noqa: BLE001  # a hook may raise anything
                _log.warning("a warm-up's progress callback raised %s", type(error).__name__)

    def _progress(self) -> WarmProgress:
        with self._lock:
            states = list(self._states.values())
        failed, waiting = states.count("failed"), states.count("waiting")
        name = self.core.books.stats.name
        return WarmProgress(name, len(states), len(states) - waiting, failed)

    def end(self) -> WarmResult:
        """Close the plan: how it stands now is its result. Another call gives the same.

        Loads under way are given up: who waits for one of them loads for himself.
        """
        with self._lock:
            if self._result is None:
                self._result = self._outcome()
                if self._result.succeeded:
                    self.core.warm_up = self.core.warm_up._replace(completed=time.time())
            flights = list(self._flights)
        for flight in flights:
            self.core.flights.abandon(flight)
        for key in list(self._echoes):
            self._forget_echo(key)
        return self._result

    def _outcome(self) -> WarmResult:
        states = list(self._states.values())
        loaded, l2, l1 = states.count("loaded"), states.count("l2"), states.count("l1")
        warm = loaded + l2 + l1
        known = self.gathered and self.problem is None
        return WarmResult(
            self.core.books.stats.name, len(states), loaded, l2, l1, states.count("failed"),
            states.count("waiting"), time.monotonic() - self._began,
            complete=known and warm == len(states),
            succeeded=known and warm >= self._terms.enough * len(states),
            problem=self.problem,
        )  # fmt: skip
