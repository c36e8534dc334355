"""Write the table of instruments in docs/opentelemetry.md, or check that it is what the code says.

python -m dashboards.otel_reference            write
python -m dashboards.otel_reference --check    exit 1 with a diff if it is stale

The table stands between two comments; what is around them is written by hand.
"""

import sys
from collections.abc import Sequence
from typing import Final

from routecache_exporters.catalog import METRICS
from routecache_exporters.metric import Metric
from routecache_exporters.opentelemetry.naming import base_name, instruments, unit
from routecache_exporters.pack import generated

OUTPUT: Final = generated.ROOT / "docs" / "opentelemetry.md"
BEGIN: Final = "<!-- instruments: written by `make metrics-doc` -->\n"
END: Final = "<!-- end of instruments -->\n"

_HEAD: Final = """\
| instrument | kind | unit | attributes | meaning | Prometheus |
|---|---|---|---|---|---|
"""
_KINDS: Final = {
    instrument.metric: instrument.kind.replace("_", "-") for instrument in instruments()
}


def table() -> str:
    """The table of all instruments, in the catalogue's order."""
    return _HEAD + "".join(map(_row, METRICS))


def _row(metric: Metric) -> str:
    kind = "histogram" if metric.type == "histogram" else _KINDS[metric]
    cells = (
        f"`{base_name(metric)}`",
        kind,
        f"`{unit(metric)}`" if unit(metric) else "",
        ", ".join(metric.labels),
        metric.help,
        f"`{metric.name}`",
    )
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"


def rendered(page: str) -> str:
    """`page` with the table as it should be. Raises ValueError without the comments."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{OUTPUT.name} needs the lines {BEGIN!r} and {END!r}")
    return f"{before}{BEGIN}{table()}{END}{after}"


def write() -> None:
    """Write the table into the page."""
    generated.write({OUTPUT: rendered(OUTPUT.read_text("utf-8"))})


def differences() -> list[str]:
    """The lines of a unified diff from what is there to the page as it should be."""
    return generated.differences({OUTPUT: rendered(OUTPUT.read_text("utf-8"))})


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns its exit status."""
    stale = "docs/opentelemetry.md is stale: run make metrics-doc"
    return generated.command(
        arguments, "dashboards.otel_reference", stale, write=write, differences=differences
    )


if __name__ == "__main__":
    sys.exit(main())
