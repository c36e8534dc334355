"""Replay of a request log through a `RoutingCache`: what would the caches do for this traffic?"""
