local files = import 'files.libsonnet';

local variable(given, variable) = variable + (
  if variable.type == 'datasource' then
    {
      [if given.datasource != null then 'current']: { text: given.datasource, value: given.datasource },
      [if given.datasourceRegex != null then 'regex']: given.datasourceRegex,
    }
  else if variable.name == 'runbooks' && given.runbooksUrl != null then
    { query: given.runbooksUrl }
  else {}
);

local changed(given, dashboard) = dashboard {
  tags: given.dashboardTags,
  links: [
    // The drop-down of all dashboards with these tags.
    link + (if link.type == 'dashboards' then { tags: given.dashboardTags } else {})
    for link in super.links
  ],
  refresh: given.dashboardRefresh,
  timezone: given.dashboardTimezone,
  title: std.strReplace(super.title, 'RouteCache / ', given.dashboardTitlePrefix),
  templating+: { list: [variable(given, each) for each in super.list] },
};

{
  grafanaDashboardFolder:: $._config.routecache.dashboardFolder,
  grafanaDashboards+:: std.mapWithKey(
    function(name, dashboard) changed($._config.routecache, dashboard),
    files.dashboards
  ),
}
