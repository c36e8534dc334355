"""Puts the deployed configuration into the wheel, so that an installed demo finds it.

Not into an editable install: there it would leave a second, half-empty `routecache_exporters` in
site-packages, while the demo reads the source tree's own `deploy/`.
"""

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class DeployedConfiguration(BuildHookInterface[Any]):
    """Maps deploy/ to routecache_exporters/_deploy/."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before it builds `version`, "standard" or "editable"."""
        if version == "standard":
            for part in (
                "prometheus/prometheus.yml",
                "prometheus/rules",
                "alertmanager",
                "runbooks",
            ):
                build_data["force_include"][f"deploy/{part}"] = (
                    f"routecache_exporters/_deploy/{part}"
                )
