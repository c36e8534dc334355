"""The driver's exceptions as RemoteError, translated once, here."""

from redis import exceptions

from routecache.errors import RemoteError

# First match wins: redis-py derives most of these from ConnectionError or ResponseError.
_KINDS: tuple[tuple[type[Exception], str], ...] = (
    (exceptions.TimeoutError, "timeout"),
    (exceptions.BusyLoadingError, "loading"),
    (exceptions.AuthenticationError, "auth"),
    (exceptions.AuthorizationError, "auth"),
    (exceptions.NoPermissionError, "auth"),
    (exceptions.MaxConnectionsError, "pool"),
    (exceptions.ConnectionError, "connection"),
    (exceptions.ReadOnlyError, "readonly"),
    (exceptions.OutOfMemoryError, "oom"),
    (exceptions.NoScriptError, "noscript"),
    (exceptions.MasterDownError, "cluster"),
    (exceptions.ClusterError, "cluster"),
    (exceptions.MovedError, "cluster"),
    (exceptions.AskError, "cluster"),
    (TimeoutError, "timeout"),
    (OSError, "connection"),
)
_BY_PREFIX = {
    "OOM": "oom",
    "LOADING": "loading",
    "READONLY": "readonly",
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
    for kind_of, kind in _KINDS:
        if isinstance(error, kind_of):
            return RemoteError(kind)
    first = str(error).partition(" ")[0]
    return RemoteError(_BY_PREFIX.get(first, "other"))
