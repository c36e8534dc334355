"""Other libraries to measure against; none is needed, and what is missing is named."""

import importlib
from contextlib import ExitStack
from typing import Any


class Peers(ExitStack):
    """Imports peers by module name and remembers the missing ones.

    A context manager, so that what a peer leaves running can be ended (`callback`).

    Types are given up here on purpose: whoever lacks a peer must still be able to check the rest.
    """

    def __init__(self) -> None:
        super().__init__()
        self._missing: list[str] = []

    def find(self, module: str) -> Any:
        """The module, or None if it is not installed."""
        try:
            return importlib.import_module(module)
        except ImportError:
            if module not in self._missing:
                self._missing.append(module)
            return None

    def note(self) -> str:
        """A line that says what was left out; empty if nothing was."""
        if not self._missing:
            return ""
        return f"left out, not installed: {', '.join(self._missing)} (requirements/bench.in)"
