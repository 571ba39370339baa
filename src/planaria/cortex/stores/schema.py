"""The numbered migrations of a store's schema, from `cortex/migrations/<dialect>/0001_name.sql`."""

import re
from importlib.resources import files

import msgspec


class Migration(msgspec.Struct, frozen=True):
    """One step of a schema. `sql` may hold several statements; it runs in one transaction with its own record."""

    version: int
    name: str
    sql: str


_FILE = re.compile(r"(\d{4})_(\w+)\.sql")


def load_migrations(dialect: str) -> list[Migration]:
    """All migrations of a dialect in order of their numbers, which run from 1 without gaps."""
    found: list[Migration] = []
    for file in files("planaria.cortex").joinpath("migrations", dialect).iterdir():
        if match := _FILE.fullmatch(file.name):
            found.append(Migration(int(match[1]), match[2], file.read_text(encoding="utf-8")))
    found.sort(key=lambda migration: migration.version)
    if [migration.version for migration in found] != list(range(1, len(found) + 1)):
        raise ValueError(f"migrations of {dialect!r} must be numbered from 0001 without gaps or doubles")
    return found
