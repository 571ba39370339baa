"""Processes apart from the node's heap: servers and functions in OS processes (workers) or threads of their own."""
