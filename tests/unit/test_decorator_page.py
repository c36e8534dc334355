"""docs/decorator.md says what is so: its blocks run, one after the other, as one program."""

import re
import subprocess
import sys
from pathlib import Path

from routecache.decorating.calls import CallKeys
from routecache.decorator import cached

PAGE = (Path(__file__).parents[2] / "docs/decorator.md").read_text("utf-8")


def test_the_blocks_of_the_page_run() -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == 3
    subprocess.run([sys.executable, "-W", "error", "-c", "\n".join(blocks)], check=True, timeout=60)


def test_the_page_tells_of_every_argument() -> None:
    table = PAGE[PAGE.index("| argument |") : PAGE.index("## Keys")]
    told = re.findall(
        r"`([a-z_]+)`", "".join(line.split("|")[1] for line in table.splitlines()[2:] if line)
    )
    arguments = list(CallKeys(cached).signature.parameters)
    assert sorted(told) == sorted(set(arguments) - {"cache"})
