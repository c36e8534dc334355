"""What a command line got wrong, told in one line, and optional libraries imported with advice."""

import argparse
import importlib
from types import ModuleType
from typing import TypeAlias

# argparse has no public name for what `add_subparsers` returns.
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001
"""Where a subcommand adds itself."""


class UsageError(Exception):
    """A mistake of the caller: the message names what was wrong and what to do about it.

    `main` prints it as one line on stderr and exits with 2.
    """


class FailedError(Exception):
    """What could not be done although it was asked for right; `main` prints it and exits with 1."""


def require(module: str, extra: str) -> ModuleType:
    """Import an optional `module`, or say which extra of routecache brings it.

    Raises:
        UsageError: the module is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        name = module.partition(".")[0]
        raise UsageError(f"{name} is not installed: pip install 'routecache[{extra}]'") from error
