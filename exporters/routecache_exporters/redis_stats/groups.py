"""The Redis exporter's key groups for our caches: how many keys and bytes each prefix has in Redis.

Numbers of the server are told once, by oliver006/redis_exporter beside it, and never by every
replica of a router. `--check-key-groups` takes Lua patterns; what a pattern captures becomes the
label `key_group`, so a pattern must capture the prefix and the kind of key and nothing of the key
itself. Everything else in a shared Redis falls into the group `unclassified`.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

from routecache.keys import LIVE_VERSIONS, check_prefix
from routecache.routing.cache import L2_PREFIXES

KINDS: Final = (*(f"v{version}" for version in LIVE_VERSIONS), "lease", "tag", "hb")
"""What may stand behind a prefix: values by wire version, leases, tags, heartbeats."""

BATCH: Final = 1000
"""Keys that one step of the exporter's scan looks at. Redis answers nobody else meanwhile: steps
of 1,000 held up other commands by 7 ms at most, on 100,000 keys."""

_MAGIC: Final = re.compile(r"[.-]")  # of a prefix's characters, those that mean more to Lua


def key_group(prefix: str, kind: str) -> str:
    """The value of the label `key_group` for the keys of one kind, `P:v1`."""
    return f"{prefix}:{kind}"


def patterns(prefixes: Iterable[str]) -> list[str]:
    """A Lua pattern for each prefix and kind.

    Raises ConfigurationError for what cannot be a prefix.
    """
    escaped = [_MAGIC.sub(r"%\g<0>", check_prefix(prefix)) for prefix in prefixes]
    return [f"^({prefix}:{kind}):" for prefix in escaped for kind in KINDS]


def settings(prefixes: Iterable[str] = L2_PREFIXES) -> Mapping[str, str]:
    """The exporter's settings, by the names of its flags.

    prefixes: the caches' `cache_prefix`; those of RoutingCache unless given.

    Raises ConfigurationError for what cannot be a prefix.
    """
    return {
        "check-key-groups": ",".join(patterns(prefixes)),
        "check-keys-batch-size": str(BATCH),
    }


def environment(prefixes: Iterable[str] = L2_PREFIXES) -> str:
    """`settings` as a file of environment variables, which the exporter reads too."""
    lines = [
        f"REDIS_EXPORTER_{flag.upper().replace('-', '_')}={value}"
        for flag, value in settings(prefixes).items()
    ]
    return "\n".join(lines) + "\n"
