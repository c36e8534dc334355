"""What a loader may give beside a value: one that is not stored, an exception that is remembered.

A loader of the decorator wraps its result in one of these, and `get_or_load` takes it apart again
when it answers: nobody else meets them. L2 never does.
"""

import copy
from typing import Any, Final

from routecache.typing import MISS

NOTE: Final = "Remembered by routecache: the call that raised it was not made again."


def is_none(value: object) -> bool:
    """Whether a cached `value` says that there is none: MISS, or a remembered exception."""
    return value is MISS or type(value) is Remembered


def again(error: BaseException) -> BaseException:
    """`error` for one more waiter: a copy, because each raise lengthens its own traceback."""
    try:
        twin = copy.copy(error)
    except Exception:  # noqa: BLE001  # whatever its constructor wants
        return error
    if type(twin) is not type(error) or twin.args != error.args:
        return error
    twin.__cause__, twin.__suppress_context__ = error, True
    return twin


class Unstored:
    """`value` is the answer to whoever waits for this load, and is kept in no tier."""

    __slots__ = ("value",)

    def __init__(self, value: object) -> None:
        self.value = value

    def given(self) -> Any:
        """The value."""
        return self.value


class Remembered:
    """The load raised `error`, whose type L1 remembers for `ttl` seconds.

    What is stored is `kept()`: the type alone, because an exception's text and arguments may hold
    anything, and its traceback every frame that it went through.
    """

    __slots__ = ("_error", "_first", "kind", "ttl")

    def __init__(self, kind: type[Exception], ttl: float, error: Exception | None = None) -> None:
        self.kind = kind
        self.ttl = ttl
        self._error = error
        self._first = [error]

    def kept(self) -> "Remembered":
        """What L1 keeps of it."""
        return Remembered(self.kind, self.ttl)

    def given(self) -> Any:
        """Raises a new error of its type, or to who waited for the load what that raised."""
        error = self._error
        if error is None:
            error = self.kind()
            error.add_note(NOTE)
            raise error
        try:
            self._first.pop()
        except IndexError:
            raise again(error) from error
        raise error
