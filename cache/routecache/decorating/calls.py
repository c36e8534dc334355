"""How a call becomes a key: the function's name, its arguments by parameter, their digest."""

import functools
import inspect
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, Literal, TypeAlias

from routecache.canonical import class_name
from routecache.decorating.names import is_method, name_of, title_of
from routecache.errors import ConfigurationError, KeyTypeError
from routecache.keys import check_key, digest

Args: TypeAlias = tuple[Any, ...]
Kwargs: TypeAlias = Mapping[str, Any]
Kind: TypeAlias = Literal["function", "static", "class"]
"""How what was decorated binds: like a function, a staticmethod or a classmethod."""

_NAME: Final = re.compile(r"[^\s:#@]+")
_VERSION: Final = re.compile(r"[A-Za-z0-9._-]+")
_BY_NAME: Final = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_BY_PLACE: Final = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_ORDER: Final = "put cached above classmethod, or give key="
_ADVICE: Final = "name it in ignore= if the result does not depend on it, or give key="


class CallKeys:
    """Gives the calls of one function their keys.

    A key is `NAME#DIGEST`, or `NAME:TEXT` if `key` makes the text, each with `@VERSION` after the
    name if there is one. So keys of two functions, or of two versions, are never the same.

    Args:
        function: what is called.
        name: stands for the function in its keys; its module and qualified name unless given.
        version: to be changed when results of the same call change their meaning.
        key: gives the text that stands for the arguments, called with them as they are.
        ignore: names of parameters that do not enter the key.
        kind: how the function binds. A classmethod's first argument is a class, which enters the
            key by its name; with a method's object the name of its class enters.

    Raises ConfigurationError for what cannot work. Safe for threads.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        name: str | None = None,
        version: str | int | None = None,
        key: Callable[..., str] | None = None,
        ignore: Collection[str] = (),
        kind: Kind = "function",
    ) -> None:
        self.title = title_of(function)
        self.signature = _signature(function, self.title)
        stem = name_of(function) if name is None else _checked(name, _NAME, "name")
        if version is not None:
            stem += "@" + _checked(str(version), _VERSION, "version")
        self._key = key
        self._by_text, self._by_digest = stem + ":", stem + "#"
        parameters = self.signature.parameters
        self._ignored = _ignored(ignore, parameters, self.title)
        if key is not None and self._ignored:
            raise ConfigurationError(f"{self.title}: give key= or ignore=, not both")
        self._names = tuple(parameters)
        self._all = parameters.keys()
        first = next((n for n, p in parameters.items() if p.kind in _BY_PLACE), None)
        first = None if first in self._ignored else first
        self._class = first if kind == "class" else None
        self._object = first if kind == "function" and is_method(function) else None
        self._defaults = {n: p.default for n, p in parameters.items() if p.default is not p.empty}
        # Most signatures are so plain that arguments find their parameters without `bind`, which
        # takes as long as all else together.
        self._plain = all(p.kind in _BY_NAME for p in parameters.values())
        self._most = sum(p.kind is _BY_NAME[0] for p in parameters.values())
        needed = [i for i, name in enumerate(parameters) if name not in self._defaults]
        self._least = needed[-1] + 1 if needed else 0

    def key(self, args: Args, kwargs: Kwargs) -> str:
        """The key of the call `function(*args, **kwargs)`.

        Raises KeyTypeError, a TypeError, that names the argument which has no canonical form; and
        TypeError for arguments that the function does not take.
        """
        if self._key is not None:
            return self._by_text + check_key(self._key(*args, **kwargs), f"key= of {self.title}")
        arguments = self.arguments(args, kwargs)
        try:
            return self._by_digest + digest(arguments, classes=True)
        except KeyTypeError as error:
            raise self._unkeyable(arguments) from error

    def arguments(self, args: Args, kwargs: Kwargs) -> dict[str, Any]:
        """What each parameter that enters the key got, defaults included; a method's class too."""
        if not self._plain or len(args) > self._most:
            arguments = self._bound(args, kwargs)
        elif kwargs:
            given = dict(zip(self._names, args))  # noqa: B905  # it takes the shorter
            arguments = {**self._defaults, **given, **kwargs}
            if not kwargs.keys().isdisjoint(given) or arguments.keys() != self._all:
                arguments = self._bound(args, kwargs)
        elif len(args) < self._least:
            arguments = self._bound(args, kwargs)
        else:
            arguments = self._defaults.copy()
            arguments.update(zip(self._names, args))  # noqa: B905
        for name in self._ignored:
            arguments.pop(name, None)
        if self._class is not None:
            arguments[self._class] = self._name_of(arguments[self._class], self._class)
        elif self._object is not None:
            # Subclasses share the method and may hold the same, as those of int and tuple do, too.
            cls = type(arguments[self._object])
            if cls.__module__ != "builtins":
                arguments["class of " + self._object] = self._name_of(cls, self._object)
        return arguments

    def _bound(self, args: Args, kwargs: Kwargs) -> dict[str, Any]:
        try:
            bound = self.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{self.title}() {error}") from None  # as the call itself would
        bound.apply_defaults()
        return dict(bound.arguments)

    def _name_of(self, cls: type, argument: str) -> str:
        name = class_name(cls)
        if name is None:
            raise KeyTypeError(
                f"{self.title}: the class {cls.__qualname__} of argument {argument} is made inside "
                f"of a function, and others of its name may be, too; {_ADVICE}"
            )
        return name

    def _unkeyable(self, arguments: Mapping[str, Any]) -> KeyTypeError:
        for name, value in arguments.items():
            try:
                digest(value, classes=True)
            except KeyTypeError as error:
                what = str(error).removeprefix("context")
                what = what.replace(", or leave it out of the context", "")
                advice = _ORDER if isinstance(value, type) else _ADVICE
                return KeyTypeError(f"{self.title}: argument {name}{what}; {advice}")
        return KeyTypeError(f"{self.title}: the arguments are nested too deep; {_ADVICE}")


def _signature(function: Callable[..., Any], title: str) -> inspect.Signature:
    if isinstance(function, functools.partial):
        # A copy without what `functools.update_wrapper` gave it: the signature before arguments.
        function = functools.partial(function.func, *function.args, **function.keywords)
    try:
        return inspect.signature(function)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(
            f"{title} does not tell its parameters: wrap it in a def"
        ) from error


def _checked(text: object, pattern: re.Pattern[str], what: str) -> str:
    if not isinstance(text, str) or not pattern.fullmatch(text):
        raise ConfigurationError(
            f"{what}={text!r}: give one or more characters, "
            + ("no space, ':', '#' or '@'" if pattern is _NAME else "A-Z a-z 0-9 . _ -")
        )
    return text


def _ignored(
    ignore: Collection[str], parameters: Mapping[str, inspect.Parameter], title: str
) -> frozenset[str]:
    names = frozenset(ignore)
    unknown = sorted(map(str, names - parameters.keys()))
    if unknown:
        raise ConfigurationError(f"ignore: {title} has no parameter {', '.join(unknown)}")
    return names


def bound_signature(signature: inspect.Signature, bound: int) -> inspect.Signature:
    """`signature` without the first `bound` parameters."""
    return signature.replace(parameters=list(signature.parameters.values())[bound:])
