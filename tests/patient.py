"""`Patient`: a routing cache whose calls to Redis have time on a busy machine."""

from routecache import BaseCacheManager, Policy, RoutingCache


class Patient(RoutingCache):
    """One for tests of what Redis holds, which a call that ran out of time would not see."""

    def _manager(self, name: str, maxsize: int, ttl: float) -> BaseCacheManager:
        return BaseCacheManager(
            maxsize,
            ttl,
            cache_prefix=f"patient:{name}",
            name=name,
            redis_url=self.settings.redis_url,
            policy=Policy(l2_timeout=10.0),
        )
