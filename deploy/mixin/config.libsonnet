// All under one name of its own, because mixins that are added up share one `_config`.
//
// Thresholds, windows and the labels to group by are inside of expressions, and are not changed here.
{
  _config+:: {
    routecache: {
      // How rules select the routers, and the Redis exporters. With `=~` or several labels,
      // RouteCacheMetricsAbsent has no `job` label to tell.
      selector: 'job="routecache"',
      redisSelector: 'job="redis"',

      // The groups to keep, by name, such as ['routecache-requests', 'routecache-l2']; null: all. A
      // group of alerts needs the recording rules that it reads.
      groups: null,
      // Groups to have beside them, which not everybody wants: 'routecache-providers' alerts on
      // providers that are reported unhealthy.
      optionalGroups: [],

      // Alerts to leave out, by name.
      disabledAlerts: [],
      // Labels that every alert gets; what an alert says itself wins.
      alertLabels: {},
      // Other waiting times, by alert, at all its severities: { RouteCacheL2Down: '5m' }.
      alertFor: {},

      // Where deploy/runbooks is served. null: by the Prometheus that evaluates the rules (its flag
      // --web.user-assets), as in the committed files.
      runbooksUrl: null,
      // Where Grafana is.
      grafanaUrl: 'http://localhost:3000',

      dashboardFolder: 'routecache',
      dashboardTitlePrefix: 'RouteCache / ',
      // By its tags a dashboard finds the others.
      dashboardTags: ['routecache'],
      dashboardRefresh: '30s',
      dashboardTimezone: 'browser',
      // The data source chosen at first, by name, and which may be chosen at all, as a regular
      // expression over names; null: Grafana's default, and every Prometheus.
      datasource: null,
      datasourceRegex: null,
    },
  },
}
