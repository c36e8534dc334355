"""Which columns make a context, how they are bucketed, and what rows ask."""

from pathlib import Path

import pytest

from routecache_exporters.replay.context import BadValueError, parse_context
from routecache_exporters.replay.logs import Log
from routecache_exporters.replay.requests import asked, timestamp_column
from routecache_exporters.usage import UsageError

AZURE = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")


@pytest.mark.parametrize(
    ("bucket", "value", "expected"),
    [
        ("pow2", "374", 512),
        ("pow2", "512", 512),
        ("pow2", "513", 1024),
        ("pow2", "1", 1),
        ("pow2", "0", 0),
        ("pow2", "-3", 0),
        ("pow2", 0.3, 1),
        ("pow2", "3.5", 4),
        ("pow10", "374", 1000),
        ("pow10", "1000", 1000),
        ("pow10", "0", 0),
        ("100", "374", 300),
        ("100", "-1", -100),
        ("0.5", "1.74", 1.5),
        ("auto", "374", 512),
        ("auto", "chat", "chat"),
        ("auto", None, None),
        ("auto", True, True),
    ],
)
def test_buckets(bucket: str, value: object, expected: object) -> None:
    context = parse_context(f"size:{bucket}", ["size"]).of({"size": value})
    assert context == {"size": expected}
    assert type(context["size"]) is type(expected)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("374", 374), ("-5", -5), ("007", "007"), ("1.5", "1.5"), ("", ""), ("-", "-"), ("²", "²"),
        ("--5", "--5"), ("---", "---"), ("-0", "-0"),
    ],
)  # fmt: skip
def test_a_column_without_a_bucket_is_taken_as_it_is(value: str, expected: object) -> None:
    """Only a text that a whole number would be written as becomes a number."""
    assert parse_context("size", ["size"]).of({"size": value}) == {"size": expected}


@pytest.mark.parametrize("value", ["many", "", None, True, [1], "nan", "inf", "1e300"])
def test_a_number_bucket_refuses_what_is_no_number(value: object) -> None:
    with pytest.raises(BadValueError, match=r"size: .* number"):
        parse_context("size:pow2", ["size"]).of({"size": value})


def test_a_number_that_its_width_divides_into_too_many_is_bad() -> None:
    with pytest.raises(BadValueError, match=r"size: '1e18' is too large a number for 1e-300"):
        parse_context("size:1e-300", ["size"]).of({"size": "1e18"})


def test_a_row_without_the_column_is_bad() -> None:
    with pytest.raises(BadValueError, match="no column 'size'"):
        parse_context("size", ["size"]).of({})


def test_the_default_context_leaves_out_time_identifiers_and_results() -> None:
    assert parse_context(None, AZURE).text == "ContextTokens:auto"
    columns = ["requestId", "timestamp", "tenant", "output_tokens", "status", "model", "id"]
    assert parse_context(None, columns).text == "tenant:auto,model:auto"


def test_the_default_context_is_never_empty() -> None:
    assert parse_context(None, ["id"]).of({"id": "x"}) == {"id": "x"}


def test_a_column_whose_name_has_a_colon_is_found() -> None:
    columns = ["ns:size", "a:pow2"]
    assert parse_context("ns:size:pow2", columns).of({"ns:size": "3"}) == {"ns:size": 4}
    assert parse_context("a:pow2", columns).of({"a:pow2": "3"}) == {"a:pow2": 3}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("Tokens", "no column 'Tokens' .* TIMESTAMP, ContextTokens, GeneratedTokens"),
        ("ContextTokens:pow3", "unknown bucket 'pow3' .* pow2, pow10, auto"),
        ("ContextTokens:0", "unknown bucket '0'"),
        ("ContextTokens:nan", "unknown bucket 'nan'"),
        ("ContextTokens:", "unknown bucket ''"),
        ("", "no column ''"),
        ("ContextTokens,ContextTokens:pow2", "twice"),
    ],
)
def test_a_wrong_context_is_one_clear_error(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        parse_context(text, AZURE)


def test_the_arrival_column_is_found_by_name_or_given() -> None:
    assert timestamp_column(AZURE, None, needed="--speed") == "TIMESTAMP"
    assert timestamp_column(["size"], None, needed=None) is None
    assert timestamp_column(["when"], "when", needed="--speed") == "when"
    with pytest.raises(UsageError, match="--timestamp"):
        timestamp_column(["size"], None, needed="--speed")
    with pytest.raises(UsageError, match="no column 'when'"):
        timestamp_column(["size"], "when", needed=None)


def ask(path: Path, content: str, context: str | None = None, timestamp: str | None = None):  # type: ignore[no-untyped-def]
    path.write_text(content)
    with Log(str(path)) as log:
        return list(asked(log, parse_context(context, log.columns), timestamp)), log.bad


def test_provider_and_tool_columns_are_honoured(tmp_path: Path) -> None:
    requests, _ = ask(tmp_path / "log", "Provider,tool,size\nacme, Bash ,1\n", "size")
    assert (requests[0].provider, requests[0].tool) == ("acme", "Bash")


def test_without_them_they_are_derived_from_the_row_alone(tmp_path: Path) -> None:
    content = "size,n\n" + "".join(f"1,{i}\n" for i in range(500))
    first, _ = ask(tmp_path / "a", content, "size")
    again, _ = ask(tmp_path / "b", content, "size")
    assert first == again
    assert len({request.provider for request in first}) > 3
    assert len({request.tool for request in first}) > 10


def test_rows_that_the_context_or_the_time_refuses_are_bad_rows(tmp_path: Path) -> None:
    requests, bad = ask(
        tmp_path / "log", "at,size\n1,5\nx,6\n3,many\n4,8\n", "size:pow2", timestamp="at"
    )
    assert [(request.at, request.context) for request in requests] == [
        (1.0, {"size": 8}),
        (4.0, {"size": 8}),
    ]
    assert [row.line for row in bad.first] == [3, 4]
