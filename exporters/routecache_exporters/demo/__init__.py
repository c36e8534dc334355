"""`routecache demo`: a router, its caches, Redis and the monitoring around them, on one machine."""
