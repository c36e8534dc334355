"""Where the repository's own Prometheus and Alertmanager configuration lies."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent
_PLACES = (
    _PACKAGE.parent.parent / "deploy",  # a source tree
    _PACKAGE / "_deploy",  # an installed wheel
)


def deployed(*parts: str) -> Path | None:
    """The path `deploy/PARTS...` of the source tree, or its copy in the wheel; None if absent."""
    for place in _PLACES:
        path = place.joinpath(*parts)
        if (place / "prometheus" / "prometheus.yml").is_file() and path.exists():
            return path
    return None
