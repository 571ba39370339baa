"""Requests to the outside, and what comes back from there."""
