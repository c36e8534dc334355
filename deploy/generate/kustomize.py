"""What `kubectl kustomize DIR` prints, for the part of kustomize that deploy/ uses.

python -m deploy.generate.kustomize deploy/kubernetes/try

kustomize comes from no registry of Python packages, and the checks need its output. A field that
is not known here is refused, so nothing is passed over in silence. Like kustomize, it reads no file
outside of the folder that names it.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

Object = dict[str, Any]

_KNOWN: Final = {
    "apiVersion",
    "kind",
    "resources",
    "configMapGenerator",
    "generatorOptions",
    "images",
}
_SUFFIX: Final = str.maketrans("013ae", "ghkmt")


class KustomizeError(Exception):
    """A kustomization that cannot be built, or not by this module."""


def build(folder: Path) -> list[Object]:
    """Every object of a kustomization, in the order of its lists."""
    objects, names = _built(folder)
    seen = [(each["kind"], each["metadata"]["name"]) for each in objects]
    if twice := {each for each in seen if seen.count(each) > 1}:
        raise KustomizeError(f"{folder}: twice: {sorted(twice)}")
    return [_referring(each, names) for each in objects]


def _built(folder: Path) -> tuple[list[Object], dict[str, str]]:
    """The objects, and the names of generated ones with their suffix, by the name without it."""
    path = folder / "kustomization.yaml"
    if not path.is_file():
        raise KustomizeError(f"{path} is not there")
    kustomization = yaml.safe_load(path.read_text("utf-8"))
    if unknown := kustomization.keys() - _KNOWN:
        raise KustomizeError(f"{path}: {sorted(unknown)} is not known here")
    objects: list[Object] = []
    names: dict[str, str] = {}
    for name in kustomization.get("resources", ()):
        if (folder / name).is_dir():
            inner, inner_names = _built(folder / name)
            objects += inner
            names |= inner_names
        else:
            objects += yaml.safe_load_all(_within(folder, name).read_text("utf-8"))
    options = kustomization.get("generatorOptions", {})
    for generator in kustomization.get("configMapGenerator", ()):
        made = _config_map(folder, generator, options)
        names[generator["name"]] = made["metadata"]["name"]
        objects.append(made)
    for image in kustomization.get("images", ()):
        objects = [_with_tag(each, image["name"], image["newTag"]) for each in objects]
    return objects, names


def _within(folder: Path, name: str) -> Path:
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()) or not path.is_file():
        raise KustomizeError(f"{folder / name} is no file of that folder")
    return path


def _config_map(folder: Path, generator: Mapping[str, Any], options: Mapping[str, Any]) -> Object:
    data: dict[str, str] = {}
    for name in generator.get("files", ()):
        path = _within(folder, name)
        data[path.name] = path.read_text("utf-8")
    lines = list(generator.get("literals", ()))
    for name in generator.get("envs", ()):
        lines += _within(folder, name).read_text("utf-8").splitlines()
    for line in lines:
        key, _, value = line.partition("=")
        data[key] = value
    name = generator["name"]
    if not options.get("disableNameSuffixHash"):
        name += f"-{_suffix(data)}"
    metadata = {"name": name} | {
        key: dict(options[key]) for key in ("labels", "annotations") if key in options
    }
    return {"apiVersion": "v1", "data": data, "kind": "ConfigMap", "metadata": metadata}


def _suffix(data: Mapping[str, str]) -> str:
    """The end of a ConfigMap's name, which changes with its content."""
    content = {"data": data, "kind": "ConfigMap", "name": ""}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    # Go escapes these for the sake of HTML.
    for character in "&<>":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return hashlib.sha256(text.encode()).hexdigest()[:10].translate(_SUFFIX)


def _referring(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, list):
        return [_referring(each, names) for each in value]
    if not isinstance(value, dict):
        return value
    changed = {key: _referring(each, names) for key, each in value.items()}
    for key in ("configMapRef", "configMapKeyRef", "configMap"):
        if isinstance(reference := changed.get(key), dict) and reference.get("name") in names:
            changed[key] = reference | {"name": names[reference["name"]]}
    return changed


def _with_tag(value: Any, image: str, tag: str) -> Any:
    if isinstance(value, list):
        return [_with_tag(each, image, tag) for each in value]
    if not isinstance(value, dict):
        return value
    changed = {key: _with_tag(each, image, tag) for key, each in value.items()}
    if changed.get("image") == image:
        changed["image"] = f"{image}:{tag}"
    return changed


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m deploy.generate.kustomize")
    parser.add_argument("folder", type=Path)
    try:
        objects = build(parser.parse_args(arguments).folder)
    except KustomizeError as error:
        print(error, file=sys.stderr)
        return 1
    yaml.safe_dump_all(objects, sys.stdout, sort_keys=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
