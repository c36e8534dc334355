"""How many bytes a value takes in memory, estimated for caches that never encode it.

The value is walked without recursion and each object is counted once, however often it occurs;
that also ends cycles. Walked are dict, list, tuple, set, frozenset and the `__dict__` of
instances; anything else counts for what `sys.getsizeof` says of it. After `MAX_STEPS` items the
rest is extrapolated: every container that is still open, from the innermost out, is taken to hold
on average what its items so far did.
"""

import sys
from collections.abc import Iterator
from itertools import chain

MAX_STEPS = 10_000

_UNKNOWN = 64  # bytes of an object that does not tell
_FLAT = frozenset((str, int, float, bool, type(None), bytes))


class _Open:
    """A container that is being walked: how many of its items are done, and since what total."""

    __slots__ = ("done", "items", "length", "since")

    def __init__(self, items: Iterator[object], length: int, since: float) -> None:
        self.items = items
        self.length = length
        self.since = since
        self.done = 0


def estimate(value: object) -> int:
    """The bytes that `value` and all it refers to take in memory, about.

    Exact (as `sys.getsizeof` counts) up to `MAX_STEPS` items, extrapolated beyond, so that no
    value takes longer than some milliseconds. Never raises: what cannot be looked into, because it
    refuses or because another thread changes it, counts for what is known of it. Safe for threads.
    """
    seen = {id(value)}
    total: float = _size_of(value)
    path = _opened(value, total)
    steps = 0
    while path:
        inner = path[-1]
        try:
            item = next(inner.items)
        except Exception:  # noqa: BLE001  # StopIteration; or it was changed meanwhile
            path.pop()
            continue
        if steps >= MAX_STEPS:
            return int(_extrapolated(total, path))
        steps += 1
        inner.done += 1
        if id(item) in seen:
            continue
        seen.add(id(item))
        total += _size_of(item)
        if type(item) not in _FLAT:
            path += _opened(item, total)
    return int(total)


def _size_of(value: object) -> int:
    try:
        return max(0, int(sys.getsizeof(value, _UNKNOWN)))
    except Exception:  # noqa: BLE001  # a `__sizeof__` of somebody else's
        return _UNKNOWN


def _opened(value: object, total: float) -> list[_Open]:
    # The built-in types' own iteration, so that no subclass's code runs.
    try:
        if isinstance(value, dict):
            # Keys and values in turn, so that what has been seen is a fair sample of both.
            items = chain.from_iterable(dict.items(value))
            return [_Open(items, 2 * dict.__len__(value), total)]
        if isinstance(value, list):
            return [_Open(list.__iter__(value), list.__len__(value), total)]
        if isinstance(value, tuple):
            return [_Open(tuple.__iter__(value), tuple.__len__(value), total)]
        if isinstance(value, set):
            return [_Open(set.__iter__(value), set.__len__(value), total)]
        if isinstance(value, frozenset):
            return [_Open(frozenset.__iter__(value), frozenset.__len__(value), total)]
        own = getattr(value, "__dict__", None) if not isinstance(value, type) else None
        if isinstance(own, dict):
            return [_Open(iter((own,)), 1, total)]
    except Exception:  # noqa: BLE001  # a `__class__` or `__dict__` of somebody else's
        return []
    return []


def _extrapolated(total: float, path: list[_Open]) -> float:
    for container in reversed(path):
        spent = total - container.since
        total = container.since + spent * container.length / max(container.done, 1)
    return total
