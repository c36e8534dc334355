// Written by `make manifests`: change what it is written from, and run it again.
{
  rules: [
    importstr '../../deploy/prometheus/rules/routecache-capacity.yml',
    importstr '../../deploy/prometheus/rules/routecache-coherence.yml',
    importstr '../../deploy/prometheus/rules/routecache-freshness-slo.yml',
    importstr '../../deploy/prometheus/rules/routecache-l2.yml',
    importstr '../../deploy/prometheus/rules/routecache-latency-slo.yml',
    importstr '../../deploy/prometheus/rules/routecache-loaders.yml',
    importstr '../../deploy/prometheus/rules/routecache-lookup-slo.yml',
    importstr '../../deploy/prometheus/rules/routecache-redis.yml',
    importstr '../../deploy/prometheus/rules/routecache-requests.yml',
    importstr '../../deploy/prometheus/rules/routecache-scrape.yml',
    importstr '../../deploy/prometheus/rules/routecache-silent.yml',
  ],
  optional: [
    importstr '../../deploy/prometheus/optional/routecache-providers.yml',
  ],
  dashboards: {
    'routecache-cache.json': import '../../dashboards/json/routecache-cache.json',
    'routecache-coherence.json': import '../../dashboards/json/routecache-coherence.json',
    'routecache-exporter.json': import '../../dashboards/json/routecache-exporter.json',
    'routecache-l1.json': import '../../dashboards/json/routecache-l1.json',
    'routecache-loaders.json': import '../../dashboards/json/routecache-loaders.json',
    'routecache-overview.json': import '../../dashboards/json/routecache-overview.json',
    'routecache-redis.json': import '../../dashboards/json/routecache-redis.json',
  },
}
