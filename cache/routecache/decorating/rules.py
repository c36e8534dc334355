"""What is decided about the calls of one decorated function, without I/O."""

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

from routecache.decorating.calls import Args, CallKeys, Kwargs
from routecache.outcomes import Remembered, Unstored

Tags: TypeAlias = Iterable[str] | Callable[[Any], Iterable[str]]


@dataclass(frozen=True, slots=True)
class Rules:
    """How the calls of one function are cached. Immutable.

    keys: the key of a call.
    ttl: seconds in both tiers, None for the cache's own.
    tags: of each entry, or a function of the call's arguments that gives them.
    result_tags: a function of the result that gives further tags.
    skip_if: a function of the arguments; where it holds the cache is bypassed.
    store_if: a function of the result; where it does not hold nothing is stored.
    remember: types of exceptions that are remembered, for `negative_ttl` seconds.
    """

    keys: CallKeys
    ttl: float | None
    tags: tuple[str, ...] | Callable[..., Iterable[str]]
    result_tags: Callable[[Any], Iterable[str]] | None
    skip_if: Callable[..., bool] | None
    store_if: Callable[[Any], bool] | None
    remember: tuple[type[Exception], ...]
    negative_ttl: float

    def tags_for(self, args: Args, kwargs: Kwargs) -> Tags:
        """The `tags` of `get_or_load` for a call."""
        if self.result_tags is None and not callable(self.tags):
            return self.tags
        return functools.partial(self._tags_with, args, kwargs)

    def _tags_with(self, args: Args, kwargs: Kwargs, result: object) -> list[str]:
        tags = list(self.tags(*args, **kwargs) if callable(self.tags) else self.tags)
        if self.result_tags is not None and type(result) is not Remembered:
            tags.extend(self.result_tags(result))
        return tags

    def settled(self, result: object) -> object:
        """What a load that ended with `result` gives to `get_or_load`."""
        if self.store_if is None or self.store_if(result):
            return result
        return Unstored(result)

    def remembered(self, error: Exception) -> Remembered | None:
        """What a load that raised `error` gives, or None if it cannot be raised again by type."""
        kind = type(error)
        try:
            kind()
        except Exception:  # noqa: BLE001  # a constructor of the program's own
            return None
        return Remembered(kind, self.negative_ttl, error)
