"""The one way a tool is called, whoever calls."""
