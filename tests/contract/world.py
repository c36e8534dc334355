"""Managers that share one L2 and one prefix, as the processes of a fleet share a Redis."""

from collections.abc import Callable
from dataclasses import dataclass

from routecache import BaseCacheManager
from routecache.testing import ManualTimer


@dataclass
class World:
    """`timer` moves L1's clock, and the fake server's; a real server keeps its own."""

    kind: str
    timer: ManualTimer
    prefix: str
    make: Callable[..., BaseCacheManager]
