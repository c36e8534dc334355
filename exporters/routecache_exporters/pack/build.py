"""Write what the repository holds of the shipped configuration, or check that it is up to date.

python -m routecache_exporters.pack.build            write
python -m routecache_exporters.pack.build --check    exit 1 with a diff if a file is stale

Works in a source tree only: deploy/prometheus/{rules,optional}/, the end of
both files in deploy/alertmanager/, docs/alerts.md.
"""

import argparse
import difflib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from routecache_exporters.pack import inhibition, page
from routecache_exporters.pack.config import Config
from routecache_exporters.pack.groups import groups
from routecache_exporters.pack.rules import text

ROOT: Final = Path(__file__).resolve().parents[3]
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


def _there(root: Path) -> set[str]:
    """Generated files that are there."""
    return {
        f"{folder}/{path.name}" for folder in _FOLDERS for path in (root / folder).glob("*.yml")
    }


def write(root: Path) -> None:
    """Make the files what the code says, and remove those of groups that are gone."""
    made = render(root)
    for name in _there(root) - made.keys():
        (root / name).unlink()
    for name, content in made.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content, encoding="utf-8")


def differences(root: Path) -> list[str]:
    """The lines of a unified diff from the files to what the code says; none if equal."""
    made, lines = render(root), list[str]()
    for name in sorted(made.keys() | _there(root)):
        path = root / name
        old = path.read_text("utf-8") if path.exists() else ""
        lines += difflib.unified_diff(
            old.splitlines(keepends=True),
            made.get(name, "").splitlines(keepends=True),
            name,
            f"{name} as the code says",
        )
    return lines


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """The command. Returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m routecache_exporters.pack.build")
    parser.add_argument("--check", action="store_true", help="only compare, and print a diff")
    if not parser.parse_args(arguments).check:
        write(root)
        return 0
    lines = differences(root)
    sys.stdout.writelines(lines)
    if lines:
        print("the monitoring pack is stale: run make monitoring", file=sys.stderr)
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
