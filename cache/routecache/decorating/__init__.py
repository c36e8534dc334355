"""What `routecache.cached` makes of functions: their types, for annotations and for pydantic."""

from routecache.decorating._async import AsyncCachedCall, AsyncCachedFunction
from routecache.decorating._sync import CachedCall, CachedFunction

__all__ = ["AsyncCachedCall", "AsyncCachedFunction", "CachedCall", "CachedFunction"]
