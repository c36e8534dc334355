"""`ProviderHealth`: which providers a router may use, known to all of its processes."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, Final, TypeAlias, TypeVar

from routecache.adapters.failure import Failure
from routecache.policy import check_ttl
from routecache.routing.async_cache import AsyncRoutingCache
from routecache.routing.health import Invalidation

_T = TypeVar("_T")
Probe: TypeAlias = Callable[[str], Awaitable[bool]]

UP: Final = {"up": True, "why": ""}
"""The status of a provider of which nothing bad is known."""
DOWN: Final = {"up": False, "why": "reported"}
"""For `HealthPolicy(unhealthy_status=DOWN)`: what others report counts in all processes."""

# Names come from the router's configuration; this bounds what a mistake there can fill.
_MAX_PROVIDERS: Final = 10_000

_log = logging.getLogger("routecache")


class ProviderHealth:
    """Which providers may be used: the status of each is an entry of an `AsyncRoutingCache`.

    A provider that fails is reported unhealthy, which takes every model choice and fallback chain
    that names it out of every process, and is left alone for its cooldown: its status is then down
    for all processes that share the Redis. When the cooldown is over, a probe decides in the
    background; without one the next request does, and one failure is then enough to be down
    again. A provider whose status expired while it was up is probed in the background as well, so
    that a probe holds up a request only if nothing was known of the provider.

    What other sources report to the cache counts as well, and so does its damping: a provider that
    one of them calls unhealthy, or that is held for flapping, is not up in this process, whatever
    probes say. With `HealthPolicy(unhealthy_status=DOWN)` it is in none, until a process that was
    not told so finds that it fails, and later that it works: the last status stored counts.

    Args:
        cache: where statuses are kept; closing it is the caller's. It should hold no others.
        probe: asks a provider by name whether it works. What it raises counts as no.
        source: who reports, as `report_provider_health` takes it.
        cooldown: seconds that a provider which failed is left alone.
        max_cooldown: seconds that a provider's own Retry-After may ask for at most.
        failures: how many failures in a row, as this process sees them, take a provider down. A
            rate limit does so at once.
        probe_timeout: seconds after which a probe counts as failed.

    Raises:
        ConfigurationError: a time that is not a number of seconds greater than 0.
        ValueError: `failures` less than 1.

    Safe for tasks of one event loop. No call raises because of Redis or of a probe. A call that is
    cancelled while it takes a provider down ends at once, and the provider goes down all the same.
    """

    def __init__(
        self,
        cache: AsyncRoutingCache,
        *,
        probe: Probe | None = None,
        source: str = "router",
        cooldown: float = 30.0,
        max_cooldown: float = 300.0,
        failures: int = 3,
        probe_timeout: float = 1.0,
    ) -> None:
        if failures < 1:
            raise ValueError(f"failures={failures!r}: give a number of at least 1")
        self.cache = cache
        self._probe = probe
        self._source = source
        self._cooldown = check_ttl(cooldown, "cooldown")
        self._max_cooldown = check_ttl(max_cooldown, "max_cooldown")
        self._failures = failures
        self._probe_timeout = check_ttl(probe_timeout, "probe_timeout")
        self._failed: dict[str, int] = {}
        self._known: dict[str, bool] = {}
        # Whose status was put together from what is known, and has to be asked for anew.
        self._due: set[str] = set()
        self._probing: dict[str, asyncio.Task[None]] = {}
        # When the cooldown ends of those that were taken down here. A status stored for reports
        # may outlast it.
        self._until: dict[str, float] = {}
        self._whole: set[asyncio.Task[None]] = set()
        self._going_down: set[str] = set()
        self._forget_hook = cache.add_invalidation_hook(self._heard)

    async def is_up(self, provider: str) -> bool:
        """Whether `provider` may be used, as memory, Redis or last the probe say."""

        async def load() -> dict[str, Any]:
            return await self._load(provider)

        status = await self.cache.get_provider_status(provider, loader=load)
        if provider in self._going_down:
            return False  # though its status may not say so yet
        up = not (isinstance(status, dict) and status.get("up") is False)
        if provider in self._due:
            await self._renew(provider, up)
        elif up is not self._known.get(provider):
            return await self._learn(provider, up)
        elif not up and provider in self._until:
            await self._ask_after_cooldown(provider)
        return up

    async def those_up(self, providers: Iterable[str]) -> list[str]:
        """Those of `providers` that may be used, in their order."""
        names = list(providers)
        known = self._known
        first = [name for name in names if name not in known]
        if len(first) < 2:
            return [name for name in names if await self.is_up(name)]
        # Each may wait for a probe: one after the other these would add up.
        first = list(dict.fromkeys(first))
        asked = dict(zip(first, await asyncio.gather(*map(self.is_up, first)), strict=True))
        return [
            name for name in names if (asked[name] if name in asked else await self.is_up(name))
        ]

    def succeeded(self, provider: str) -> None:
        """An attempt at `provider` succeeded: its failures in a row begin anew."""
        self._failed.pop(provider, None)

    async def failed(self, provider: str, failure: Failure) -> bool:
        """An attempt at `provider` failed; True if that took it down."""
        count = self._failed.get(provider, 0) + 1
        _remember(self._failed, provider, count)
        if failure.kind != "rate_limit" and count < self._failures:
            return False
        if self._known.get(provider) is False:
            # It was under way when the provider went down, and tells nothing new.
            return False
        await self._take_down(provider, failure)
        return True

    async def close(self) -> None:
        """End the probes that are under way, and hear no more reports. May be called again.

        Waits for providers that are being taken down.
        """
        self._forget_hook()
        await asyncio.gather(*self._whole, return_exceptions=True)
        probing = list(self._probing.values())
        for task in probing:
            task.cancel()
        await asyncio.gather(*probing, *self._whole, return_exceptions=True)

    def _heard(self, invalidation: Invalidation) -> None:
        """Whoever reported it: `is_up` has to look at the reports again."""
        if invalidation.provider is not None and invalidation.reason == "health":
            _remember(self._known, invalidation.provider, False)

    def _is_held(self, provider: str) -> bool:
        """Whether another source calls it unhealthy, or it is held for flapping.

        To be asked while this source calls it healthy, or has said nothing.
        """
        return self.cache.provider_health().get(provider) is False

    async def _load(self, provider: str) -> dict[str, Any]:
        """The status that no tier holds."""
        self._due.discard(provider)  # of one that was cancelled before it was heeded
        known = self._known.get(provider)
        if provider in self._going_down:
            return DOWN  # until it is stored, in a moment
        if self._probe is None:
            if known is False:
                await self._report_well(provider)
            if not self._is_held(provider):
                return UP
            known = False
        elif known is None:
            known = await self._answers(provider)
            if known and not self._is_held(provider):
                return UP
        self._due.add(provider)
        return UP if known and not self._is_held(provider) else _down(Failure("probe"))

    async def _renew(self, provider: str, up: bool) -> None:
        """What `_load` put together: a first probe that failed, or what has to be probed anew."""
        self._due.discard(provider)
        if up:
            self._begin_probe(provider)
        elif self._known.get(provider) is None and not self._is_held(provider):
            await self._take_down(provider, Failure("probe"))
        else:
            _remember(self._known, provider, False)
            await self._wholly(self._leave_down(provider))

    async def _leave_down(self, provider: str) -> None:
        # Loaded, it would live as long as good news.
        self._cool_down(provider, self._cooldown)
        await self.cache.set_provider_status(provider, _down(Failure("probe")), self._cooldown)
        self._begin_probe(provider)

    def _begin_probe(self, provider: str) -> None:
        if self._probe is not None and provider not in self._probing:
            task = asyncio.create_task(self._probe_again(provider))
            self._probing[provider] = task
            task.add_done_callback(lambda _: self._probing.pop(provider, None))

    async def _ask_after_cooldown(self, provider: str) -> None:
        """Ask again whose status outlasts its cooldown though nobody else says unhealthy."""
        now = self.cache.core.health.timer()
        reports = self.cache.provider_reports(provider)
        if now < self._until[provider] or any(
            not each.healthy and each.source != self._source for each in reports
        ):
            return
        if self._probe is None:
            await self._report_well(provider)
        else:
            self._cool_down(provider, self._cooldown)
            self._begin_probe(provider)

    def _cool_down(self, provider: str, seconds: float) -> None:
        _remember(self._until, provider, self.cache.core.health.timer() + seconds)

    async def _wholly(self, work: Coroutine[Any, Any, None]) -> None:
        """Await `work`, which goes on if who awaits it is cancelled.

        A provider that hangs is found out by requests that are given up, and the last of them may
        be the one that takes it down. Half done, nobody would go on with it: all others rely on
        its being done.
        """
        task = asyncio.create_task(work)
        self._whole.add(task)
        task.add_done_callback(self._whole.discard)
        await asyncio.shield(task)

    async def _learn(self, provider: str, up: bool) -> bool:
        """Take in a status that is not what was known; whether the provider is up."""
        if up and self._known.get(provider) is False:
            await self._report_well(provider)
        up = up and not self._is_held(provider)
        _remember(self._known, provider, up)
        return up

    async def _probe_again(self, provider: str) -> None:
        try:
            if not await self._answers(provider):
                await self._take_down(provider, Failure("probe"))
            elif self._known.get(provider) is False and provider not in self._going_down:
                await self._report_well(provider)
                if not self._is_held(provider):
                    _remember(self._known, provider, True)
                    await self.cache.set_provider_status(provider, UP)
        except Exception as error:  # noqa: BLE001  # nobody awaits this task, so it tells itself
            _log.warning("what a probe found was not entered: %s", type(error).__name__)

    async def _report_well(self, provider: str) -> None:
        self._until.pop(provider, None)
        await self.cache.report_provider_health(provider, True, source=self._source)

    async def _answers(self, provider: str) -> bool:
        probe = self._probe
        assert probe is not None
        try:
            async with asyncio.timeout(self._probe_timeout):
                return await probe(provider)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            return False  # of the probe's own making
        except Exception as error:  # noqa: BLE001  # a probe may raise anything
            # The text of an exception may hold keys or secrets; its type does not.
            _log.info("the probe of a provider raised %s", type(error).__name__)
            return False

    async def _take_down(self, provider: str, failure: Failure) -> None:
        _remember(self._known, provider, False)
        if provider not in self._going_down:
            self._going_down.add(provider)
            await self._wholly(self._tell_down(provider, failure))

    async def _tell_down(self, provider: str, failure: Failure) -> None:
        try:
            await self.cache.report_provider_health(
                provider, False, source=self._source, reason=failure.kind
            )
            # After the report, which forgets the status. A choice that another process makes in
            # between may still name the provider: whoever uses a choice asks `is_up` first.
            seconds = self._cooldown if failure.retry_after is None else failure.retry_after
            seconds = min(seconds, self._max_cooldown)
            self._cool_down(provider, seconds)
            await self.cache.set_provider_status(provider, _down(failure), seconds)
        finally:
            self._going_down.discard(provider)


def _down(failure: Failure) -> dict[str, Any]:
    return {"up": False, "why": failure.kind}


def _remember(of: dict[str, _T], provider: str, value: _T) -> None:
    of.pop(provider, None)
    of[provider] = value
    if len(of) > _MAX_PROVIDERS:
        del of[next(iter(of))]
