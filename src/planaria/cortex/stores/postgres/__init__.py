"""The journal in a PostgreSQL database; imported with asyncpg, when one is configured."""
