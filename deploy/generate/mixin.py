"""The list of files that the mixin imports: Jsonnet has no glob."""

from pathlib import Path

from deploy.generate.sources import (
    DEPLOY,
    NOTICE,
    OPTIONAL,
    ROOT,
    dashboard_files,
    rule_files,
)


def files() -> dict[str, str]:
    """What belongs into deploy/mixin, by path from the root."""
    up = "../" * len(DEPLOY.relative_to(ROOT).parts) + "../"

    def texts(paths: list[Path]) -> str:
        return "".join(f"    importstr '{up}{path.relative_to(ROOT)}',\n" for path in paths)

    dashboards = [
        f"    '{path.name}': import '{up}{path.relative_to(ROOT)}',\n" for path in dashboard_files()
    ]
    text = (
        f"// {NOTICE}\n{{\n  rules: [\n{texts(rule_files())}  ],\n"
        f"  optional: [\n{texts(rule_files(OPTIONAL))}  ],\n"
        f"  dashboards: {{\n{''.join(dashboards)}  }},\n}}\n"
    )
    return {"deploy/mixin/files.libsonnet": text}
