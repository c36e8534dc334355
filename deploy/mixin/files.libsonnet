// Written by `make manifests`: change what it is written from, and run it again.
{
  rules: [
    importstr '../../deploy/prometheus/rules/routecache-alerts.yml',
    importstr '../../deploy/prometheus/rules/routecache-recording.yml',
  ],
  dashboards: {
    'routecache-overview.json': import '../../dashboards/json/routecache-overview.json',
    'routecache-redis.json': import '../../dashboards/json/routecache-redis.json',
  },
}
