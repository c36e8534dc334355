"""The table of instruments in docs/opentelemetry.md."""

import re
from pathlib import Path

import pytest

from dashboards import otel_reference
from routecache_exporters.catalog import METRICS


def test_the_table_is_what_the_code_says_and_has_every_metric() -> None:
    page = otel_reference.OUTPUT.read_text("utf-8")
    assert otel_reference.rendered(page) == page
    rows = re.findall(r"^\| `routecache\.[\w.]+` .*`(routecache_\w+)` \|$", page, re.MULTILINE)
    assert rows == [metric.name for metric in METRICS]


def test_a_stale_table_fails_with_a_diff_and_is_mended_with_all_around_it_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = otel_reference.OUTPUT.read_text("utf-8")
    path = tmp_path / "opentelemetry.md"
    path.write_text(page.replace("Loader calls.", "Calls."))
    monkeypatch.setattr(otel_reference, "OUTPUT", path)
    assert otel_reference.main(["--check"]) == 1
    assert "+| `routecache.loads`" in capsys.readouterr().out
    assert otel_reference.main([]) == 0
    assert otel_reference.main(["--check"]) == 0
    assert path.read_text() == page


def test_a_page_without_room_for_the_table_is_refused() -> None:
    with pytest.raises(ValueError, match="needs the lines"):
        otel_reference.rendered("# OpenTelemetry\n")
