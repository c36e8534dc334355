"""The equations that hold in every snapshot of every cache."""

from routecache import snapshot


def check_books() -> None:
    """In every cache of the process the counts agree with each other."""
    for cache in snapshot().caches:
        misses = sum(cache.misses.values())
        outcomes = {name: h.count for name, h in cache.request_duration.items()}
        assert cache.requests == cache.l1_hits + sum(cache.l1_misses.values()), cache
        assert cache.l2_hits == outcomes.get("l2_hit", 0) + outcomes.get("stale", 0), cache
        assert sum(cache.stale_hits.values()) <= cache.l1_hits + cache.l2_hits, cache
        assert misses == sum(outcomes.get(o, 0) for o in ("load", "miss", "error")), cache
        assert cache.l1_hit_duration.count <= cache.l1_hits, cache
        assert 0 <= cache.l1_entries <= cache.l1_max_entries or not cache.l1_max_entries, cache
        assert cache.loads == cache.load_duration.count, cache
        assert cache.loads_in_flight == 0, cache
