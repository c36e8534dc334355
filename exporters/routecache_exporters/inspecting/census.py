"""What a Redis holds of our caches: counts by prefix, and what a sample of the values says."""

import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from routecache import envelope, keys
from routecache.errors import DecodeError
from routecache.remote.inspection import Inspection

# A prefix holds no brace, so the first one ends what precedes a key; tags come first, because a
# tag may look like a value.
_PREFIX = rb"(?P<prefix>[A-Za-z0-9._:-]+"
_KINDS = (
    ("tag", re.compile(_PREFIX + rb"?):tag:.+", re.DOTALL)),
    ("lease", re.compile(_PREFIX + rb"):lease:\{.+\}", re.DOTALL)),
    ("value", re.compile(_PREFIX + rb"):v(?P<version>[0-9]+):\{.+\}", re.DOTALL)),
)
_BATCH = 20
_MOST_BYTES = 64 * 2**20  # of payloads, for one prefix
_TTL_BOUNDS = ((10, "10s"), (60, "1m"), (600, "10m"), (3600, "1h"), (86400, "1d"))


def classify(wire_key: bytes) -> tuple[str, str, int] | None:
    """What a Redis key is (value, lease, tag), of which prefix and wire version (0 if no value)."""
    for kind, pattern in _KINDS:
        found = pattern.fullmatch(wire_key)
        if found is not None:
            version = int(found["version"]) if kind == "value" else 0
            return kind, found["prefix"].decode(), version
    return None


@dataclass
class Holding:
    """What stands under one prefix.

    values, leases and tags are counted, `versions` are the values by wire version. The rest is
    what `sampled` values say: serializers, writers, remembered "none", undecodable ones, bytes of
    memory (None if the server does not tell), seconds to live, seconds since they were written.
    """

    prefix: str
    values: int = 0
    leases: int = 0
    tags: int = 0
    versions: Counter[int] = field(default_factory=Counter)
    sampled: int = 0
    memory: list[int] = field(default_factory=list)
    ttls: list[float] = field(default_factory=list)
    endless: int = 0
    ages: list[float] = field(default_factory=list)
    serializers: Counter[str] = field(default_factory=Counter)
    writers: Counter[str] = field(default_factory=Counter)
    nones: int = 0
    undecodable: int = 0
    chosen: list[bytes] = field(default_factory=list)

    def count(self, wire_key: bytes, kind: str, version: int, sample: int) -> None:
        """Take in one key; up to `sample` values are chosen, each as likely as any other."""
        if kind == "lease":
            self.leases += 1
        elif kind == "tag":
            self.tags += 1
        else:
            self.values += 1
            self.versions[version] += 1
            if len(self.chosen) < sample:
                self.chosen.append(wire_key)
            elif (place := random.randrange(self.values)) < sample:
                self.chosen[place] = wire_key

    @property
    def bytes_estimated(self) -> int | None:
        """Memory of all values, by the mean of the sampled ones."""
        return round(sum(self.memory) / len(self.memory) * self.values) if self.memory else None

    def ttl_shares(self) -> dict[str, int]:
        """How many sampled values have at most so long to live."""
        shares = Counter(
            next((name for bound, name in _TTL_BOUNDS if ttl <= bound), "more") for ttl in self.ttls
        )
        named = {name: shares[name] for _, name in _TTL_BOUNDS} | {"more": shares["more"]}
        return {name: n for name, n in named.items() if n} | (
            {"endless": self.endless} if self.endless else {}
        )

    def as_dict(self) -> dict[str, Any]:
        """The same for JSON."""
        return {
            "prefix": self.prefix,
            "values": self.values,
            "leases": self.leases,
            "tags": self.tags,
            "wire_versions": {f"v{v}": n for v, n in sorted(self.versions.items())},
            "sample": {
                "values": self.sampled,
                "bytes": sum(self.memory) if self.memory else None,
                "bytes_estimated": self.bytes_estimated,
                "ttl_at_most": self.ttl_shares(),
                "serializers": dict(self.serializers),
                "writers": dict(self.writers),
                "nones": self.nones,
                "undecodable": self.undecodable,
                "newest_age": min(self.ages, default=None),
                "oldest_age": max(self.ages, default=None),
            },
        }


@dataclass
class Census:
    """All that was found. `whole` is False if the walk ended at its limit."""

    primaries: int
    keys: int
    holdings: list[Holding]
    whole: bool

    def as_dict(self) -> dict[str, Any]:
        """The same for JSON."""
        return {
            "primaries": self.primaries,
            "keys_of_all_programs": self.keys,
            "whole": self.whole,
            "prefixes": [holding.as_dict() for holding in self.holdings],
        }


def take(
    redis: Inspection,
    prefix: str | None,
    *,
    sample: int,
    limit: int,
    progress: Callable[[int], None],
) -> Census:
    """Count the keys of one prefix, or of all that have a value or a lease.

    Args:
        redis: where.
        prefix: which; None finds them all.
        sample: how many values of each prefix are read.
        limit: after how many keys of the whole Redis the walk ends; 0 walks all.
        progress: told of keys walked past.
    """
    held: dict[str, Holding] = {}
    walked, whole = 0, True
    for n, found in redis.walk(f"{prefix or '*'}:[vlt]*"):
        walked += n
        progress(n)
        for wire_key in found:
            what = classify(wire_key)
            if what is not None and prefix in (None, what[1]):
                kind, of, version = what
                held.setdefault(of, Holding(of)).count(wire_key, kind, version, sample)
        if limit and walked >= limit:
            whole = False
            break
    if prefix is not None:
        held.setdefault(prefix, Holding(prefix))
    # Without one, a key of another program that has `:tag:` in its name would pass for a cache.
    holdings = [h for h in held.values() if prefix or h.values or h.leases]
    for holding in holdings:
        _read(redis, holding)
    return Census(redis.primaries, redis.size(), sorted(holdings, key=lambda h: h.prefix), whole)


def _read(redis: Inspection, holding: Holding) -> None:
    read = 0
    for batch in _chunks(holding.chosen):
        if read > _MOST_BYTES:
            return
        sampled = redis.sample(batch)
        server_now = redis.server_times()[1]
        for wire_key, one in zip(batch, sampled, strict=True):
            if one.payload is None:
                continue  # gone meanwhile
            read += len(one.payload)
            holding.sampled += 1
            if one.memory is not None:
                holding.memory.append(one.memory)
            if one.ttl_ms >= 0:
                holding.ttls.append(one.ttl_ms / 1000)
            elif one.ttl_ms == -1:
                holding.endless += 1
            what = classify(wire_key)
            if what is not None and what[2] in keys.LIVE_VERSIONS:
                _decode(holding, one.payload, server_now)


def _decode(holding: Holding, payload: bytes, server_now: int) -> None:
    try:
        found = envelope.read(payload)
    except DecodeError:
        holding.undecodable += 1
        return
    holding.serializers[found.codec] += 1
    holding.writers[found.writer or "unknown"] += 1
    holding.nones += found.none
    holding.ages.append(round((server_now - found.created) / 1e6, 3))


def _chunks(wire_keys: list[bytes]) -> Iterator[list[bytes]]:
    for i in range(0, len(wire_keys), _BATCH):
        yield wire_keys[i : i + _BATCH]
