"""docs/metrics.md, and what the catalogue costs in series."""

import re
from pathlib import Path

import pytest

from dashboards import reference, typical
from routecache_exporters.catalog import BY_NAME, METRICS
from tests.monitoring.sources import recordings


def test_the_page_is_what_the_code_says() -> None:
    """Nobody edits docs/metrics.md by hand, or forgets to write it anew."""
    assert reference.differences() == []


def test_a_stale_or_missing_page_fails_with_a_diff_and_is_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """--check exits 1 and shows what differs; a write mends it."""
    path = tmp_path / "metrics.md"
    monkeypatch.setattr(reference, "OUTPUT", path)
    assert reference.main(["--check"]) == 1
    assert reference.main([]) == 0
    assert reference.main(["--check"]) == 0
    capsys.readouterr()
    path.write_text(path.read_text().replace("Loader calls.", "Calls.").replace("| sum |", "|"))
    assert reference.main(["--check"]) == 1
    assert "metrics.md as the code says" in capsys.readouterr().out


def test_every_metric_has_one_row() -> None:
    """In the catalogue's order."""
    rows = re.findall(r"^\| `(routecache_\w+)` \| \w+ \|.*\|$", reference.render(), re.MULTILINE)
    assert rows == [metric.name for metric in METRICS]


def test_every_metric_is_shown_or_listed_with_a_reason() -> None:
    """Nobody pays for a series that nobody sees."""
    uses = reference.Uses([*recordings().values()], reference.panels())
    hidden = {metric.name for metric in METRICS if not uses.panels(metric)}
    assert hidden == set(reference.NOT_SHOWN)
    assert all(reference.NOT_SHOWN.values())


def test_a_router_with_four_caches_has_no_more_series_than_the_page_says() -> None:
    """About 365 are budgeted from the start; who adds some says so here and thinks of others."""
    idle, working = typical.series(typical.idle()), typical.series(typical.working())
    assert (sum(idle.values()), sum(working.values())) == (362, 582)
    assert all(idle[metric] <= working[metric] for metric in METRICS)


def test_uses_are_followed_through_recorded_series() -> None:
    """An alert and a panel on a recording of a recording count for the metric beneath."""
    rules = [
        {"record": "a:b", "expr": "sum(rate(routecache_loads_total[5m]))"},
        {"record": "a:c", "expr": "a:b / a:d"},
        {"record": "a:d", "expr": "a:c"},
        {"alert": "RouteCacheX", "expr": "a:c > 1"},
        {"alert": "RouteCacheY", "expr": "routecache_load_duration_seconds_count > 1"},
    ]
    uses = reference.Uses(rules, [("Board", "Panel", "a:d"), ("Board", "Panel", "a:b")])
    loads = BY_NAME["routecache_loads_total"]
    assert (uses.alerts(loads), uses.panels(loads)) == (["X"], {"Board": ["Panel"]})
    assert uses.alerts(BY_NAME["routecache_load_duration_seconds"]) == ["Y"]
    assert uses.panels(BY_NAME["routecache_load_duration_seconds"]) == {}
