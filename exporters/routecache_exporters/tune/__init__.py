"""Which life times and sizes a request log is best served with."""
