"""Planaria: a self-hosted supervised runtime for AI agents.

Read `planaria.node` for the whole supervision tree, then `planaria.otp` for the kernel below it.
"""

__version__ = "0.1.0"
