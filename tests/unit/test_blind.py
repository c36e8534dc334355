"""The game day's own parts; that faults are told is `make faults`' to show."""

from bench.faults.blind import chosen, unseen
from bench.faults.table import FAULTS
from bench.faults.verdict import Told


def test_a_seed_names_one_fault_and_all_that_concern_one_fleet_may_come() -> None:
    assert chosen(7) == chosen(7)
    assert {chosen(seed) for seed in range(1000)} == {
        name for name, fault in FAULTS.items() if not fault.alone
    }


def test_each_alert_of_a_fleet_is_said_once() -> None:
    seen: set[tuple[str, str]] = set()
    down, burning = Told("L2Down", 1.0, None), Told("LookupBudgetBurn (critical)", 2.0, None)
    assert list(unseen({"prod": [down]}, seen)) == ["notified: L2Down of prod"]
    again = {"prod": [down, burning, down], "staging": [down], "": [down]}
    assert list(unseen(again, seen)) == [
        "notified: LookupBudgetBurn (critical) of prod",
        "notified: L2Down of staging",
        "notified: L2Down of no fleet",
    ]
