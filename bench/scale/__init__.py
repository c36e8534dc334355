"""What a fleet of routers costs a Prometheus: many simulated targets, one real server."""
