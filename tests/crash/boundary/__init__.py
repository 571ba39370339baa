"""A node killed at every boundary between two events of a run, found by enumerating them, on each store."""
