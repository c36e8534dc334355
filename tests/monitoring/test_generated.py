"""What is made of rules, dashboards and objectives is what make manifests would write."""

from pathlib import Path

import pytest

from deploy.generate import __main__ as generate
from deploy.generate.sources import ROOT


def test_committed_files_are_what_would_be_written() -> None:
    """make manifests was run after the last change of a rule, a dashboard or an objective."""
    assert generate.differences(ROOT) == []


def test_what_was_written_has_no_difference(tmp_path: Path) -> None:
    """Into an empty tree, and over an old one."""
    generate.write(tmp_path)
    assert generate.differences(tmp_path) == []
    written = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.*"))
    assert written == sorted(generate.render())


@pytest.mark.parametrize("name", sorted(generate.render()))
def test_a_stale_or_missing_file_is_shown(name: str, tmp_path: Path) -> None:
    """As a diff that names it; writing again mends it."""
    generate.write(tmp_path)
    path = tmp_path / name
    path.write_text(path.read_text("utf-8") + "# by hand\n", "utf-8")
    assert any(line == "-# by hand\n" for line in generate.differences(tmp_path))
    path.unlink()
    assert any(name in line for line in generate.differences(tmp_path))
    generate.write(tmp_path)
    assert generate.differences(tmp_path) == []


def test_a_group_that_is_gone_leaves_no_object(tmp_path: Path) -> None:
    """Its file is shown, and removed by writing."""
    generate.write(tmp_path)
    stale = tmp_path / "deploy/kubernetes/rules/routecache-gone.yaml"
    stale.write_text("kind: PrometheusRule\n")
    assert "-kind: PrometheusRule\n" in generate.differences(tmp_path)
    generate.write(tmp_path)
    assert not stale.exists()


def test_check_exits_with_1_and_says_what_to_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """What make check shows."""
    monkeypatch.setattr(generate, "ROOT", tmp_path)
    assert generate.main(["--check"]) == 1
    assert "make manifests" in capsys.readouterr().err
    assert generate.main([]) == 0
    assert generate.main(["--check"]) == 0
