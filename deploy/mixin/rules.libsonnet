local files = import 'files.libsonnet';

local parsed(texts) = std.flattenArrays([std.parseYaml(text).groups for text in texts]);
local committed = parsed(files.rules);
local optional = parsed(files.optional);
local isAlert(rule) = std.objectHas(rule, 'alert');
local namesOf(groups) = [group.name for group in groups];
local alertNames = std.set([
  rule.alert
  for group in committed + optional
  for rule in group.rules
  if isAlert(rule)
]);

// Where the committed files look for what may be elsewhere.
local here = {
  selector: 'job="routecache"',
  redisSelector: 'job="redis"',
  runbooksUrl: '{{ $externalURL }}/user',
  grafanaUrl: 'http://localhost:3000',
};

// A name that is misspelt would be ignored without a word.
local checked(what, names, known) =
  local wrong = [name for name in names if !std.member(known, name)];
  assert std.length(wrong) == 0 : '_config.routecache.%s: unknown: %s' % [what, std.join(', ', wrong)];
  names;

local defaults = (import 'config.libsonnet')._config.routecache;

local withConfig(given) =
  assert std.length(checked('', std.objectFieldsAll(given), std.objectFieldsAll(defaults))) > 0;
  local disabled = checked('disabledAlerts', given.disabledAlerts, alertNames);
  local waits = { [name]: given.alertFor[name] for name in checked('alertFor', std.objectFields(given.alertFor), alertNames) };
  local groups =
    (if given.groups == null then namesOf(committed) else checked('groups', given.groups, namesOf(committed)))
    + checked('optionalGroups', given.optionalGroups, namesOf(optional));

  local selected(expr) = std.strReplace(
    std.strReplace(expr, here.selector, given.selector),
    here.redisSelector,
    given.redisSelector
  );

  local annotation(name, text) =
    if name == 'runbook_url' && given.runbooksUrl != null
    then std.strReplace(text, here.runbooksUrl, given.runbooksUrl)
    else if name == 'dashboard_url'
    then std.strReplace(text, here.grafanaUrl, given.grafanaUrl)
    else text;

  local changed(rule) = rule { expr: selected(rule.expr) } + (
    if !isAlert(rule) then {}
    else {
      labels: given.alertLabels + rule.labels,
      annotations: std.mapWithKey(annotation, rule.annotations),
      [if std.objectHas(waits, rule.alert) then 'for']: waits[rule.alert],
    }
  );

  [
    group {
      rules: [
        changed(rule)
        for rule in group.rules
        if !(isAlert(rule) && std.member(disabled, rule.alert))
      ],
    }
    for group in committed + optional
    if std.member(groups, group.name)
  ];

// The rules of each group that `wanted` takes. Of a group that has others, too, `suffix` tells the
// two parts apart: they may come together in one file, where each name may be there once.
local parts(groups, wanted, suffix) = [
  group {
    name: group.name + (if std.length(rules) < std.length(group.rules) then suffix else ''),
    rules: rules,
  }
  for group in groups
  for rules in [std.filter(wanted, group.rules)]
  if std.length(rules) > 0
];

{
  local groups = withConfig($._config.routecache),

  prometheusAlerts+:: { groups+: parts(groups, isAlert, '-alerts') },
  prometheusRules+:: { groups+: parts(groups, function(rule) !isAlert(rule), '') },
}
