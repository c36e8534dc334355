"""What Redis itself says of our caches: how to have the Redis exporter count keys by prefix."""
