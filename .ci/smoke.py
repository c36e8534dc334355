"""The installed wheel serves a look-up and shows it on /metrics, without Redis."""

import urllib.request

import routecache
from routecache import RoutingCache, RoutingSettings
from routecache_exporters.http import start_http_server

assert "site-packages" in routecache.__file__, routecache.__file__
with (
    RoutingCache(RoutingSettings(enable_redis=False)) as cache,
    start_http_server(port=0) as server,
):
    for _ in range(3):
        assert cache.get_model_selection({"n": 1}, loader=lambda: "model") == "model"
    with urllib.request.urlopen(f"{server.url}/metrics", timeout=10) as answer:  # loopback
        text = answer.read().decode()
    assert 'routecache_hits_total{cache="model",tier="l1"} 2.0' in text, text
    assert 'routecache_misses_total{cache="model",reason="cold"} 1.0' in text, text
print("smoke test passed")
