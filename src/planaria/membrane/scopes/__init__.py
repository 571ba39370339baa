"""Scopes: what of the world a grant covers, one file for each kind."""
