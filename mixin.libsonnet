// The monitoring mixin: `jb install` of this repository, then `import 'routecache/mixin.libsonnet'`.
//
// It lies at the root because jb unpacks the folder that it is asked for and nothing beside it: from
// here the committed rules and dashboards are within reach, and are there once.
import 'deploy/mixin/mixin.libsonnet'
