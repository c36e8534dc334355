"""The objectives as OpenSLO documents."""

from deploy.generate.documents import written
from routecache_exporters.pack import openslo
from routecache_exporters.pack.config import Config

OUTPUT = "deploy/openslo/routecache.yaml"


def files() -> dict[str, str]:
    """What belongs into deploy/openslo, by path from the root."""
    source = "the objectives in exporters/routecache_exporters/pack/config.py"
    return {OUTPUT: written(openslo.documents(Config()), source)}
