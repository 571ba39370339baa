"""Failure policy: breakers, budgets, guards, and what a restart changes."""
