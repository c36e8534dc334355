"""What `make faults` saw is on record, is as it should be, and is what the page shows."""

from pathlib import Path

import pytest

from bench.faults import page
from bench.faults.table import FAULTS

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_the_fault_was_seen_to_be_told(name: str) -> None:
    """`make faults` saw its alerts come and go, and nothing else that the masks do not allow."""
    seen = page.load()[name]
    assert tuple(seen["alerts"]) == FAULTS[name].alerts
    assert seen["problems"] == []
    assert seen["noise"] == []
    assert set(seen["alerts"]) <= seen["fired"].keys() == seen["resolved"].keys()


def test_the_page_and_the_picture_show_what_was_seen() -> None:
    """They are written by `make faults` or `python -m bench.faults.page`."""
    for path, text in page.made().items():
        assert path.read_text(encoding="utf-8") == text
    assert page.unproved(page.load()) == []
    assert "docs/images/alerts-proven.svg" in (ROOT / "README.md").read_text(encoding="utf-8")
