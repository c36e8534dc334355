"""The exporter's web surface; import it from `routecache_exporters.http`."""
