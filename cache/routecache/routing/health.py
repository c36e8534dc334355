"""What a health report and an invalidation look like to the router's own code."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias


@dataclass(frozen=True, slots=True)
class Invalidation:
    """One invalidation, as hooks receive it.

    cache: provider, model, fallback, or "all" for all three; a provider that turned unhealthy, or
        that was invalidated, takes with it what names it in "all". "provider" is a provider's
        status alone, which goes when the provider is well again.
    provider: the provider concerned, if one is.
    reason: explicit, or health.
    """

    cache: Literal["provider", "model", "fallback", "all"]
    provider: str | None
    reason: Literal["explicit", "health"]


InvalidationHook: TypeAlias = Callable[[Invalidation], object]
"""Called after an invalidation; what it returns is ignored."""

AsyncInvalidationHook: TypeAlias = Callable[[Invalidation], Awaitable[object] | object]
"""The same, or a coroutine function, which is awaited."""


@dataclass(frozen=True, slots=True)
class HealthReport:
    """What one source last said of a provider."""

    healthy: bool
    source: str
    reason: str
