"""Processes that answer: the generic server, its typed handlers, and what is made of it."""
