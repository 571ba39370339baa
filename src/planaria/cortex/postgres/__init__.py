"""The parts of the PostgreSQL store, `cortex/stores/postgres.py`. Imported with asyncpg, when it is configured."""
