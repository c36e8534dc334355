"""Exporters of routecache: what its caches count, for Prometheus."""

from routecache_exporters.http import (
    make_asgi_app,
    make_wsgi_app,
    mount_asgi,
    mount_wsgi,
    start_http_server,
)
from routecache_exporters.performance_metrics import performance_metrics
from routecache_exporters.prometheus import RoutecacheCollector, register

__all__ = [
    "RoutecacheCollector",
    "make_asgi_app",
    "make_wsgi_app",
    "mount_asgi",
    "mount_wsgi",
    "performance_metrics",
    "register",
    "start_http_server",
]
