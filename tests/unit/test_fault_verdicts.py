"""What a lane's notifications are held against, and what is found wrong about them."""

from bench.faults.verdict import SETTLE, Times, Told, alert_name, judge, silent
from routecache_exporters.demo.webhook import Notice

TIMES = Times(began=100.0, ended=180.0)


def test_a_fault_whose_own_alert_is_told_and_resolves_is_proved() -> None:
    """Seconds count from the fault's begin and from its end."""
    verdict = judge(["L2Down"], [Told("L2Down", 112.0, 191.5)], TIMES)
    assert verdict.proved
    assert verdict.fired == {"L2Down": 12.0}
    assert verdict.resolved == {"L2Down": 11.5}


def test_an_alert_that_came_and_went_counts_from_its_first_to_its_last() -> None:
    """A rule whose short window empties between two events of a fault is told more than once."""
    told = [Told("L2Down", 112.0, 120.0), Told("L2Down", 130.0, 185.0)]
    verdict = judge(["L2Down"], told, TIMES)
    assert verdict.proved
    assert verdict.fired == {"L2Down": 12.0}
    assert verdict.resolved == {"L2Down": 5.0}


def test_a_fault_that_nobody_tells_of_is_not_proved() -> None:
    """Not one of several alerts may be missing."""
    verdict = judge(["L2Down", "LoadErrors"], [Told("LoadErrors", 112.0, 185.0)], TIMES)
    assert verdict.problems == ("L2Down was not told",)


def test_what_no_mask_allows_is_found() -> None:
    """The masks let an outage bring along what the loaders suffer, and not a full L1."""
    own = Told("L2Down", 112.0, 185.0)
    assert judge(["L2Down"], [own, Told("LoadErrors", 120.0, 185.0)], TIMES).proved
    verdict = judge(["L2Down"], [own, Told("L1Thrashing", 120.0, 185.0)], TIMES)
    assert verdict.problems == ("L1Thrashing was told, and no mask allows it",)


def test_what_a_cause_explains_must_not_be_told() -> None:
    """Alertmanager should have held it back."""
    told = [Told("L2Down", 112.0, 185.0), Told("StaleServing", 120.0, 185.0)]
    problems = judge(["L2Down"], told, TIMES).problems
    assert problems == ("StaleServing was told, and no mask allows it",)


def test_what_is_told_before_the_fault_or_never_resolves_is_found() -> None:
    """Such an alert says nothing about the fault."""
    assert judge(["L2Down"], [Told("L2Down", 99.0, 185.0)], TIMES).problems == (
        "L2Down was told before the fault",
    )
    assert judge(["L2Down"], [Told("L2Down", 112.0, None)], TIMES).problems == (
        "L2Down did not resolve",
    )


def test_an_alert_that_is_new_after_the_end_is_found() -> None:
    """Until Alertmanager has told what was firing at the end, an alert may still be new."""
    own = Told("L2Down", 112.0, 185.0)
    settled = TIMES.ended + SETTLE
    assert judge(["L2Down"], [own, Told("LoadErrors", settled - 1, 250.0)], TIMES).proved
    verdict = judge(["L2Down"], [own, Told("LoadErrors", settled + 10, 250.0)], TIMES)
    assert verdict.problems == ("LoadErrors was told first 30 s after the end",)


def test_alerts_with_a_twin_are_told_apart_by_severity() -> None:
    """Both of a budget's alerts have one name."""
    assert alert_name("LookupBudgetBurn", "warning") == "LookupBudgetBurn (warning)"
    assert alert_name("L2Down", "critical") == "L2Down"
    notice = Notice("RouteCacheLookupBudgetBurn", "answer", "critical", "", "page", 112.0, 185.0)
    assert Told.of(notice) == Told("LookupBudgetBurn (critical)", 112.0, 185.0)


def test_the_page_may_come_with_its_ticket_twin_only_by_itself() -> None:
    """Where the ticket is expected, the page is a worse burn that the masks allow."""
    told = [Told("LookupBudgetBurn (critical)", 112.0, 185.0)]
    verdict = judge(["LookupBudgetBurn (warning)"], told, TIMES)
    assert verdict.problems == ("LookupBudgetBurn (warning) was not told",)


def test_a_lane_without_a_fault_has_to_be_silent() -> None:
    """Whatever it tells is named."""
    assert silent([]) == []
    assert silent([Told("L2Down", 1.0, 2.0)]) == ["L2Down was told"]
