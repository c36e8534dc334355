"""Jsonnet, as the Go implementation evaluates it, which mixins are used with."""

import json
from pathlib import Path
from typing import Any

import _gojsonnet  # type: ignore[import-not-found]


def evaluated(snippet: str, *, path: Path, vendor: Path | None = None) -> Any:
    """What a snippet gives.

    Args:
        snippet: Jsonnet.
        path: where it would lie: imports are looked up beside it.
        vendor: where they are looked up next.

    Raises RuntimeError with Jsonnet's own message.
    """
    more = {"jpathdir": [str(vendor)]} if vendor else {}
    return json.loads(_gojsonnet.evaluate_snippet(str(path), snippet, **more))
