"""Every exception that routecache raises, under one root.

Trouble with Redis is never raised to a caller of a cache: it is counted and the call goes on
without L2. What is raised is a mistake in the program or in the configuration.
"""


class CacheError(Exception):
    """Root of all exceptions of routecache."""


class ConfigurationError(CacheError, ValueError):
    """A setting that cannot work; the message names it, its value and what is allowed."""


class KeyTypeError(CacheError, TypeError):
    """A value inside a request context that has no canonical form; the message holds its path."""


class SerializationError(CacheError, TypeError):
    """A value that its serializer would not give back equal; the message holds type and path."""


class ValueTooLargeError(CacheError, ValueError):
    """A value whose encoded size exceeds `Policy.max_value_bytes`; it was stored in no tier."""


class CacheClosedError(CacheError, RuntimeError):
    """A call on a manager after its `close()`."""


class LoadTimeoutError(CacheError, TimeoutError):
    """A caller waited for a load longer than `Policy.hard_timeout` seconds."""


class DecodeError(CacheError, ValueError):
    """A payload from L2 that cannot be read. Counted as a miss, never raised to a caller."""


class RemoteError(CacheError):
    """An L2 command that failed, translated from the driver's exception at the adapter.

    `kind` is one of `routecache.typing.ERROR_KINDS`, or "circuit" when the circuit breaker let no
    command out. Never raised to a caller of a cache.
    """

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


class CircuitOpenError(RemoteError):
    """No command was sent, because the endpoint's circuit is open."""

    def __init__(self) -> None:
        super().__init__("circuit")
