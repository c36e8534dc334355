"""Alerts proved by their faults, on the real stack; `python -m bench.faults`, `make faults`."""
