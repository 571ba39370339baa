"""The outside seen by processes: sockets, streams, subprocesses, blocking calls."""
