"""What a function is called: in its keys, where its name has to tell it from others, and in its
class."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

from routecache.errors import ConfigurationError

Function = Callable[..., Any]


def title_of(function: Function) -> str:
    """The qualified name of a function, or of its class for an object that has none of its own."""
    if isinstance(function, functools.partial):
        return f"functools.partial({title_of(function.func)})"
    title: str = getattr(function, "__qualname__", type(function).__qualname__)
    return title


def name_of(function: Function) -> str:
    """Module and qualified name; ConfigurationError if others may share them that answer otherwise.

    What a function wraps is looked through, because a decorator in between takes over the name.
    """
    title = title_of(function)
    inner = _holder_in(function)
    what = _held(inner)
    if what is not None:
        raise ConfigurationError(
            f"{title} {'' if inner is function else 'wraps what '}{what}, and no key would tell "
            "it from others of its name: give name="
        )
    module = getattr(function, "__module__", None)
    if not module or "<lambda>" in title:
        raise ConfigurationError(
            f"{title} has no name of its own to begin its keys with: give name="
        )
    if "<locals>" in title:
        own = {"__class__", getattr(inner, "__name__", "")}
        free = [
            n for n in getattr(getattr(inner, "__code__", None), "co_freevars", ()) if n not in own
        ]
        if free:
            raise ConfigurationError(
                f"{title} is made inside of a function and uses its {', '.join(free)}, which no "
                "key would tell apart: pass it as an argument, or give name="
            )
    return f"{module}.{title}"


def is_method(function: Function) -> bool:
    """Whether the body of a class defines it, so that its first argument is the object."""
    inside = title_of(function).rpartition("<locals>.")[2]
    return "." in inside and _held(_holder_in(function)) is None


def path_of(function: Function) -> str:
    """The qualified name under which its module has it; a class knows private names by others."""
    title: str = function.__qualname__
    around, _, name = title.rpartition(".")
    owner = around.rpartition(".")[2].lstrip("_")
    private = name.startswith("__") and not name.endswith("__")
    if private and owner and owner != "<locals>":
        name = f"_{owner}{name}"
    return f"{around}.{name}" if around else name


def _holder_in(function: Function) -> Function:
    """What `function` wraps: the first that holds something beside its code, else the innermost."""
    found: Function = inspect.unwrap(function, stop=lambda link: _held(link) is not None)
    return found


def _held(function: Function) -> str | None:
    """How `function` holds something that its name says nothing of, or None if it does not."""
    if isinstance(function, functools.partial):
        return "holds arguments"
    owner = getattr(function, "__self__", None)
    if owner is not None and not inspect.ismodule(owner):
        return "is bound to an object"
    # A decorator that is a class gives its objects the name of the function that they wrap.
    return None if hasattr(function, "__qualname__") else "is an object that can be called"
