"""Memory of what happened: the journal of events, its store, and ways to read it."""
