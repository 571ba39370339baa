"""Figures of a node for Prometheus."""
