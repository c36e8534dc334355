"""The monitoring pack: recording rules, alerts, inhibitions, their pages, from one configuration.

`config.py` holds every number, name and address; rules, Alertmanager's inhibitions, dashboards,
docs/alerts.md and the tests read them there and nowhere else. `routecache rules --config FILE`
writes the rules for one's own.
"""
