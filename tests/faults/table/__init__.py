"""Every fault that is known, injected into a whole node over real sockets, and what came of it."""
