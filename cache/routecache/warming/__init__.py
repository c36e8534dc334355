"""Fills a cache before anybody asks: decisions in plan.py and fleet.py, two thin drivers.

A warm-up reads its keys, takes what L2 holds of them into L1, and loads the rest, hottest first,
with so many loads at once and so many a second, until it is done or its deadline is over. What is
warmed is no look-up: it is counted as loads and writes, and nowhere as a request, hit or miss.

Of a fleet that starts at once one process loads, under a lease in Redis, and the others take from
L2 what it brings. Its loads and theirs go by the tokens and fences of every load, so that a value
that was invalidated meanwhile stays away.
"""

from routecache.warming.options import WarmOptions, WarmProgress, WarmResult

__all__ = ["WarmOptions", "WarmProgress", "WarmResult"]
