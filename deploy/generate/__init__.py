"""What is written from the committed rules and dashboards, for other ways to install them.

`make manifests` writes it, `make check` compares it.
"""
