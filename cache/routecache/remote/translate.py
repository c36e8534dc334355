"""The driver's exceptions as RemoteError, translated once, here."""

from redis import exceptions

from routecache.errors import RemoteError


class NotPrimaryError(RemoteError):
    """The server is a replica, so that the primary is elsewhere."""

    def __init__(self) -> None:
        super().__init__("readonly")


class RedirectError(RemoteError):
    """A cluster's node is not the one to ask, or not now.

    `address` is whom to ask instead, None for the same node; `asking` is for this once only.
    """

    def __init__(self, address: tuple[str, int] | None, *, asking: bool) -> None:
        super().__init__("cluster")
        self.address = address
        self.asking = asking


# First match wins: redis-py derives most of these from ConnectionError or ResponseError.
_KINDS: tuple[tuple[type[Exception], str], ...] = (
    (exceptions.TimeoutError, "timeout"),
    (exceptions.BusyLoadingError, "loading"),
    (exceptions.AuthenticationError, "auth"),
    (exceptions.AuthorizationError, "auth"),
    (exceptions.NoPermissionError, "auth"),
    (exceptions.MaxConnectionsError, "pool"),
    (exceptions.ConnectionError, "connection"),
    (exceptions.OutOfMemoryError, "oom"),
    (exceptions.NoScriptError, "noscript"),
    (exceptions.MasterDownError, "cluster"),
    (exceptions.ClusterError, "cluster"),
    (TimeoutError, "timeout"),
    (OSError, "connection"),
)
_BY_PREFIX = {
    "OOM": "oom",
    "LOADING": "loading",
    "NOAUTH": "auth",
    "WRONGPASS": "auth",
    "NOPERM": "auth",
    "BUSY": "busy",
    "MISCONF": "readonly",
    "CLUSTERDOWN": "cluster",
    "WRONGTYPE": "wrongtype",
    "NOSCRIPT": "noscript",
}

# The server answered these, so it is there: they say nothing about the next read.
ANSWERED = frozenset({"oom", "readonly", "other", "noscript", "wrongtype"})


def translate(error: Exception) -> RemoteError:
    """The RemoteError that stands for `error`; its text holds no host, key or value."""
    if isinstance(error, RemoteError):
        return error
    if isinstance(error, exceptions.ReadOnlyError):
        return NotPrimaryError()
    if isinstance(error, exceptions.AskError):  # MovedError is one too
        asking = not isinstance(error, exceptions.MovedError)
        return RedirectError((error.host, error.port), asking=asking)
    if isinstance(error, exceptions.TryAgainError):
        return RedirectError(None, asking=False)
    for kind_of, kind in _KINDS:
        if isinstance(error, kind_of):
            return RemoteError(kind)
    first = str(error).partition(" ")[0]
    return RemoteError(_BY_PREFIX.get(first, "other"))
