"""What every generator does with its files: write them, or show how what lies there differs."""

import argparse
import difflib
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeAlias

ROOT: Final = Path(__file__).resolve().parents[3]
"""The source tree; generators work in one only."""

Files: TypeAlias = Mapping[Path, str]
"""Contents by absolute path."""


def write(files: Files, there: Iterable[Path] = ()) -> None:
    """Write `files`, and remove those of `there` that are not among them."""
    for path in set(there) - files.keys():
        path.unlink()
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def differences(files: Files, there: Iterable[Path] = (), root: Path = ROOT) -> list[str]:
    """The lines of a unified diff from what lies there to `files`; none if equal.

    there: files that an earlier run may have written. `root` is what the diff's names leave out.
    """
    lines: list[str] = []
    for path in sorted(files.keys() | set(there)):
        name = str(path.relative_to(root) if path.is_relative_to(root) else path)
        old = path.read_text("utf-8") if path.exists() else ""
        lines += difflib.unified_diff(
            old.splitlines(keepends=True),
            files.get(path, "").splitlines(keepends=True),
            name,
            f"{name} as the code says",
        )
    return lines


def command(
    arguments: Sequence[str] | None,
    module: str,
    stale: str,
    *,
    write: Callable[[], None],
    differences: Callable[[], list[str]],
) -> int:
    """`python -m MODULE [--check]`: write, or print differences and `stale`; the exit status."""
    parser = argparse.ArgumentParser(prog=f"python -m {module}")
    parser.add_argument("--check", action="store_true", help="only compare, and print a diff")
    if not parser.parse_args(arguments).check:
        write()
        return 0
    lines = differences()
    sys.stdout.writelines(lines)
    if lines:
        print(stale, file=sys.stderr)
    return 1 if lines else 0
