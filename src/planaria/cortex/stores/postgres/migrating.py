"""Brings the tables in the schema `planaria` up to this program's."""

import planaria.cortex.stores.postgres.statements as sql
from planaria.cortex.stores.postgres.database import Connection
from planaria.cortex.stores.schema import load_migrations


async def apply_migrations(connection: Connection, version: int) -> None:
    """Run the migrations after `version`. In a transaction that has the lock for it."""
    for migration in load_migrations("postgres")[version:]:
        if migration.version == 1:
            await connection.execute(sql.FIRST)
        await connection.execute(migration.sql)
        await connection.execute(
            "INSERT INTO schema_migrations VALUES ($1, $2)", migration.version, migration.name
        )
