"""The code blocks of a page of the documentation, by what their info string says."""

import ast
import asyncio
import inspect
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]

_BLOCK = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block: the page, the line of its first line of code, its info string, its text."""

    page: Path
    line: int
    info: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def code(self) -> CodeType:
        """Compiled so that a traceback names the page and its line; its top level may await."""
        text = "\n" * (self.line - 1) + self.text
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        code: CodeType = compile(text, str(self.page), "exec", flags)
        return code


def blocks(page: Path, info: str) -> list[Block]:
    """The blocks of `page` whose info string is `info`."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(page, text.count("\n", 0, found.start("text")) + 1, info, found["text"])
        for found in _BLOCK.finditer(text)
        if found["info"].strip() == info
    ]


def run(shown: Sequence[Block], names: dict[str, Any]) -> None:
    """Run the blocks one after the other, as one program whose names are in `names`."""
    with asyncio.Runner() as runner:
        for block in shown:
            awaited = eval(block.code, names)
            if inspect.iscoroutine(awaited):
                runner.run(awaited)
