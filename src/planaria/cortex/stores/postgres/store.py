"""The journal in a PostgreSQL database, alone or together with other nodes.

Opened by the journal. A commit is one call of the function `append_events` (`cortex/migrations/postgres`): one round
trip, under a lock of the database, durable when it answers. Needs PostgreSQL 14 or later and the extra `postgres`
(asyncpg); connections must not pass through a pooler of transactions, which knows no LISTEN.
Does badly: each commit waits for the one before it, of other nodes too.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import planaria.cortex.stores.postgres.statements as sql
from planaria.cortex.errors import StoreDamaged, StoreFailed, StoreReadOnly, StoreTooNew
from planaria.cortex.query import Query
from planaria.cortex.store import (
    Draft,
    Fence,
    Lease,
    Outcome,
    SessionRow,
    Snapshot,
    Stored,
    SubjectKey,
)
from planaria.cortex.stores.postgres.appending import CALL, call_for, sort_out, written_already
from planaria.cortex.stores.postgres.backing_up import back_up
from planaria.cortex.stores.postgres.database import LOCK, Connection, Database
from planaria.cortex.stores.postgres.faults import ConnectionLost
from planaria.cortex.stores.postgres.loading import load
from planaria.cortex.stores.postgres.migrating import apply_migrations
from planaria.cortex.stores.postgres.rows import Names, id_bytes, id_text, learned, remains, stored
from planaria.cortex.stores.schema import load_migrations
from planaria.otp import run_blocking

_PAUSE = 0.2
"""Seconds between two tries to reach a server that is away."""
_MOST_CONTENTS = 50_000
"""Hashes remembered as sent."""


class PostgresStore:
    """An `EventStore` in the schema `planaria` of a database.

    Args:
        address: `postgresql://user@host/database`.
        database: instead of the address, for tests: connections with other limits.
        in_doubt: seconds to find out what became of a commit whose connection was lost; less than appenders wait.
        after: the store this one comes after, should its journal have been killed: its connections are ended.
    """

    def __init__(
        self,
        address: str,
        *,
        database: Database | None = None,
        in_doubt: float = 4.0,
        after: "PostgresStore | None" = None,
    ) -> None:
        self.database = database or Database(address)
        if after is not None:
            after.database.close()
            self.database.follow(after.database)
        self.in_doubt = in_doubt
        self._names = Names()
        self._contents: set[str] = set()
        self._losses = 0

    async def open(self) -> None:
        """See `EventStore.open`."""
        await self.close()
        await self.database.open()
        try:
            await self.migrate()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """See `EventStore.close`."""
        self.database.close()
        self._forget()

    def listen(self, notice: Callable[[], None]) -> None:
        """See `EventStore.listen`."""
        self.database.listen(notice)

    async def keep_listening(self) -> None:
        """See `EventStore.keep_listening`."""
        await self.database.keep_listening()

    async def migrate(self) -> int:
        """See `EventStore.migrate`. Nodes that start at once wait for each other here."""
        migrations = load_migrations("postgres")
        async with self.database.writing() as connection, connection.transaction():
            if await connection.fetchval(sql.READ_ONLY):
                mend = "connect to the server that takes writes"
                raise StoreReadOnly(f"{self.database.shown} can only be read", mend)
            await connection.execute("SELECT pg_advisory_xact_lock($1, 1)", LOCK)
            version = await self._version(connection)
            await apply_migrations(connection, version)
            missing = await connection.fetchval(sql.MISSING)
        if version > len(migrations):
            problem = (
                f"{self.database.shown} has schema {version}, this program knows only up to {len(migrations)}"
            )
            raise StoreTooNew(problem, "start the newer planaria that wrote it")
        if missing:
            mend = "restore it from a backup: planaria journal restore FILE --force"
            raise StoreDamaged(f"{self.database.shown} lacks tables of a journal: {missing}", mend)
        return len(migrations)

    async def _version(self, connection: Connection) -> int:
        if await connection.fetchval("SELECT to_regclass('planaria.schema_migrations') IS NULL"):
            return 0
        version: int = await connection.fetchval("SELECT coalesce(max(version), 0) FROM schema_migrations")
        return version

    # --- events ------------------------------------------------------------------------------------------------

    async def append(
        self, batch: Sequence[Sequence[Draft]], fences: Sequence[Fence | None] = ()
    ) -> list[Outcome]:
        """See `EventStore.append`.

        A commit whose connection is lost before the answer may be there or not. Said once more it is there for sure:
        the ids tell which of its appends the first try has written. A server that restarts is waited for.
        """
        try:
            return await self._append(batch, fences, again=False)
        except ConnectionLost:
            give_up = time.monotonic() + self.in_doubt
        while True:
            try:
                return await self._append(batch, fences, again=True)
            except StoreFailed:
                if time.monotonic() > give_up:
                    raise
                await run_blocking(time.sleep, _PAUSE)

    async def _append(
        self, batch: Sequence[Sequence[Draft]], fences: Sequence[Fence | None], *, again: bool
    ) -> list[Outcome]:
        there: dict[int, int] = {}
        taken: frozenset[str] = frozenset()
        stale: frozenset[Fence] = frozenset()
        async with self.database.writing() as connection:
            names = self._memory()
            while True:
                # Again only after a refusal, which is rare: each time something is known that was not.
                found = sort_out(batch, fences, taken, stale, there)
                if not found.going:
                    return found.written(batch, 0)
                drafts = [draft for place in found.going for draft in batch[place]]
                own = list(
                    {fence for fence in (fences[n] for n in found.going if fences) if fence is not None}
                )
                call = call_for(drafts, own, names.numbers, self._contents)
                answer = await connection.fetchrow(CALL, *call.arguments)
                first_seq: int | None = answer["first_seq"]
                if first_seq is not None:
                    names.learn(zip(call.new_names, answer["name_ids"] or (), strict=True))
                    self._remember(call.hashes)
                    return found.written(batch, first_seq)
                if again and answer["taken"]:
                    rows = await connection.fetch(sql.FIND_ALL, answer["taken"])
                    there |= written_already(batch, await self._events(connection, rows))
                taken |= {id_text(taken_id) for taken_id in answer["taken"]}
                stale |= {own[place - 1] for place in answer["stale"] or ()}
                self._contents.difference_update(digest.hex() for digest in answer["missing"] or ())

    async def read(self, query: Query) -> list[Stored]:
        """See `EventStore.read`."""
        statement, values = sql.select(query)
        return await self._select(statement, *values, as_found=query.as_found)

    async def find(self, id: str) -> Stored | None:
        """See `EventStore.find`."""
        found = await self._select(sql.FIND, id_bytes(id))
        return found[0] if found else None

    async def _select(self, statement: str, *values: Any, as_found: bool = False) -> list[Stored]:
        async def work(connection: Connection) -> list[Stored]:
            rows = await connection.fetch(statement, *values)
            return await self._events(connection, rows, as_found=as_found)

        return await self.database.read(work)

    async def _fetch(self, statement: str, *values: Any) -> list[Any]:
        """The rows of a statement that only reads."""

        async def work(connection: Connection) -> list[Any]:
            rows: list[Any] = await connection.fetch(statement, *values)
            return rows

        return await self.database.read(work)

    async def _events(
        self, connection: Connection, rows: Sequence[Any], *, as_found: bool = False
    ) -> list[Stored]:
        names = self._memory()  # this one throughout: another may take its place meanwhile
        unknown = names.unknown(rows)
        if unknown:
            pairs = await connection.fetch("SELECT name, id FROM names WHERE id = ANY ($1)", list(unknown))
            names.learn(learned(pairs))
        events: list[Stored] = []
        for row in rows:
            try:
                events.append(stored(row, names.texts))
            except (ValueError, LookupError) as error:  # changed by another program
                if not as_found:
                    problem = f"{self.database.shown} is damaged: event {row[0]} cannot be told"
                    raise StoreDamaged(problem, "restore it from a copy") from error
                events.append(remains(row, names.texts))
        return events

    async def contents(self, hashes: Sequence[str]) -> dict[str, bytes]:
        """See `EventStore.contents`."""
        wanted = [bytes.fromhex(digest) for digest in hashes]
        rows = await self._fetch("SELECT hash, data FROM contents WHERE hash = ANY ($1)", wanted)
        return {digest.hex(): data for digest, data in rows}

    async def sessions(self, prefix: str = "", limit: int | None = None) -> list[SessionRow]:
        """See `EventStore.sessions`."""
        start = prefix.encode()
        rows = await self._fetch(sql.SESSIONS, start, start + b"\xff", limit)
        return [SessionRow(name.decode(errors="replace"), *rest) for name, *rest in rows]

    # --- snapshots ---------------------------------------------------------------------------------------------

    async def save_snapshot(self, snapshot: Snapshot) -> bool:
        """See `EventStore.save_snapshot`."""
        session, name = snapshot.session.encode(), snapshot.name.encode()
        async with self.database.reading() as connection, connection.transaction():
            await connection.execute(sql.KEYS_LOCK, LOCK)  # no erasure goes on meanwhile
            done: str = await connection.execute(
                sql.SAVE_SNAPSHOT,
                session,
                name,
                snapshot.version,
                snapshot.seq,
                snapshot.data,
                snapshot.erasures,
            )
        return done == "INSERT 0 1"

    async def load_snapshot(self, session: str, name: str, version: int) -> Snapshot | None:
        """See `EventStore.load_snapshot`."""
        rows = await self._fetch(sql.LOAD_SNAPSHOT, session.encode(), name.encode(), version)
        return None if not rows else Snapshot(session, name, version, *rows[0])

    # --- keys of subjects --------------------------------------------------------------------------------------

    async def subject_keys(self, subject: str | None = None, limit: int | None = None) -> list[SubjectKey]:
        """See `EventStore.subject_keys`."""
        wanted = None if subject is None else subject.encode()
        rows = await self._fetch(sql.SUBJECT_KEYS, wanted, limit)
        return [SubjectKey(name.decode(), generation, wrapped) for name, generation, wrapped in rows]

    async def erasures(self) -> int:
        """See `EventStore.erasures`."""
        count: int = (await self._fetch(sql.ERASURES))[0][0]
        return count

    async def put_subject_key(self, key: SubjectKey) -> SubjectKey:
        """See `EventStore.put_subject_key`."""
        async with self.database.reading() as connection:
            await connection.execute(sql.PUT_KEY, key.subject.encode(), key.generation, key.wrapped)
            wrapped = await connection.fetchval(sql.GET_KEY, key.subject.encode(), key.generation)
        return SubjectKey(key.subject, key.generation, wrapped)

    async def destroy_subject_keys(self, subject: str) -> int:
        """See `EventStore.destroy_subject_keys`. The server's log of changes, replicas and backups keep them longer."""
        async with self.database.reading() as connection:
            async with connection.transaction():
                await connection.execute(sql.KEYS_LOCK, LOCK)
                rows = await connection.fetch(sql.DESTROY_KEYS, subject.encode())
                await connection.execute("DELETE FROM snapshots")
            # Rows that were overwritten stay in a table's file until it is written anew.
            await connection.execute("VACUUM FULL subject_keys")
            await connection.execute("VACUUM FULL snapshots")
        return len(rows)

    # --- secrets -----------------------------------------------------------------------------------------------

    async def secrets(self, prefix: str = "") -> dict[str, bytes]:
        """See `EventStore.secrets`."""
        rows = await self._fetch(sql.SECRETS, prefix.encode())
        return {name.decode(): sealed for name, sealed in rows}

    async def put_secret(self, name: str, sealed: bytes | None) -> None:
        """See `EventStore.put_secret`."""
        async with self.database.reading() as connection:
            if sealed is None:
                await connection.execute(sql.DROP_SECRET, name.encode())
            else:
                await connection.execute(sql.PUT_SECRET, name.encode(), sealed)

    # --- leases ------------------------------------------------------------------------------------------------

    async def acquire_lease(self, name: str, holder: str, ttl: float) -> Lease | None:
        """See `EventStore.acquire_lease`. Under the lock of commits: none is under way with the token before."""
        async with self.database.reading() as connection, connection.transaction():
            await connection.execute(sql.COMMIT_LOCK, LOCK)
            row = await connection.fetchrow(sql.ACQUIRE, name.encode(), holder, ttl)
        return None if row is None else _lease(row)

    async def renew_lease(self, lease: Lease, ttl: float) -> Lease | None:
        """See `EventStore.renew_lease`."""
        async with self.database.reading() as connection:
            row = await connection.fetchrow(sql.RENEW, lease.name.encode(), lease.token, ttl, lease.holder)
        return None if row is None else _lease(row)

    async def release_lease(self, lease: Lease) -> None:
        """See `EventStore.release_lease`."""
        async with self.database.reading() as connection:
            await connection.execute(sql.RELEASE, lease.name.encode(), lease.token)

    async def lease(self, name: str) -> Lease | None:
        """See `EventStore.lease`."""
        rows = await self._fetch(sql.LEASE, name.encode())
        return None if not rows else _lease(rows[0])

    # --- keeping house -----------------------------------------------------------------------------------------

    async def strip(self, seqs: Sequence[int]) -> int:
        """See `EventStore.strip`."""
        async with self.database.reading() as connection, connection.transaction():
            await connection.execute(sql.COMMIT_LOCK, LOCK)
            sessions = await connection.fetch(sql.STRIP, list(seqs))
            await connection.execute(
                "DELETE FROM snapshots WHERE session = ANY ($1)", list({row[0] for row in sessions})
            )
        return len(sessions)

    async def sweep_contents(self) -> int:
        """See `EventStore.sweep_contents`."""
        async with self.database.reading(sql.LONG) as connection:
            # Commits go on while the table is read; what they refer to is looked at again under their lock.
            async with connection.transaction():
                await connection.execute(sql.NO_HURRY)
                last_seq = await connection.fetchval(sql.LAST_SEQ)
                found = [row[0] for row in await connection.fetch(sql.UNREFERRED, 0)]
            async with connection.transaction():
                await connection.execute(sql.COMMIT_LOCK, LOCK)
                done: str = await connection.execute(sql.SWEEP, last_seq, found)
        self._contents.clear()
        return int(done.rpartition(" ")[2])

    async def check(self) -> list[str]:
        """See `EventStore.check`."""
        async with self.database.reading(sql.LONG) as connection, connection.transaction():
            await connection.execute(sql.NO_HURRY)
            return [row[0] for row in await connection.fetch(sql.CHECK)]

    async def backup(self, path: Path) -> None:
        """See `EventStore.backup`: a journal's file of the SQLite store."""
        await back_up(self.database, path)

    async def load(
        self, file: Path, aside: str, *, holder: str, replace: bool, progress: Callable[[int, int], object]
    ) -> str | None:
        """See `LoadingStore.load`: the schema before is renamed."""
        await self.close()
        await self.database.open()
        try:
            return await load(self.database, file, aside, holder=holder, replace=replace, progress=progress)
        finally:
            await self.close()

    async def size(self) -> int:
        """See `EventStore.size`."""
        async with self.database.reading() as connection:
            found: int = await connection.fetchval(sql.SIZE)
        return found

    # --- what is remembered ------------------------------------------------------------------------------------

    def _memory(self) -> Names:
        """What was learned through a connection that is gone may be wrong: the database may be another by now."""
        if self._losses != self.database.losses:
            self._forget()
            self._losses = self.database.losses
        self._names.trim()
        return self._names

    def _forget(self) -> None:
        self._names = Names()
        self._contents = set()

    def _remember(self, hashes: Sequence[str]) -> None:
        if len(self._contents) > _MOST_CONTENTS:
            self._contents.clear()
        self._contents.update(hashes)


def _lease(row: Sequence[Any]) -> Lease:
    name, holder, token, since, expires_at = row
    return Lease(name.decode(), holder, token, expires_at, since)
