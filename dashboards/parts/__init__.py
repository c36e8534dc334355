"""Panels by subject. A panel's id is part of links in alerts: it stays when the panel moves."""
