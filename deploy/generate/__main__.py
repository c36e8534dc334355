"""Write the files that are made of the committed rules, dashboards and objectives, or compare.

python -m deploy.generate            write
python -m deploy.generate --check    exit 1 with a diff if a file is stale, missing or left over
"""

import argparse
import difflib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from deploy.generate import kubernetes, mixin, openslo
from deploy.generate.sources import ROOT


def render() -> dict[str, str]:
    """Every file, by path from the root."""
    return mixin.files() | kubernetes.files() | openslo.files()


def left_over(root: Path, files: Mapping[str, str]) -> list[str]:
    """Files that an earlier run wrote and that no longer belong there, by path from the root."""
    found = [str(path.relative_to(root)) for path in (root / kubernetes.RULES).glob("*.yaml")]
    return [name for name in sorted(found) if name not in files]


def write(root: Path) -> None:
    """Make the tree under `root` hold exactly the rendered files."""
    files = render()
    for name in left_over(root, files):
        (root / name).unlink()
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def differences(root: Path) -> list[str]:
    """The lines of a unified diff from the tree to the rendered files; none if equal."""
    files = render()
    lines: list[str] = []
    for name in [*files, *left_over(root, files)]:
        path = root / name
        old = path.read_text(encoding="utf-8") if path.exists() else ""
        lines += difflib.unified_diff(
            old.splitlines(keepends=True),
            files.get(name, "").splitlines(keepends=True),
            name,
            f"{name} as it should be",
        )
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m deploy.generate")
    parser.add_argument("--check", action="store_true", help="only compare, and print a diff")
    if not parser.parse_args(arguments).check:
        write(ROOT)
        return 0
    lines = differences(ROOT)
    sys.stdout.writelines(lines)
    if lines:
        print("files made of rules and dashboards are stale: run make manifests", file=sys.stderr)
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
