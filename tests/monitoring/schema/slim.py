"""Print a JSON Schema without its descriptions: `python slim.py FILE`."""

import json
import sys
from pathlib import Path
from typing import Any


def slim(node: Any, *, named: bool = False) -> Any:
    """`node` without descriptions; `named` if its keys are names of the schema's author."""
    if isinstance(node, dict):
        return {
            key: slim(value, named=key in {"properties", "definitions"})
            for key, value in node.items()
            if named or key != "description"
        }
    return [slim(item) for item in node] if isinstance(node, list) else node


if __name__ == "__main__":
    print(json.dumps(slim(json.loads(Path(sys.argv[1]).read_text())), indent=1, sort_keys=True))
