"""Agents: a record becomes a supervised subtree; each session is a process that thinks, acts and never blocks."""
