"""What `routecache.cached` makes of a function."""
