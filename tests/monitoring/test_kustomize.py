"""The part of kustomize that the checks of deploy/ use refuses what it does not know."""

from pathlib import Path

import pytest
import yaml

from deploy.generate.kustomize import KustomizeError, build, main

CONFIG_MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"


def folder(path: Path, kustomization: str, **files: str) -> Path:
    """A folder with a kustomization and other files; `_` in a name stands for a dot."""
    path.mkdir(exist_ok=True)
    (path / "kustomization.yaml").write_text(kustomization)
    for name, text in files.items():
        (path / name.replace("_", ".")).write_text(text)
    return path


def test_names_end_as_kustomize_ends_them(tmp_path: Path) -> None:
    """The names that `kubectl kustomize` 5.5 gave, and who refers to one is told."""
    inner = folder(
        tmp_path / "inner",
        "configMapGenerator: [{name: a, literals: [REDIS_URL=redis://redis:6379/0]}]",
    )
    pod = "kind: Pod\nmetadata: {name: p}\nspec: [{configMapRef: {name: a}}]\n"
    outer = folder(tmp_path / "outer", "resources: [p.yaml, ../inner]", p_yaml=pod)
    (made,) = build(inner)
    assert made["metadata"]["name"] == "a-88m2kkh64f"
    assert build(outer)[0]["spec"] == [{"configMapRef": {"name": "a-88m2kkh64f"}}]


def test_a_name_without_a_suffix_has_the_labels_of_the_options(tmp_path: Path) -> None:
    """As the dashboards'."""
    options = "generatorOptions: {disableNameSuffixHash: true, labels: {x: y}}\n"
    made = build(
        folder(tmp_path / "a", options + "configMapGenerator: [{name: a, files: [b.json]}]",
               b_json="{}")
    )  # fmt: skip
    assert made == [
        {
            "apiVersion": "v1",
            "data": {"b.json": "{}"},
            "kind": "ConfigMap",
            "metadata": {"name": "a", "labels": {"x": "y"}},
        }
    ]


@pytest.mark.parametrize(
    ("kustomization", "message"),
    [
        ("resources: [b.yaml]\nnamePrefix: x", "namePrefix"),
        ("resources: [c.yaml]", "c.yaml is no file of that folder"),
        ("resources: [b.yaml, b.yaml]", "twice"),
        ("resources: [../beside.yaml]", "no file of that folder"),
        ("configMapGenerator: [{name: x, files: [../beside.yaml]}]", "no file of that folder"),
        ("resources: [none]", "no file of that folder"),
    ],
)
def test_what_kustomize_would_refuse_or_is_not_known_is_an_error(
    kustomization: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A misspelt file, one outside of the folder, an object twice, a field that is not known."""
    (tmp_path / "beside.yaml").write_text(CONFIG_MAP)
    path = folder(tmp_path / "a", kustomization, b_yaml=CONFIG_MAP)
    with pytest.raises(KustomizeError, match=message):
        build(path)
    assert main([str(path)]) == 1
    assert message in capsys.readouterr().err


def test_a_folder_without_a_kustomization_is_an_error(tmp_path: Path) -> None:
    """Instead of no objects."""
    with pytest.raises(KustomizeError, match="is not there"):
        build(tmp_path)


def test_the_command_prints_documents(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """For the check of make kubernetes-check."""
    assert main([str(folder(tmp_path / "a", "resources: [b.yaml]", b_yaml=CONFIG_MAP))]) == 0
    assert list(yaml.safe_load_all(capsys.readouterr().out)) == [yaml.safe_load(CONFIG_MAP)]
