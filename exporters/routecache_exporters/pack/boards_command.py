"""`routecache dashboards`."""

import argparse
from pathlib import Path

from routecache_exporters.pack.config import Config
from routecache_exporters.pack.dashboards import dumps, fill, templates
from routecache_exporters.usage import Commands, UsageError, require

_DESCRIPTION = """\
Write the Grafana dashboards, with the thresholds, labels and addresses of a configuration of your
own. Without --write only their names are listed."""


def add_command(commands: Commands) -> None:
    """Add `dashboards` to the subcommands."""
    parser = commands.add_parser(
        "dashboards", help="Grafana dashboards for your own thresholds",
        description=_DESCRIPTION, allow_abbrev=False,
    )  # fmt: skip
    parser.set_defaults(run=run)
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="YAML over the shipped configuration"
    )
    parser.add_argument("--write", type=Path, metavar="DIR", help="write them to DIR")
    parser.add_argument(
        "--folder",
        metavar="NAME",
        help="write them to DIR/NAME: with `foldersFromFilesStructure: true` in a provider, "
        "Grafana makes a folder of that name",
    )


def run(args: argparse.Namespace) -> int:
    """List or write the dashboards."""
    config = _config(args.config)
    if args.folder is not None and args.write is None:
        raise UsageError("--folder needs --write")
    if args.folder is not None and Path(args.folder).name != args.folder:
        raise UsageError(f"--folder {args.folder!r} is not the name of one folder")
    made = {uid: fill(template, config) for uid, template in templates().items()}
    if args.write is None:
        for uid, dashboard in made.items():
            print(f"{uid}  {dashboard['title']}")
        return 0
    folder = args.write / args.folder if args.folder is not None else args.write
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for uid, dashboard in made.items():
            (folder / f"{uid}.json").write_text(dumps(dashboard), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write {folder}: {error.strerror or error}") from None
    print(f"wrote {len(made)} dashboards to {folder}")
    return 0


def _config(file: Path | None) -> Config:
    if file is None:
        return Config()
    require("yaml", "cli")
    from routecache_exporters.pack.config_file import load  # needs YAML

    return load(file)
