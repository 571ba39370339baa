"""The smaller tables of the SQLite store: snapshots, keys of subjects, leases, and keeping house.

Functions that write run in the writing thread inside a transaction; those that read get the reader.
"""

from collections.abc import Sequence

import apsw
import msgspec

from planaria.cortex.codec.chain import payload_hash
from planaria.cortex.store import Lease, Snapshot, SubjectKey
from planaria.cortex.stores.sqlite.reader import RowReader


def save_snapshot(connection: apsw.Connection, snapshot: Snapshot) -> bool:
    """See `EventStore.save_snapshot`."""
    connection.execute(
        "INSERT OR REPLACE INTO snapshots (session, name, version, seq, digest, data)"
        " SELECT s.id, ?1, ?2, e.seq, e.digest, ?3 FROM sessions s JOIN events e ON e.seq = ?4 AND e.session = s.id"
        " WHERE s.name = ?5"
        " AND (?6 IS NULL OR ?6 = (SELECT count(*) FROM subject_keys WHERE wrapped IS NULL))",
        (
            *(snapshot.name, snapshot.version, snapshot.data, snapshot.seq, snapshot.session),
            snapshot.erasures,
        ),
    )
    return connection.changes() == 1


def load_snapshot(reader: RowReader, session: str, name: str, version: int) -> Snapshot | None:
    """See `EventStore.load_snapshot`."""
    row = reader.connection.execute(
        "SELECT p.seq, p.data FROM sessions s JOIN snapshots p ON p.session = s.id"
        " JOIN events e ON e.seq = p.seq AND e.session = s.id AND e.digest = p.digest"
        " WHERE s.name = ? AND p.name = ? AND p.version = ?",
        (session, name, version),
    ).fetchone()
    return None if row is None else Snapshot(session, name, version, *row)


def subject_keys(reader: RowReader, subject: str | None, limit: int | None) -> list[SubjectKey]:
    """See `EventStore.subject_keys`."""
    rows = reader.connection.execute(
        "SELECT subject, generation, wrapped FROM subject_keys WHERE ?1 IS NULL OR subject = ?1"
        " ORDER BY subject, generation LIMIT ?2"
        if subject is None
        else "SELECT subject, generation, wrapped FROM subject_keys WHERE subject = ?1 ORDER BY generation LIMIT ?2",
        (subject, -1 if limit is None else limit),
    )
    return [SubjectKey(*row) for row in rows]


def erasures(reader: RowReader) -> int:
    """See `EventStore.erasures`."""
    count: int = reader.connection.execute("SELECT count(*) FROM subject_keys WHERE wrapped IS NULL").get
    return count


def put_subject_key(connection: apsw.Connection, key: SubjectKey) -> SubjectKey:
    """See `EventStore.put_subject_key`."""
    connection.execute(
        "INSERT OR IGNORE INTO subject_keys VALUES (?, ?, ?)", (key.subject, key.generation, key.wrapped)
    )
    wrapped = connection.execute(
        "SELECT wrapped FROM subject_keys WHERE subject = ? AND generation = ?", (key.subject, key.generation)
    ).get
    return SubjectKey(key.subject, key.generation, wrapped)


def destroy_subject_keys(connection: apsw.Connection, subject: str) -> int:
    """See `EventStore.destroy_subject_keys`."""
    connection.execute(
        "UPDATE subject_keys SET wrapped = NULL WHERE subject = ? AND wrapped IS NOT NULL", (subject,)
    )
    count = connection.changes()
    connection.execute("DELETE FROM snapshots")
    return count


def secrets(reader: RowReader, prefix: str) -> dict[str, bytes]:
    """See `EventStore.secrets`."""
    rows = reader.connection.execute(
        "SELECT name, sealed FROM secrets WHERE substr(name, 1, length(?1)) = ?1 ORDER BY name", (prefix,)
    )
    return {str(name): bytes(sealed) for name, sealed in rows}


def put_secret(connection: apsw.Connection, name: str, sealed: bytes | None) -> None:
    """See `EventStore.put_secret`."""
    if sealed is None:
        connection.execute("DELETE FROM secrets WHERE name = ?", (name,))
    else:
        connection.execute("INSERT OR REPLACE INTO secrets VALUES (?, ?)", (name, sealed))


def acquire_lease(
    connection: apsw.Connection, name: str, holder: str, ttl: float, now: float
) -> Lease | None:
    """See `EventStore.acquire_lease`."""
    row = connection.execute(
        "INSERT INTO leases (name, holder, token, expires_at, since) VALUES (?1, ?2, 1, ?3, ?4)"
        " ON CONFLICT (name) DO UPDATE SET"
        " token = token + 1,"
        " since = CASE WHEN expires_at > ?4 THEN since ELSE ?4 END,"
        " holder = ?2, expires_at = ?3 WHERE holder = ?2 OR expires_at <= ?4"
        " RETURNING token, expires_at, since",
        (name, holder, now + ttl, now),
    ).fetchone()
    return None if row is None else Lease(name, holder, *row)


def renew_lease(connection: apsw.Connection, lease: Lease, expires_at: float) -> Lease | None:
    """See `EventStore.renew_lease`."""
    connection.execute(
        "UPDATE leases SET expires_at = ? WHERE name = ? AND token = ? AND holder = ?",
        (expires_at, lease.name, lease.token, lease.holder),
    )
    if connection.changes() == 0:
        return None
    return msgspec.structs.replace(lease, expires_at=expires_at)


def held_lease(reader: RowReader, name: str, now: float) -> Lease | None:
    """See `EventStore.lease`."""
    row = reader.connection.execute(
        "SELECT holder, token, expires_at, since FROM leases WHERE name = ? AND expires_at > ?", (name, now)
    ).fetchone()
    return None if row is None else Lease(name, *row)


def release_lease(connection: apsw.Connection, lease: Lease) -> None:
    """See `EventStore.release_lease`."""
    connection.execute(
        "UPDATE leases SET holder = '', expires_at = 0 WHERE name = ? AND token = ? AND holder = ?",
        (lease.name, lease.token, lease.holder),
    )


def strip(connection: apsw.Connection, seqs: Sequence[int]) -> int:
    """See `EventStore.strip`."""
    count = 0
    for seq in seqs:
        row = connection.execute(
            "SELECT payload, session FROM events WHERE seq = ? AND stripped = 0", (seq,)
        ).fetchone()
        if row is None:
            continue
        payload, session = row
        connection.execute(
            "UPDATE events SET payload = ?, stripped = 1 WHERE seq = ?", (payload_hash(payload), seq)
        )
        connection.execute("DELETE FROM event_contents WHERE seq = ?", (seq,))
        connection.execute("DELETE FROM snapshots WHERE session = ?", (session,))
        count += 1
    return count


def sweep_contents(connection: apsw.Connection) -> int:
    """See `EventStore.sweep_contents`."""
    connection.execute("DELETE FROM contents WHERE id NOT IN (SELECT content FROM event_contents)")
    return connection.changes()


def check(connection: apsw.Connection) -> list[str]:
    """See `EventStore.check`."""
    problems = [str(row[0]) for row in connection.execute("PRAGMA integrity_check") if row[0] != "ok"]
    if problems:
        return problems
    ((first, last, count),) = connection.execute("SELECT min(seq), max(seq), count(*) FROM events").fetchall()
    if count and (first, last) != (1, count):
        problems.append(f"{count} events have places from {first} to {last}: some are missing")
    for name, last_seq, events, has in connection.execute(
        "SELECT s.name, s.last_seq, s.events, count(e.seq) FROM sessions s LEFT JOIN events e ON e.session = s.id"
        " GROUP BY s.id HAVING s.events <> count(e.seq) OR s.last_seq <> max(e.seq)"
        " OR s.digest <> (SELECT digest FROM events l WHERE l.seq = s.last_seq)"
    ):
        problems.append(f"session {name!r} has {has} events, where {events} up to {last_seq} were written")
    missing = connection.execute(
        "SELECT count(*) FROM event_contents WHERE content NOT IN (SELECT id FROM contents)"
    ).get
    if missing:
        problems.append(f"{missing} texts that events refer to are missing")
    return problems
