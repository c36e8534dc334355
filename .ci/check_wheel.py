"""The wheel holds both packages with their data, and claims no name that is not ours."""

import sys
import zipfile

WANTED = (
    "routecache/__init__.py",
    "routecache/py.typed",
    "routecache/remote/lua/invalidate_tag.lua",
    "routecache_exporters/__init__.py",
    "routecache_exporters/py.typed",
    "routecache_exporters/pack/boards/routecache-overview.json",
    "routecache_exporters/web/page/status.css",
    "routecache_exporters/web/page/status.js",
    "routecache_exporters/_deploy/prometheus/prometheus.yml",
    "routecache_exporters/_deploy/prometheus/rules/routecache-scrape.yml",
    "routecache_exporters/_deploy/alertmanager/alertmanager.yml",
)


def main(path: str) -> int:
    names = zipfile.ZipFile(path).namelist()
    missing = [name for name in WANTED if name not in names]
    tops = {name.partition("/")[0] for name in names}
    foreign = {top for top in tops if top not in ("routecache", "routecache_exporters")}
    foreign = {top for top in foreign if not top.endswith(".dist-info")}
    if missing or foreign:
        print(f"{path}: lacks {missing}, claims {sorted(foreign)}", file=sys.stderr)
        return 1
    print(f"{path.rpartition('/')[2]}: {len(names)} files under {', '.join(sorted(tops))}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
