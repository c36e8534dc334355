"""Bytes on disk per sample: two hours of one router, as the block that Prometheus keeps of them."""

import json
import subprocess
import tempfile
from pathlib import Path

from bench.scale.page import Page, busy

_HOURS = 2
_START = 1_700_006_400  # a whole two hours since the epoch, as blocks begin


def bytes_per_sample(page: Page, rate: float, interval: int) -> tuple[int, float]:
    """Samples of a block, and its bytes for each of them (chunks and index)."""
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        clock, count = busy(0, rate), 0
        # Series by series would be the format's wish; promtool takes moment by moment as well.
        with (place / "page.om").open("w") as stream:
            for at in range(0, _HOURS * 3600, interval):
                for head, value in page.samples(clock.at(float(at))):
                    stream.write(f"{head} {value} {_START + at}\n")
                    count += 1
            stream.write("# EOF\n")
        command = ["promtool", "tsdb", "create-blocks-from", "openmetrics"]
        done = subprocess.run(
            [*command, str(place / "page.om"), temporary],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        blocks = [path.parent for path in place.glob("*/meta.json")]
        assert blocks, done.stdout + done.stderr
        stored = sum(
            json.loads((block / "meta.json").read_text())["stats"]["numSamples"] for block in blocks
        )
        assert stored == count
        size = sum(
            path.stat().st_size for block in blocks for path in block.rglob("*") if path.is_file()
        )
        return stored, size / stored
