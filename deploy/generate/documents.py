"""YAML as a person would write it: keys in the given order, text of several lines as a block."""

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from deploy.generate.sources import NOTICE


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002
        """Whatever is there twice is written twice."""
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002
        """Items of a list stand further right than its key."""
        super().increase_indent(flow, indentless=False)


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def written(documents: Sequence[Mapping[str, Any]], source: str) -> str:
    """A file of these documents, which says what it was written from."""
    head = f"# {NOTICE}\n# From: {source}\n"
    parts = [
        yaml.dump(dict(each), Dumper=_Dumper, sort_keys=False, width=10_000, allow_unicode=True)
        for each in documents
    ]
    return head + "---\n".join(parts)
