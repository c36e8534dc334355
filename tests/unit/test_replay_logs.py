"""Reading request logs: formats, bad rows, clear errors, constant memory."""

import gzip
import tracemalloc
from pathlib import Path

import pytest

from routecache_exporters.replay import lines
from routecache_exporters.replay.logs import Log, Row
from routecache_exporters.usage import UsageError


def read(path: Path) -> tuple[list[Row], Log]:
    with Log(str(path)) as log:
        return list(log), log


def write(path: Path, content: bytes | str) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "log"


def test_csv_rows_have_values_by_column_and_their_line(file: Path) -> None:
    rows, log = read(write(file, "a,b\n1,x\n2,y"))
    assert log.format == "csv"
    assert log.columns == ("a", "b")
    assert [(row.line, dict(row.values)) for row in rows] == [
        (2, {"a": "1", "b": "x"}),
        (3, {"a": "2", "b": "y"}),
    ]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_read_off_the_header(file: Path, delimiter: str) -> None:
    rows, _ = read(write(file, f"a{delimiter}b\n1{delimiter}2\n"))
    assert dict(rows[0].values) == {"a": "1", "b": "2"}


def test_json_lines_keep_their_types(file: Path) -> None:
    rows, log = read(write(file, '{"a": 1, "b": null}\n\n{"a": {"c": [true]}}\n'))
    assert log.format == "jsonl"
    assert log.columns == ("a", "b")
    assert [dict(row.values) for row in rows] == [{"a": 1, "b": None}, {"a": {"c": [True]}}]


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_blank_lines_bom_and_line_ends_do_not_matter(file: Path, line_end: str) -> None:
    rows, log = read(write(file, "\ufeff" + line_end.join(["a", "", "1", " ", "2"])))
    assert [row.values["a"] for row in rows] == ["1", "2"]
    assert log.bad.count == 0


def test_gzip_is_read_as_it_is(file: Path) -> None:
    rows, log = read(write(file, gzip.compress(b"a\n1\n2\n")))
    assert [row.values["a"] for row in rows] == ["1", "2"]
    assert log.total_bytes == file.stat().st_size


def test_a_quoted_field_may_hold_line_ends_and_delimiters(file: Path) -> None:
    rows, log = read(write(file, 'a,b\n"one\n\ntwo, three",2\nx,y\n'))
    assert [row.values["a"] for row in rows] == ["one\n\ntwo, three", "x"]
    assert [row.line for row in rows] == [2, 5]
    assert log.bad.count == 0


def test_bad_rows_are_counted_with_their_lines_and_the_rest_is_read(file: Path) -> None:
    content = b'a,b\n1,2\n1,2,3\n\xff\xfe,4\n"open,5\n6,7\n'
    rows, log = read(write(file, content))
    assert [row.line for row in rows] == [2, 6]
    assert [row.line for row in log.bad.first] == [3, 4, 5]
    assert log.bad.first[0].reason == "3 columns instead of 2"
    assert "UTF-8" in log.bad.first[1].reason


def test_two_stray_quotes_lose_only_their_own_rows(file: Path) -> None:
    rows, log = read(write(file, 'a,b\n"x,1\n2,3\n4,5\n"y,6\n7,8\n'))
    assert [row.line for row in rows] == [3, 4, 6]
    assert [row.line for row in log.bad.first] == [2, 5]


def test_an_unclosed_quote_does_not_swallow_a_long_log(file: Path) -> None:
    rows, log = read(write(file, 'a,b\n"open,1\n' + "1,2\n" * 5000))
    assert len(rows) == 5000
    assert log.bad.count == 1


def test_bad_json_rows_are_counted(file: Path) -> None:
    deep = "[" * 100_000
    rows, log = read(write(file, f'{{"a": 1}}\n{{"a": \n[1]\n{deep}\n{{"a": 2}}\n'))
    assert [row.values["a"] for row in rows] == [1, 2]
    assert [row.line for row in log.bad.first] == [2, 3, 4]


def test_only_the_first_bad_rows_are_kept(file: Path) -> None:
    _, log = read(write(file, "a\n1\n" + "2,3\n" * 100))
    assert log.bad.count == 100
    assert len(log.bad.first) == log.bad.keep


def test_a_line_too_long_to_hold_is_a_bad_row(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MAX_LINE", 64)
    rows, log = read(write(file, "a\n" + "x" * 1000 + "\n1\n"))
    assert [(row.line, row.values["a"]) for row in rows] == [(3, "1")]
    assert log.bad.first[0].line == 2


def test_a_gzip_that_was_cut_off_is_read_up_to_there(file: Path) -> None:
    whole = gzip.compress(b"a\n" + b"".join(b"%d\n" % (i * 7919) for i in range(20_000)))
    rows, log = read(write(file, whole[: len(whole) // 2]))
    assert 0 < len(rows) < 20_000
    assert "ends early" in log.bad.first[-1].reason


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "holds no requests"),
        (b"\n \n", "holds no requests"),
        (b"a,b\n", "holds no requests"),
        (b"a,b\n1,2,3\n", "line 2: 3 columns instead of 2"),
        (b"\xff\xff\xff", "line 1: not UTF-8"),
        (b"[\n{}\n]", "one JSON array"),
        (b"a,b,a\n1,2,3\n", "'a' twice"),
        (b"a,,\n1,2,3\n", "an empty name twice"),
        ("a,b\n1,2\n".encode("utf-16"), "UTF-16"),
    ],
)
def test_a_log_that_cannot_be_used_is_one_clear_error(
    file: Path, content: bytes, says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        read(write(file, content))


def test_a_missing_file_and_a_directory_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no such log file: .*nowhere\.csv"):
        Log(str(tmp_path / "nowhere.csv"))
    with pytest.raises(UsageError, match="is a directory"):
        Log(str(tmp_path))


def test_memory_does_not_grow_with_the_log(file: Path) -> None:
    """10 MB are read within 1 MB."""
    with file.open("w") as stream:
        stream.write("at,size,prompt\n")
        stream.writelines(f"{i},{i * 37 % 9999},{'words ' * 15}\n" for i in range(100_000))
    assert file.stat().st_size > 9_000_000
    tracemalloc.start()
    try:
        with Log(str(file)) as log:
            rows = sum(1 for _ in log)
            assert log.bytes_read == log.total_bytes
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert rows == 100_000
    assert peak < 1_000_000
