"""Circuit breakers: one, the table of all for callers, and the process that keeps it."""
