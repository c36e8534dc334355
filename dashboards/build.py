"""Write every dashboard, or check that what lies there is what the code says.

python -m dashboards.build            write
python -m dashboards.build --check    exit 1 with a diff if a file is stale, missing or left over

Each is written twice: as the template that `routecache dashboards` fills in for a configuration of
one's own (exporters/routecache_exporters/pack/boards/), and filled in with the shipped one
(dashboards/json/), as Grafana reads it.
"""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards.boards import cache, coherence, exporter, l1, loaders, overview, redis
from routecache_exporters.pack import generated
from routecache_exporters.pack import panels as uids
from routecache_exporters.pack.config import Config
from routecache_exporters.pack.dashboards import dumps, fill

DASHBOARDS: Final[Mapping[str, Callable[[], Dashboard]]] = {
    uids.OVERVIEW: overview.dashboard,
    uids.CACHE: cache.dashboard,
    uids.L1: l1.dashboard,
    uids.REDIS: redis.dashboard,
    uids.COHERENCE: coherence.dashboard,
    uids.LOADERS: loaders.dashboard,
    uids.EXPORTER: exporter.dashboard,
}
"""Every dashboard by uid, which is also its file's name."""

OUTPUT: Final = generated.ROOT / "dashboards" / "json"
TEMPLATES: Final = generated.ROOT / "exporters" / "routecache_exporters" / "pack" / "boards"


def templates() -> dict[str, Any]:
    """Every dashboard as a template, by uid."""
    made = {
        uid: json.loads(json.dumps(build(), cls=JSONEncoder)) for uid, build in DASHBOARDS.items()
    }
    for dashboard in made.values():
        for variable in dashboard["templating"]["list"]:
            # The SDK writes them for every kind of variable; Grafana's own type has none of them.
            for field in ("auto", "auto_count", "auto_min"):
                variable.pop(field, None)
    return made


def render() -> dict[Path, str]:
    """Every file that belongs into the output directories."""
    files = {}
    for uid, template in templates().items():
        files[TEMPLATES / f"{uid}.json"] = dumps(template)
        files[OUTPUT / f"{uid}.json"] = dumps(fill(template, Config()))
    return files


def write() -> None:
    """Make the output directories hold exactly the rendered dashboards."""
    generated.write(render(), _present())


def differences() -> list[str]:
    """The lines of a unified diff from what is there to the rendered dashboards; none if equal."""
    return generated.differences(render(), _present())


def _present() -> set[Path]:
    return {*OUTPUT.glob("*.json"), *TEMPLATES.glob("*.json")}


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns its exit status."""
    stale = "the dashboards' files are stale: run make dashboards"
    return generated.command(
        arguments, "dashboards.build", stale, write=write, differences=differences
    )


if __name__ == "__main__":
    sys.exit(main())
