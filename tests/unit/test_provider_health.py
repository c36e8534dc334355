"""The health of providers, as snapshots and /metrics tell of it."""

import pytest

from routecache import RoutingCache, RoutingSettings, snapshot
from routecache.registry import ProcessSnapshot
from routecache_exporters import RoutecacheCollector
from tests.snapshots import labels_of, scrape, value


@pytest.fixture
def settings() -> RoutingSettings:
    return RoutingSettings(enable_redis=False)


def test_a_provider_is_there_from_its_first_report_until_its_router_closes(
    settings: RoutingSettings,
) -> None:
    with RoutingCache(settings) as routing:
        assert "health.a" not in snapshot().providers
        routing.report_provider_health("health.a", healthy=True)
        assert snapshot().providers["health.a"] is True
        routing.report_provider_health("health.a", healthy=False)
        assert snapshot().providers["health.a"] is False
        routing.report_provider_health("health.a", healthy=True)
        assert snapshot().providers["health.a"] is True
    assert "health.a" not in snapshot().providers


def test_of_two_routers_the_one_that_says_unhealthy_is_heard(settings: RoutingSettings) -> None:
    with RoutingCache(settings) as one, RoutingCache(settings) as other:
        one.report_provider_health("health.b", healthy=True)
        other.report_provider_health("health.b", healthy=False)
        other.report_provider_health("health.c", healthy=True)
        providers = snapshot().providers
        assert (providers["health.b"], providers["health.c"]) == (False, True)


def test_a_router_that_was_dropped_without_being_closed_is_not_kept(
    settings: RoutingSettings,
) -> None:
    routing = RoutingCache(settings)
    routing.report_provider_health("health.d", healthy=True)
    del routing
    assert "health.d" not in snapshot().providers


def test_providers_beyond_the_bound_are_one_which_is_as_ill_as_its_worst() -> None:
    def exported(ill: str) -> dict[str, float | None]:
        reported = {f"p{i:02}": f"p{i:02}" != ill for i in range(20)}
        samples = scrape(RoutecacheCollector(lambda: ProcessSnapshot((), (), reported)))
        labels = labels_of(samples, "provider_healthy", "provider")
        return {p: value(samples, "provider_healthy", provider=p) for p in labels}

    assert len(exported("none")) == 17
    assert exported("none")["other"] == 1
    assert exported("p19")["other"] == 0
    assert exported("p03") == {**exported("none"), "p03": 0}
