"""The journal in one SQLite file: the default store."""
