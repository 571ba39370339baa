"""Asking a search service: what is asked, what comes back, and how each service is spoken to."""
