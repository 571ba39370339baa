"""Whole nodes killed with SIGKILL at random moments, and what must be left of them."""
