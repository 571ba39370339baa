"""The live store: what is going on now, as bounded tables in memory."""
