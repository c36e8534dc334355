"""What is decided about the calls of one decorated function, without I/O."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
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
    fixed_tags: the tags of every entry; None if they depend on the call, see `tags_with`.
    """

    keys: CallKeys
    ttl: float | None
    tags: tuple[str, ...] | Callable[..., Iterable[str]]
    result_tags: Callable[[Any], Iterable[str]] | None
    skip_if: Callable[..., bool] | None
    store_if: Callable[[Any], bool] | None
    remember: tuple[type[Exception], ...]
    negative_ttl: float
    fixed_tags: tuple[str, ...] | None = field(init=False)

    def __post_init__(self) -> None:
        varies = self.result_tags is not None or callable(self.tags)
        object.__setattr__(self, "fixed_tags", None if varies else self.tags)

    def tags_with(self, args: Args, kwargs: Kwargs, result: object) -> list[str]:
        """The tags of an entry with this result."""
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
