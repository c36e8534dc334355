"""build_info tells what an installer recorded, and `unknown` for the rest."""

import json
import platform
from importlib import metadata
from pathlib import Path

import pytest

from routecache_exporters import build


def _install(at: Path, monkeypatch: pytest.MonkeyPatch, origin: object) -> None:
    """Make a distribution of this name importable that was installed from `origin`."""
    info = at / "routecache_test_build-1.2.3.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: routecache-test-build\nVersion: 1.2.3\n")
    if origin is not None:
        (info / "direct_url.json").write_text(json.dumps(origin))
    monkeypatch.syspath_prepend(str(at))
    monkeypatch.setattr(build, "DISTRIBUTION", "routecache-test-build")


@pytest.mark.parametrize(
    ("origin", "revision"),
    [
        ({"url": "https://example.org/x.git", "vcs_info": {"commit_id": "c0ffee"}}, "c0ffee"),
        ({"url": "file:///src", "dir_info": {"editable": True}}, "unknown"),
        (["not", "a", "table"], "unknown"),
        (None, "unknown"),
    ],
)
def test_version_and_revision_come_from_the_installed_distribution(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, origin: object, revision: str
) -> None:
    """The version is the distribution's; the revision is the commit, if one was recorded."""
    _install(tmp_path, monkeypatch, origin)
    assert build.build_info() == ("1.2.3", revision, platform.python_version())


def test_without_an_installed_distribution_nothing_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run from a plain source tree, the exporter says that it does not know."""
    monkeypatch.setattr(build, "DISTRIBUTION", "routecache-that-nobody-installed")
    with pytest.raises(metadata.PackageNotFoundError):
        metadata.distribution(build.DISTRIBUTION)
    assert build.build_info() == ("unknown", "unknown", platform.python_version())
