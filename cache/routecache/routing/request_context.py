"""`RequestContext`: what a request's decisions depend on, hashed once."""

from typing import Any, final

from routecache.keys import digest


@final
class RequestContext:
    """What a request's decisions depend on, whose digest is computed once and then reused.

    `RoutingCache` and `AsyncRoutingCache` take one wherever they take a context, and find the same
    entries by it. Make one per request when more than one look-up is made for it: model selection
    and fallback chain then share one digest.

        request = RequestContext({"task": "chat", "tokens": 512})
        model = cache.get_model_selection(request, loader=...)
        chain = cache.get_fallback_chain(request, loader=...)

    Two are equal if their digests are. A pickle or a copy holds the content alone, and computes
    the digest anew.

    Args:
        content: what `routecache.keys.digest` takes, usually a dict. It is not copied: do not
            change it any more, what is changed after the first look-up is not seen.

    Immutable; safe for threads and tasks.
    """

    __slots__ = ("_content", "_key")

    def __init__(self, content: object) -> None:
        self._content = content.content if type(content) is RequestContext else content
        self._key: str | None = None

    @property
    def content(self) -> Any:
        """What it was made of."""
        return self._content

    @property
    def key(self) -> str:
        """The digest of the content, computed when it is first asked for.

        Raises KeyTypeError, each time anew, for a content that has none.
        """
        key = self._key
        if key is None:
            # Threads that meet here compute the same.
            self._key = key = digest(self._content)
        return key

    def __eq__(self, other: object) -> bool:
        if type(other) is not RequestContext:
            return NotImplemented
        return self is other or self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __reduce__(self) -> tuple[type["RequestContext"], tuple[Any]]:
        return RequestContext, (self._content,)

    def __repr__(self) -> str:
        return f"<RequestContext of a {type(self._content).__qualname__}>"


def key_of(context: object) -> str:
    """The key of a context, be it a `RequestContext` or what one would hold."""
    if type(context) is RequestContext:
        return context._key or context.key  # noqa: SLF001  # a property would be one more call
    return digest(context)
