"""Warming from request logs: `past_requests` for programs, and `routecache warm`."""

from routecache_exporters.warming.requests import past_requests

__all__ = ["past_requests"]
