"""What a health report and an invalidation look like to the router's own code."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias


@dataclass(frozen=True, slots=True)
class Invalidation:
    """One invalidation, as hooks receive it.

    cache: provider, model, fallback, or "all" for a provider that turned unhealthy.
    provider: the provider concerned, if one is.
    reason: explicit, or health.
    """

    cache: Literal["provider", "model", "fallback", "all"]
    provider: str | None
    reason: Literal["explicit", "health"]


InvalidationHook: TypeAlias = Callable[[Invalidation], None]


@dataclass(frozen=True, slots=True)
class HealthReport:
    """What one source last said of a provider."""

    healthy: bool
    source: str
    reason: str
