"""What a decorated function shows of itself, the same for functions and coroutine functions."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from routecache.decorating.calls import Args, bound_signature
from routecache.decorating.names import path_of
from routecache.decorating.rules import Rules


class Shown:
    """Looks like the function that it calls: attributes, signature, name, pickled by name."""

    _function: Callable[..., Any]
    _rules: Rules
    _bound: Args

    if not TYPE_CHECKING:  # or a misspelt helper would go unseen

        def __getattr__(self, name: str) -> Any:
            # What `functools.wraps` sets is set at decoration; a bound one is made at each use.
            if name == "__signature__":
                return bound_signature(self._rules.keys.signature, len(self._bound))
            if name == "__self__" and self._bound:  # as of a bound method
                return self._bound[0]
            # The function's own `__wrapped__` would show the parameter that is bound.
            if name in ("__wrapped__", "_function"):
                raise AttributeError(name)
            return getattr(self._function, name)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._rules.keys.title}>"

    def __reduce__(self) -> str | tuple[Any, ...]:
        # By name, as functions are pickled.
        path = path_of(self._function)
        return (getattr, (self._bound[0], path.rpartition(".")[2])) if self._bound else path
