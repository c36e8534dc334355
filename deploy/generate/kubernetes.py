"""The rules as objects of the Prometheus operator, and the dashboards as ConfigMaps.

One object per group, so that groups can be left out one by one; the optional ones are in a folder
of their own, which no other builds on. Dashboards are not copied: the kustomization beside them
makes ConfigMaps of their files.
"""

from collections.abc import Mapping
from typing import Any, Final

from deploy.generate.documents import written
from deploy.generate.sources import OPTIONAL, ROOT, RULES, dashboard_files, groups

LABELS: Final = {
    "app.kubernetes.io/name": "routecache",
    "app.kubernetes.io/part-of": "routecache",
}
FOLDERS: Final = {"deploy/kubernetes/rules": RULES, "deploy/kubernetes/optional": OPTIONAL}
"""Where the objects are, and which rules they are made of."""
FOLDER: Final = "routecache"
"""Grafana's folder, as in the provisioning of the compose stack."""


def files() -> dict[str, str]:
    """The rules as objects, and what kustomize makes of the dashboards, by path from the root."""
    found: dict[str, str] = {}
    for folder, made_of in FOLDERS.items():
        rules = {f"{group['name']}.yaml": _rule(group) for group in groups(made_of)}
        documents = rules | {"kustomization.yaml": _kustomization(resources=list(rules))}
        source = str(made_of.relative_to(ROOT))
        found |= {f"{folder}/{name}": written([each], source) for name, each in documents.items()}
    found["dashboards/kustomization.yaml"] = written([_dashboards()], "dashboards/json")
    return found


def _rule(group: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": group["name"], "labels": dict(LABELS)},
        "spec": {"groups": [dict(group)]},
    }


def _dashboards() -> dict[str, Any]:
    paths = dashboard_files()
    folder = ROOT / "dashboards"
    return _kustomization(
        generatorOptions={
            # The sidecar of Grafana knows a dashboard by its uid: a name that changes with the
            # content would have it there twice while both ConfigMaps exist.
            "disableNameSuffixHash": True,
            "labels": {**LABELS, "grafana_dashboard": "1"},
            "annotations": {"grafana_folder": FOLDER},
        },
        configMapGenerator=[
            {"name": path.stem, "files": [str(path.relative_to(folder))]} for path in paths
        ],
    )


def _kustomization(**fields: Any) -> dict[str, Any]:
    return {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", **fields}
