"""routecache: a two-tier cache, in memory and in Redis, whose operators know what it is doing."""

from routecache.async_manager import AsyncCacheManager
from routecache.decorator import cached
from routecache.errors import (
    CacheClosedError,
    CacheError,
    ConfigurationError,
    KeyTypeError,
    LoadTimeoutError,
    SerializationError,
    ValueTooLargeError,
)
from routecache.explanation import Explanation
from routecache.manager import BaseCacheManager
from routecache.policy import Policy
from routecache.registry import caches, snapshot
from routecache.routing.async_cache import AsyncRoutingCache
from routecache.routing.async_monitor import AsyncHealthMonitor
from routecache.routing.cache import RoutingCache, get_routing_cache, reset_routing_cache
from routecache.routing.health_policy import HealthPolicy
from routecache.routing.monitor import HealthMonitor
from routecache.routing.probing import MonitorPolicy
from routecache.routing.request_context import RequestContext
from routecache.routing.settings import RoutingSettings
from routecache.routing.warming import PastRequest, RoutingLoaders, RoutingWarmResult
from routecache.typing import MISS
from routecache.warming.options import WarmOptions, WarmProgress, WarmResult

__all__ = [
    "MISS",
    "AsyncCacheManager",
    "AsyncHealthMonitor",
    "AsyncRoutingCache",
    "BaseCacheManager",
    "CacheClosedError",
    "CacheError",
    "ConfigurationError",
    "Explanation",
    "HealthMonitor",
    "HealthPolicy",
    "KeyTypeError",
    "LoadTimeoutError",
    "MonitorPolicy",
    "PastRequest",
    "Policy",
    "RequestContext",
    "RoutingCache",
    "RoutingLoaders",
    "RoutingSettings",
    "RoutingWarmResult",
    "SerializationError",
    "ValueTooLargeError",
    "WarmOptions",
    "WarmProgress",
    "WarmResult",
    "cached",
    "caches",
    "get_routing_cache",
    "reset_routing_cache",
    "snapshot",
]
