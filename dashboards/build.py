"""Write every dashboard to dashboards/json/, or check that what lies there is what the code says.

python -m dashboards.build            write
python -m dashboards.build --check    exit 1 with a diff if a file is stale, missing or left over
"""

import argparse
import difflib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards import overview, redis

DASHBOARDS: Final[Mapping[str, Callable[[], Dashboard]]] = {
    overview.UID: overview.dashboard,
    redis.UID: redis.dashboard,
}
"""Every dashboard by uid, which is also its file's name."""

OUTPUT: Final = Path(__file__).resolve().parent / "json"


def render() -> dict[str, str]:
    """Every file that belongs into the output directory, by name."""
    return {
        f"{uid}.json": json.dumps(build(), cls=JSONEncoder, indent=2, sort_keys=True) + "\n"
        for uid, build in DASHBOARDS.items()
    }


def write(output: Path) -> None:
    """Make `output` hold exactly the rendered dashboards."""
    output.mkdir(exist_ok=True)
    files = render()
    for path in output.glob("*.json"):
        if path.name not in files:
            path.unlink()
    for name, text in files.items():
        (output / name).write_text(text, encoding="utf-8")


def differences(output: Path) -> list[str]:
    """The lines of a unified diff from `output` to the rendered dashboards; none if equal."""
    files = render()
    names = sorted(files.keys() | {path.name for path in output.glob("*.json")})
    lines: list[str] = []
    for name in names:
        path = output / name
        old = path.read_text(encoding="utf-8") if path.exists() else ""
        lines += difflib.unified_diff(
            old.splitlines(keepends=True),
            files.get(name, "").splitlines(keepends=True),
            f"json/{name}",
            f"json/{name} as the code says",
        )
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m dashboards.build")
    parser.add_argument("--check", action="store_true", help="only compare, and print a diff")
    if not parser.parse_args(arguments).check:
        write(OUTPUT)
        return 0
    lines = differences(OUTPUT)
    sys.stdout.writelines(lines)
    if lines:
        print("dashboards/json is stale: run python -m dashboards.build", file=sys.stderr)
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
