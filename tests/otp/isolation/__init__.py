"""Servers and functions in workers and threads: real OS processes."""
