// What Prometheus mixins give: prometheusAlerts, prometheusRules and grafanaDashboards, from the
// committed files, changed as `_config.routecache` says. Without changes they are those files.
(import 'config.libsonnet') +
(import 'rules.libsonnet') +
(import 'dashboards.libsonnet')
