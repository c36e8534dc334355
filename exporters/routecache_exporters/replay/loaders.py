"""The replay's policy as the loaders of a warm-up: `routecache warm FILE --loaders
routecache_exporters.replay.loaders:LOADERS` tries the command on any log."""

from typing import Final

from routecache import RoutingLoaders
from routecache_exporters.replay import policy

LOADERS: Final = RoutingLoaders(
    provider=policy.provider_status,
    model=policy.model_selection,
    fallback=policy.fallback_chain,
    tool=policy.normalized_tool,
    model_providers=policy.providers_of_model,
    fallback_providers=policy.providers_of_chain,
)
"""What the replay computes on a miss."""
