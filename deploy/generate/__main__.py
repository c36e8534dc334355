"""Write the files that are made of the committed rules, dashboards and objectives, or compare.

python -m deploy.generate            write
python -m deploy.generate --check    exit 1 with a diff if a file is stale, missing or left over
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from deploy.generate import kubernetes, mixin, openslo
from deploy.generate.sources import ROOT
from routecache_exporters.pack import generated


def render() -> dict[str, str]:
    """Every file, by path from the root."""
    return mixin.files() | kubernetes.files() | openslo.files()


def write(root: Path) -> None:
    """Make the tree under `root` hold exactly the rendered files."""
    generated.write(_under(root), _there(root))


def differences(root: Path) -> list[str]:
    """The lines of a unified diff from the tree to the rendered files; none if equal."""
    return generated.differences(_under(root), _there(root), root)


def _under(root: Path) -> dict[Path, str]:
    return {root / name: text for name, text in render().items()}


def _there(root: Path) -> set[Path]:
    return {path for folder in kubernetes.FOLDERS for path in (root / folder).glob("*.yaml")}


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns its exit status."""
    return generated.command(
        arguments,
        "deploy.generate",
        "files made of rules and dashboards are stale: run make manifests",
        write=lambda: write(ROOT),
        differences=lambda: differences(ROOT),
    )


if __name__ == "__main__":
    sys.exit(main())
