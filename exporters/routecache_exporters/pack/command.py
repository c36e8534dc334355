"""`routecache rules`."""

import argparse
from pathlib import Path

from routecache_exporters.pack import inhibition
from routecache_exporters.pack.config import Config
from routecache_exporters.pack.config_file import dump, load
from routecache_exporters.pack.groups import files
from routecache_exporters.usage import Commands, UsageError

_DESCRIPTION = """\
Print or write the recording rules and alerts of Prometheus for routecache, one file per group, with
thresholds, objectives, job names and addresses of one's own."""


def add_command(commands: Commands) -> None:
    """Add `rules` to the subcommands."""
    parser = commands.add_parser(
        "rules", help="rules and alerts for Prometheus", description=_DESCRIPTION,
        allow_abbrev=False,
    )  # fmt: skip
    parser.set_defaults(run=run)
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="YAML over the shipped configuration"
    )
    parser.add_argument("--optional", action="store_true", help="with the optional groups, too")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--write", type=Path, metavar="DIR", help="write the files into DIR")
    what.add_argument(
        "--inhibitions", action="store_true", help="print Alertmanager's inhibit_rules instead"
    )
    what.add_argument(
        "--show-config", action="store_true", help="print the configuration in force instead"
    )


def run(args: argparse.Namespace) -> int:
    """Print or write."""
    config = Config() if args.config is None else load(args.config)
    if args.show_config:
        print(dump(config), end="")
    elif args.inhibitions:
        print(inhibition.text(config), end="")
    elif args.write is not None:
        _write(args.write, files(config, optional=args.optional))
    else:
        made = files(config, optional=args.optional)
        print("\n".join(f"---\n# {name}\n{text}" for name, text in made.items()), end="")
    return 0


def _write(directory: Path, made: dict[str, str]) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, text in made.items():
            (directory / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write {directory}: {error.strerror or error}") from None
    print(f"wrote {len(made)} rule files to {directory}")
