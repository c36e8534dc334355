"""Write what the repository holds of the shipped configuration, or check that it is up to date.

python -m routecache_exporters.pack.build            write
python -m routecache_exporters.pack.build --check    exit 1 with a diff if a file is stale

Works in a source tree only: deploy/prometheus/{rules,optional}/, the end of
both files in deploy/alertmanager/, docs/alerts.md.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from routecache_exporters.pack import generated, inhibition, page
from routecache_exporters.pack.config import Config
from routecache_exporters.pack.groups import groups
from routecache_exporters.pack.rules import text

ROOT: Final = generated.ROOT
ALERTMANAGER: Final = (
    "deploy/alertmanager/alertmanager.yml",
    "deploy/alertmanager/receivers.example.yml",
)
_FOLDERS: Final = ("deploy/prometheus/rules", "deploy/prometheus/optional")


def render(root: Path) -> dict[str, str]:
    """Every generated file's content, by its path from `root`."""
    config = Config()
    made = {
        f"{_FOLDERS[group.optional]}/{group.file}": text(group, config) for group in groups(config)
    }
    for name in ALERTMANAGER:
        written_by_hand, mark, _ = (root / name).read_text("utf-8").partition(inhibition.MARK)
        assert mark, f"{name} has lost the line where its generated part begins"
        made[name] = written_by_hand + inhibition.text(config)
    made["docs/alerts.md"] = page.render(config)
    return made


def write(root: Path) -> None:
    """Make the files what the code says, and remove those of groups that are gone."""
    generated.write(_under(root), _there(root))


def differences(root: Path) -> list[str]:
    """The lines of a unified diff from the files to what the code says; none if equal."""
    return generated.differences(_under(root), _there(root), root)


def _under(root: Path) -> dict[Path, str]:
    return {root / name: content for name, content in render(root).items()}


def _there(root: Path) -> set[Path]:
    return {path for folder in _FOLDERS for path in (root / folder).glob("*.yml")}


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """The command. Returns its exit status."""
    return generated.command(
        arguments,
        "routecache_exporters.pack.build",
        "the monitoring pack is stale: run make monitoring",
        write=lambda: write(root),
        differences=lambda: differences(root),
    )


if __name__ == "__main__":
    sys.exit(main())
