"""Asks a `RoutingCache` the four questions of each request, and checks every answer.

The answers are compared with the policy's own, computed aside, so a wrong answer is counted even
when Redis was stopped half-way. A call that raises is counted too, and the replay goes on.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from routecache.typing import Timer
from routecache_exporters.replay import policy
from routecache_exporters.replay.firsts import Seen
from routecache_exporters.replay.pace import Pace
from routecache_exporters.replay.policy import Asked, Context

CACHES = ("provider", "model", "fallback", "tool")
"""The names under which a `RoutingCache` counts."""

_WITH_L2 = frozenset({"provider", "model", "fallback"})


class Router(Protocol):
    """The look-ups of a `RoutingCache` that are replayed."""

    def get_provider_status(self, provider: str, *, loader: Callable[[], object]) -> object:
        """Is the provider up?"""

    def get_model_selection(
        self,
        context: Context,
        *,
        loader: Callable[[], object],
        providers: Callable[[object], Sequence[str]],
    ) -> object:
        """Which model fits?"""

    def get_fallback_chain(
        self,
        context: Context,
        *,
        loader: Callable[[], object],
        providers: Callable[[object], Sequence[str]],
    ) -> object:
        """What to try when it fails?"""

    def get_normalized_tool(self, tool: str, *, loader: Callable[[], object]) -> object:
        """The tool's canonical name."""


@dataclass(slots=True)
class Tally:
    """What the replay itself counted for one cache, to be held against the cache's own books.

    `first_l1_misses` are the look-ups that were their key's first in this process, which no L1
    can answer; `first_l1_misses_l2_hits` are those of them that L2 answered. Both stay 0 for a
    cache without L2.
    """

    requests: int = 0
    loads: int = 0
    wrong_answers: int = 0
    exceptions: int = 0
    first_l1_misses: int = 0
    first_l1_misses_l2_hits: int = 0


class Replayer:
    """Replays requests through one router in the calling thread.

    Args:
        router: a `RoutingCache`.
        pace: when to ask, and how the policy's cost passes.
        cost: seconds of work that one computation by the policy takes; 0 spends none.

    Attributes:
        tallies: by cache name. Another thread may read them while the replay runs.
        first_exception: type and text of the first exception that a call raised.
    """

    def __init__(
        self, router: Router, pace: Pace, *, cost: float = 0.0, timer: Timer = time.monotonic
    ) -> None:
        self.requests = 0
        self.tallies = {name: Tally() for name in CACHES}
        self.first_exception: str | None = None
        self.elapsed = 0.0
        self._router = router
        self._pace = pace
        self._cost = cost
        self._timer = timer
        self._seen = Seen()

    @property
    def exceptions(self) -> int:
        """How many calls raised."""
        return sum(tally.exceptions for tally in self.tallies.values())

    @property
    def wrong_answers(self) -> int:
        """How many answers differed from the policy's."""
        return sum(tally.wrong_answers for tally in self.tallies.values())

    def run(
        self,
        requests: Iterable[Asked],
        *,
        limit: int | None = None,
        progress: Callable[[], None] | None = None,
    ) -> bool:
        """Replay until the requests end, `limit` is reached or the pace is stopped.

        Args:
            requests: an iterator may be endless.
            limit: at most this many requests.
            progress: called after each request.

        Returns:
            Whether it ended by itself: False when it was stopped.
        """
        start = self._timer()
        try:
            if limit == 0:
                return True
            for asked in requests:
                if not self._pace.wait(asked.at):
                    return False
                self.ask(asked)
                if progress is not None:
                    progress()
                if self.requests == limit:
                    break
            return True
        finally:
            self.elapsed += self._timer() - start

    def ask(self, asked: Asked) -> None:
        """Ask the four questions of one request."""
        router, context = self._router, asked.context
        self.requests += 1
        key = repr(context)
        self._look_up(
            "provider",
            asked.provider,
            lambda: policy.provider_status(asked.provider),
            lambda load: router.get_provider_status(asked.provider, loader=load),
        )
        self._look_up(
            "model",
            key,
            lambda: policy.model_selection(context),
            lambda load: router.get_model_selection(
                context, loader=load, providers=policy.providers_of_model
            ),
        )
        self._look_up(
            "fallback",
            key,
            lambda: policy.fallback_chain(context),
            lambda load: router.get_fallback_chain(
                context, loader=load, providers=policy.providers_of_chain
            ),
        )
        self._look_up(
            "tool",
            asked.tool,
            lambda: policy.normalized_tool(asked.tool),
            lambda load: router.get_normalized_tool(asked.tool, loader=load),
        )

    def _look_up(
        self,
        cache: str,
        key: str,
        compute: Callable[[], object],
        get: Callable[[Callable[[], object]], object],
    ) -> None:
        tally = self.tallies[cache]
        loads = 0

        def load() -> object:
            nonlocal loads
            loads += 1
            self._pace.spend(self._cost)
            return compute()

        tally.requests += 1
        try:
            answer = get(load)
        except Exception as error:  # noqa: BLE001 (whatever a call raises is what is counted)
            tally.exceptions += 1
            self.first_exception = self.first_exception or f"{type(error).__name__}: {error}"
            return
        tally.loads += loads
        if answer != compute():
            tally.wrong_answers += 1
        if cache in _WITH_L2 and self._seen.first(f"{cache} {key}"):
            # This process never held the key, so L1 missed, and only L2 can have answered a
            # look-up that did not load.
            tally.first_l1_misses += 1
            if not loads:
                tally.first_l1_misses_l2_hits += 1
