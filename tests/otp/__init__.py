"""The kernel's promises, and the scenarios recorded from a real Erlang."""
