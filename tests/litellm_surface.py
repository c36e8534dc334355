"""Run where LiteLLM is: compares tests/typing/stubs/litellm with the package. No output is good."""

import ast
import importlib
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

STUBS = Path(__file__).parent / "typing" / "stubs"


def differences() -> Iterator[str]:
    """What the stubs say that LiteLLM does not have."""
    for path in sorted(STUBS.rglob("*.pyi")):
        name = ".".join(path.relative_to(STUBS).with_suffix("").parts).removesuffix(".__init__")
        module = importlib.import_module(name)
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef):
                yield from _of_class(node, getattr(module, node.name, None), name)
            elif (
                isinstance(node, ast.AnnAssign)
                and isinstance(node.target, ast.Name)
                and not isinstance(getattr(module, node.target.id, None), list)
            ):
                yield f"{name}.{node.target.id} is no list"


def _of_class(stub: ast.ClassDef, real: Any, module: str) -> Iterator[str]:
    if not isinstance(real, type):
        yield f"{module}.{stub.name} is no class"
        return
    for node in stub.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            wanted = [a.arg for a in (*node.args.args, *node.args.kwonlyargs)]
            method = getattr(real, node.name)
            takes = inspect.signature(method).parameters
            # A class is called through its signature, which leaves `self` out.
            names = ["self", *takes] if "self" not in takes else list(takes)
            any_name = any(p.kind is p.VAR_KEYWORD for p in takes.values())
            missing = [] if any_name else [n for n in wanted if n not in names]
            # Hooks are called by LiteLLM, so that they have to take all that it hands them.
            hook = node.name.startswith("async_")
            unknown = [n for n in names if hook and n not in wanted]
            if missing or unknown:
                yield f"{stub.name}.{node.name}: missing {missing}, not in the stub {unknown}"
            if hook and not inspect.iscoroutinefunction(method):
                yield f"{stub.name}.{node.name} is no coroutine function"


if __name__ == "__main__":
    found = list(differences())
    sys.exit("\n".join(found) if found else 0)
