"""`promtool check web-config` and we judge the same files alike, and what differs is listed."""

import logging
import re
import subprocess
import textwrap
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from routecache.errors import ConfigurationError
from routecache_exporters.web.security import Security
from tests.certificates import Authority, Pair
from tests.monitoring.web_configs import BAD, GOOD, NEWER, STRICTER, STRICTER_NEWER

DOCS = Path(__file__).parents[2] / "docs" / "web.md"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the files name, beside each other."""
    folder = tmp_path_factory.mktemp("web")
    authority = Authority(folder)
    made = authority.issue("cert")
    made.key_file.rename(folder / "key.pem")
    authority.issue("other")
    (folder / "junk.pem").write_text("nothing\n")
    key = serialization.load_pem_private_key((folder / "other.key").read_bytes(), None)
    (folder / "locked.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"password"),
        )
    )
    return folder


def write(folder: Path, text: str) -> Path:
    """The file that `text` stands for."""
    pair = Pair(folder / "cert.pem", folder / "key.pem")
    cert, key = (textwrap.indent(pem, "    ") for pem in (pair.cert, pair.key))
    file = folder / "web.yml"
    file.write_bytes(text.format(cert=cert, key=key).encode())
    return file


def promtool(file: Path) -> bool:
    """Whether promtool takes it."""
    checked = subprocess.run(
        ["promtool", "check", "web-config", file], capture_output=True, timeout=60, check=False
    )
    return checked.returncode == 0


def ours(file: Path) -> bool:
    """Whether we take it. What we refuse names the file and a line, in one line."""
    complaint = None
    try:
        Security(file, time.monotonic)
    except ConfigurationError as error:
        complaint = str(error)
    assert complaint is None or re.fullmatch(rf"{file}, line \d+: .+", complaint), complaint
    return complaint is None


@pytest.mark.needs("promtool")
@pytest.mark.parametrize("name", GOOD)
def test_both_take_a_good_file(folder: Path, name: str) -> None:
    file = write(folder, GOOD[name])
    assert (promtool(file), ours(file)) == (True, True)


@pytest.mark.needs("promtool")
@pytest.mark.parametrize("name", BAD)
def test_both_refuse_a_bad_file(folder: Path, name: str) -> None:
    file = write(folder, BAD[name])
    assert (promtool(file), ours(file)) == (False, False)


@pytest.mark.parametrize("name", NEWER)
def test_keys_of_later_releases_are_taken(folder: Path, name: str) -> None:
    """Whether promtool knows them depends on its release."""
    assert ours(write(folder, NEWER[name]))


@pytest.mark.needs("promtool")
@pytest.mark.parametrize("row", STRICTER)
def test_what_only_we_refuse(folder: Path, row: str) -> None:
    """promtool takes it: were that to change, the table in the docs would be wrong."""
    for text in STRICTER[row]:
        file = write(folder, text)
        assert (promtool(file), ours(file)) == (True, False), text


@pytest.mark.parametrize("row", STRICTER_NEWER)
def test_what_only_we_refuse_of_keys_of_later_releases(folder: Path, row: str) -> None:
    for text in STRICTER_NEWER[row]:
        assert not ours(write(folder, text)), text


def test_every_difference_has_its_row_in_the_docs() -> None:
    """And every row there is tested here."""
    section = DOCS.read_text(encoding="utf-8").partition("## Where it is stricter")[2]
    table = section.partition("\n## ")[0]
    rows = [line.split(" | ")[0].removeprefix("| ") for line in table.splitlines() if "|" in line]
    assert rows[2:] == [*STRICTER, *STRICTER_NEWER]


def test_refusals_are_not_logged(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """At the start the caller tells; a log line beside it would only repeat it."""
    with caplog.at_level(logging.DEBUG):
        assert not ours(write(folder, "nothing: 1\n"))
    assert caplog.records == []
