"""What `explain` and `inspect` print for people; drawn with rich, without markup or values."""

from typing import TextIO

from routecache.explanation import L2Explanation
from routecache_exporters.inspecting.census import Census, Holding
from routecache_exporters.replay.table import duration
from routecache_exporters.usage import require

_WIDTH = 118  # columns, where the output is no terminal


def show_explanation(key: str, prefix: str, said: L2Explanation, stream: TextIO) -> None:
    """Write what L2 holds of one key."""
    rows = [("state", _state(said))]
    if said.serializer is not None:
        rows += [
            ("age", _time(said.age)),
            ("time left", _time(said.seconds_left)),
            ("size", f"{said.size:,} bytes ({said.wire_size:,} on the wire)"),
            ("serializer", said.serializer),
            ("written by", f"routecache {said.writer or 'of an unknown release'}"),
            ("load took", _time(said.load_seconds)),
            ("tags", ", ".join(said.tags) or "none"),
        ]
    if said.redis_ttl is not None:
        rows.append(("removed in", _time(said.redis_ttl)))
    lease = "none" if said.lease_left is None else f"stands for {_time(said.lease_left)}"
    rows.append(("lease of a load", lease))
    table = require("rich.table", "cli").Table(
        title=f"{prefix}: {key}", title_justify="left", show_header=False
    )
    table.add_column()
    table.add_column(overflow="fold")
    text = require("rich.text", "cli").Text
    for name, value in rows:
        table.add_row(name, text(value))
    _print(stream, table)
    _print(
        stream,
        "The copies in memory are each process's own: ask manager.explain(key) there.",
    )


def show_census(census: Census, stream: TextIO) -> None:
    """Write what a Redis holds."""
    table = require("rich.table", "cli").Table(
        title=f"{census.keys:,} keys of all programs on {census.primaries} "
        f"{'primary' if census.primaries == 1 else 'primaries'}",
        title_justify="left",
        show_lines=True,
    )
    table.add_column("prefix", overflow="fold")
    for heading in ("values", "leases", "tags", "~bytes"):
        table.add_column(heading, justify="right")
    for heading in ("time left", "age", "written as"):
        table.add_column(heading)
    for holding in census.holdings:
        table.add_row(*_row(holding))
    _print(stream, table)
    sampled = sum(holding.sampled for holding in census.holdings)
    values = sum(holding.values for holding in census.holdings)
    said = f"{sampled:,} sampled values of {values:,}"
    remarks = [f"Bytes, times, serializers and writers are of {said}."]
    if not census.whole:
        remarks.append("The walk ended at its --limit: all counts are of a part of the keys.")
    for remark in remarks:
        _print(stream, remark)


def _row(holding: Holding) -> list[str]:
    size = holding.bytes_estimated
    written = [f"v{v} {n:,}" for v, n in sorted(holding.versions.items())]
    written += [f"{name} {n:,}" for name, n in holding.serializers.most_common()]
    written += [f"by {name} {n:,}" for name, n in holding.writers.most_common()]
    if holding.nones:
        written.append(f"none {holding.nones:,}")
    if holding.undecodable:
        written.append(f"undecodable {holding.undecodable:,}")
    ages = f"{_time(min(holding.ages))} to {_time(max(holding.ages))}" if holding.ages else "-"
    return [
        holding.prefix,
        f"{holding.values:,}",
        f"{holding.leases:,}",
        f"{holding.tags:,}",
        "-" if size is None else f"{size:,}",
        "\n".join(
            f"{'' if name in ('more', 'endless') else 'up to '}{name} {n:,}"
            for name, n in holding.ttl_shares().items()
        ) or "-",
        ages,
        "\n".join(written) or "-",
    ]  # fmt: skip


def _state(said: L2Explanation) -> str:
    if said.problem is not None:
        return f"{said.state}: no envelope of this wire version"
    if said.invalidated_by:
        return f"{said.state} by the tag {', '.join(said.invalidated_by)}"
    state = f'{said.state}, a remembered "none"' if said.none else said.state
    return f"{state}: kept for stale serving" if said.state == "expired" else state


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    if seconds == float("inf"):
        return "never"
    return f"-{duration(-seconds)}" if seconds < 0 else duration(seconds)


def _print(stream: TextIO, what: object) -> None:
    console = require("rich.console", "cli").Console(
        file=stream, width=None if stream.isatty() else _WIDTH, highlight=False, markup=False
    )
    console.print(what, soft_wrap=isinstance(what, str))
