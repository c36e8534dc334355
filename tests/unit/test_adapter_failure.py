"""What HTTP statuses say of a provider."""

import pytest

from routecache.adapters.failure import Failure, failure_of

NOW = 1_800_000_000.0  # Fri, 15 Jan 2027 08:00:00 GMT


@pytest.mark.parametrize("status", [200, 204, 301, 400, 401, 403, 404, 413, 422])
def test_answers_and_errors_of_the_caller_say_nothing_bad_of_the_provider(status: int) -> None:
    assert failure_of(status, "30") is None


@pytest.mark.parametrize(
    ("status", "kind"),
    [(None, "error"), (408, "timeout"), (504, "timeout"), (500, "error"), (502, "error")],
)
def test_failures_of_the_provider_are_told_apart(status: int | None, kind: str) -> None:
    assert failure_of(status, "30") == Failure(kind)  # type: ignore[arg-type]


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("0.5", 0.5),
        ("Fri, 15 Jan 2027 08:00:30 GMT", 30.0),
        ("Fri, 15 Jan 2027 09:00:30 +0100", 30.0),
        ("Fri, 15 Jan 2027 08:00:30 -0000", 30.0),
    ],
)
def test_a_provider_may_say_how_long_it_wants_to_be_left_alone(
    status: int, header: str, seconds: float
) -> None:
    failure = failure_of(status, header, now=lambda: NOW)
    assert failure is not None
    assert failure.retry_after == seconds


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "soon",
        "0",
        "-5",
        "nan",
        "inf",
        "1e999",
        "Fri, 15 Jan 2027 07:59:59 GMT",
        "Fri, 99 Jan 2027 08:00:30 GMT",
        "1" * 400,
        "Mon, 01 Jan 2024 99999999999999999999:00:00 GMT",
        "Mon, 01 Jan 2024 00:00:00 +99999999999999999999",
        "Mon, 01 Jan 99999999999999999999 00:00:00 GMT",
        "Mon, 01 Jan 0001 00:00:00 +1400",
    ],
)
def test_a_header_that_names_no_time_to_come_counts_as_absent(header: str | None) -> None:
    assert failure_of(429, header, now=lambda: NOW) == Failure("rate_limit")
