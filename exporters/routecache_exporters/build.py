"""Which routecache runs here."""

import json
import platform
from importlib.metadata import PackageNotFoundError, distribution
from typing import Final

DISTRIBUTION: Final = "routecache"
UNKNOWN: Final = "unknown"


def build_info() -> tuple[str, str, str]:
    """Version, revision and Python version, in the order of `catalog.BUILD_INFO`.

    The version is that of the installed distribution. The revision is the commit that it was
    installed from, if an installer recorded one (direct_url.json, PEP 610). What cannot be told
    is `unknown`; nothing raises.
    """
    version = revision = UNKNOWN
    try:
        installed = distribution(DISTRIBUTION)
        version = installed.version
        origin = json.loads(installed.read_text("direct_url.json") or "{}")
        revision = str(origin["vcs_info"]["commit_id"])
    except (PackageNotFoundError, OSError, KeyError, TypeError, ValueError):
        pass
    return version, revision, platform.python_version()
