"""`routecache exporter`: /metrics in a process of its own."""
