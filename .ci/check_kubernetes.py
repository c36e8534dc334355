"""Objects on standard input are what Kubernetes and the Prometheus operator know, field by field.

Runs in an environment of its own (requirements/kubernetes.txt), since the schemas are large.
"""

import sys

import kubernetes_validate
import yaml
from cloudcoil.models.prometheus_operator import v1

VERSIONS = ("1.32", "1.34", "1.37")
OPERATOR = {"PrometheusRule": v1.PrometheusRule, "ServiceMonitor": v1.ServiceMonitor}


def check(given: dict) -> None:
    """Raise an error if a field is wrong, missing or unknown."""
    if given["apiVersion"] == "monitoring.coreos.com/v1":
        model = OPERATOR[given["kind"]].model_validate(given)
        # The models pass over a field that they do not know: it is lost on the way back.
        back = model.model_dump(by_alias=True, exclude_unset=True, mode="json")
        if back != given:
            raise ValueError(f"understood as {back}")
    else:
        for version in VERSIONS:
            kubernetes_validate.validate(given, version, strict=True)


def main() -> int:
    objects = list(yaml.safe_load_all(sys.stdin))
    failed = 0
    for each in objects:
        try:
            check(each)
        except Exception as error:
            failed += 1
            print(f"{each['kind']} {each['metadata']['name']}: {error}", file=sys.stderr)
    kinds = sorted({each["kind"] for each in objects})
    print(f"{len(objects) - failed} of {len(objects)} objects are valid: {', '.join(kinds)}")
    return 1 if failed or not objects else 0


if __name__ == "__main__":
    sys.exit(main())
