"""The loop closed by a real Alertmanager: an alert takes a provider's entries, its end restores."""

import json
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from prometheus_client import CollectorRegistry

from routecache import RoutingCache, RoutingSettings
from routecache.routing.health import HealthReport
from routecache_exporters.demo.processes import Processes
from routecache_exporters.demo.stack import find_binaries, is_ready
from routecache_exporters.http import AlertmanagerHook, start_http_server
from routecache_exporters.ports import choose_port
from tests.helpers import eventually
from tests.monitoring.sources import DEPLOY, load
from tests.monitoring.test_alertmanager import amtool

EXAMPLE: Final = DEPLOY / "alertmanager" / "provider-health.example.yml"
TOKEN: Final = "a token for this test alone"

Send = Callable[..., None]

pytestmark = pytest.mark.needs("prometheus-alertmanager", "prometheus", "amtool")


@pytest.fixture
def routing() -> Iterator[RoutingCache]:
    with RoutingCache(RoutingSettings(enable_redis=False)) as made:
        yield made


@pytest.fixture
def send(routing: RoutingCache, tmp_path: Path) -> Iterator[Send]:
    """Alerts to an Alertmanager with the example's receiver, without the filter of its route."""
    token = tmp_path / "token"
    token.write_text(TOKEN)
    port, _ = choose_port(0, 0, "")
    url = f"http://127.0.0.1:{port}"
    hook = AlertmanagerHook(routing, token_file=token)
    with (
        Processes() as processes,
        start_http_server(port=0, registry=CollectorRegistry(), alertmanager=hook) as server,
    ):
        config = load(EXAMPLE)
        (receiver,) = config["receivers"][1]["webhook_configs"]
        receiver["url"] = f"{server.url}/hooks/alertmanager"
        receiver["http_config"]["authorization"]["credentials_file"] = str(token)
        (route,) = config["route"]["routes"]
        route |= {"group_wait": "0s", "group_interval": "1s", "matchers": ['provider!=""']}
        path = tmp_path / "alertmanager.yml"
        path.write_text(yaml.safe_dump(config))
        processes.start("alertmanager", [
            find_binaries().alertmanager, f"--config.file={path}",
            f"--storage.path={tmp_path}/data", f"--web.listen-address=127.0.0.1:{port}",
            "--cluster.listen-address=",
        ])  # fmt: skip
        assert eventually(lambda: is_ready(f"{url}/-/ready"), 30)

        def post(name: str, provider: str, *, ended: bool = False) -> None:
            now = datetime.now(UTC)
            alert: dict[str, Any] = {
                "labels": {"alertname": name, "provider": provider},
                "startsAt": (now - timedelta(minutes=1)).isoformat(),
            }
            if ended:
                alert["endsAt"] = (now - timedelta(seconds=1)).isoformat()
            request = urllib.request.Request(
                f"{url}/api/v2/alerts",
                json.dumps([alert]).encode(),
                {"Content-Type": "application/json"},
            )
            with urllib.request.urlopen(request, timeout=10) as answer:
                assert answer.status == 200

        yield post


def test_an_alert_takes_what_names_its_provider_and_its_end_restores(
    routing: RoutingCache, send: Send
) -> None:
    """And our own alert, which arrives in between, is no report."""
    routing.set_provider_status("openai", "up")
    routing.set_model_selection({"q": 1}, "m", providers=["openai"])
    routing.set_model_selection({"q": 2}, "n", providers=["azure"])
    send("ProviderErrorRateHigh", "openai")
    assert eventually(lambda: routing.provider_health() == {"openai": False}, 30)
    assert routing.get_provider_status("openai") is None
    assert routing.get_model_selection({"q": 1}) is None
    assert routing.get_model_selection({"q": 2}) == "n"
    (report,) = routing.provider_reports("openai")
    assert report == HealthReport(False, report.source, "ProviderErrorRateHigh")
    assert report.source.startswith("alertmanager:")

    # What our gauge now makes Prometheus say, for both: only the second one's alert is not ours.
    send("RouteCacheProviderUnhealthy", "openai")
    send("RouteCacheProviderUnhealthy", "azure")
    send("ProviderErrorRateHigh", "azure")
    assert eventually(lambda: routing.provider_health().get("azure") is False, 30)
    send("ProviderErrorRateHigh", "openai", ended=True)
    send("ProviderErrorRateHigh", "azure", ended=True)
    well = {"openai": True, "azure": True}
    assert eventually(lambda: routing.provider_health() == well, 30), "though ours still fires"
    assert [r.reason for r in routing.provider_reports("azure")] == ["ProviderErrorRateHigh"]
    routing.set_provider_status("openai", "up again")
    assert routing.get_provider_status("openai") == "up again"


def test_the_example_is_valid_and_keeps_our_own_alerts_out() -> None:
    amtool("check-config", str(EXAMPLE))
    for name, receivers in (
        ("ProviderErrorRateHigh", "provider-health"),
        ("RouteCacheProviderUnhealthy", "ticket"),
    ):
        labels = (f"alertname={name}", "provider=openai")
        found = amtool("config", "routes", "test", f"--config.file={EXAMPLE}", *labels)
        assert found == receivers
