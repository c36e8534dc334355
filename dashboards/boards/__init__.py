"""One module for each dashboard: which panels it has, and where."""
