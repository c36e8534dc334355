"""`routecache explain`, `inspect` and `clear`: a cache's keys in Redis, looked at from outside."""
