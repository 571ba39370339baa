"""Workflows: deterministic graphs of tool calls.

Each step calls a tool, and its outcome picks the next step. No model decides the route.
"""
