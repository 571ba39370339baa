"""The statements of the PostgreSQL store."""
# ruff: noqa: S608 - put together from constants; values are always bound

from collections.abc import Sequence
from typing import Any

from planaria.cortex.query import Query
from planaria.cortex.stores.postgres.rows import id_bytes

COLUMNS = (
    "e.seq, e.id, e.at, e.trace_id, e.cause_id, e.node, e.process, e.session, e.kind, e.payload,"
    " e.version, e.subject, e.digest, e.stripped"
)


READ_ONLY = "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean"
LONG = 600.0
"""Seconds for what reads a whole table."""
NO_HURRY = f"SET LOCAL statement_timeout = {int(LONG * 1000)}"
MISSING = """
SELECT string_agg(name, ', ') FROM unnest(ARRAY['names', 'events', 'sessions', 'contents', 'snapshots', 'subject_keys',
    'leases', 'secrets']) AS name WHERE to_regclass('planaria.' || name) IS NULL
"""
FIRST = """
CREATE SCHEMA planaria;
CREATE TABLE schema_migrations
    (version integer PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now());
"""
COMMIT_LOCK = "SELECT pg_advisory_xact_lock($1, 0)"
SESSIONS = """
SELECT n.name, s.events, s.first_seq, s.last_seq, s.last_at, s.digest
FROM sessions AS s JOIN names AS n ON n.id = s.session
WHERE n.name >= $1 AND n.name < $2 ORDER BY s.last_seq DESC LIMIT $3
"""
SAVE_SNAPSHOT = """
INSERT INTO snapshots (session, name, version, seq, digest, data)
SELECT e.session, $2, $3, e.seq, e.digest, $5 FROM events AS e
WHERE e.seq = $4 AND e.session = (SELECT n.id FROM names AS n WHERE n.name = $1)
AND ($6::bigint IS NULL OR $6 = (SELECT count(*) FROM subject_keys WHERE wrapped IS NULL))
ON CONFLICT (session, name) DO UPDATE
SET version = excluded.version, seq = excluded.seq, digest = excluded.digest, data = excluded.data
"""
LOAD_SNAPSHOT = """
SELECT s.seq, s.data FROM snapshots AS s
JOIN events AS e ON e.seq = s.seq AND e.session = s.session AND e.digest = s.digest
WHERE s.session = (SELECT n.id FROM names AS n WHERE n.name = $1) AND s.name = $2 AND s.version = $3
"""
SUBJECT_KEYS = """
SELECT subject, generation, wrapped FROM subject_keys
WHERE $1::bytea IS NULL OR subject = $1 ORDER BY subject, generation LIMIT $2
"""
PUT_KEY = "INSERT INTO subject_keys VALUES ($1, $2, $3) ON CONFLICT DO NOTHING"
GET_KEY = "SELECT wrapped FROM subject_keys WHERE subject = $1 AND generation = $2"
ERASURES = "SELECT count(*) FROM subject_keys WHERE wrapped IS NULL"
KEYS_LOCK = "SELECT pg_advisory_xact_lock($1, 2)"
DESTROY_KEYS = """
UPDATE subject_keys SET wrapped = NULL WHERE subject = $1 AND wrapped IS NOT NULL RETURNING generation
"""
SECRETS = (
    "SELECT name, sealed FROM secrets WHERE substring(name, 1, length($1::bytea)) = $1::bytea ORDER BY name"
)
PUT_SECRET = """
INSERT INTO secrets VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET sealed = excluded.sealed
"""
DROP_SECRET = "DELETE FROM secrets WHERE name = $1"
NOW = "extract(epoch FROM clock_timestamp())::double precision"
ACQUIRE = f"""
INSERT INTO leases AS l (name, holder, token, since, expires_at) VALUES ($1, $2, 1, {NOW}, {NOW} + $3)
ON CONFLICT (name) DO UPDATE
SET holder = excluded.holder, expires_at = excluded.expires_at,
    token = l.token + 1,
    since = CASE WHEN l.holder = excluded.holder AND l.expires_at > {NOW} THEN l.since ELSE excluded.since END
WHERE l.holder = excluded.holder OR l.expires_at <= {NOW}
RETURNING name, holder, token, since, expires_at
"""
RENEW = f"""
UPDATE leases SET expires_at = {NOW} + $3 WHERE name = $1 AND token = $2 AND holder = $4
RETURNING name, holder, token, since, expires_at
"""
RELEASE = "UPDATE leases SET expires_at = 0, holder = '' WHERE name = $1 AND token = $2"
LEASE = f"""
SELECT name, holder, token, since, expires_at FROM leases WHERE name = $1 AND expires_at > {NOW}
"""
STRIP = """
UPDATE events SET payload = sha256(payload), contents = '', stripped = true
WHERE seq = ANY ($1) AND NOT stripped RETURNING session
"""
REFERRED = """
SELECT substring(e.contents, n * 32 + 1, 32) AS hash
FROM events AS e, generate_series(0, length(e.contents) / 32 - 1) AS n WHERE e.contents <> '' AND e.seq > $1
"""
LAST_SEQ = "SELECT coalesce(max(seq), 0) FROM events"
UNREFERRED = f"SELECT hash FROM contents WHERE hash NOT IN ({REFERRED})"
SWEEP = f"DELETE FROM contents WHERE hash = ANY ($2) AND hash NOT IN ({REFERRED})"
SIZE = """
SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint
FROM pg_class AS c WHERE c.relnamespace = 'planaria'::regnamespace AND c.relkind = 'r'
"""
CHECK = """
SELECT format('places run to %s, but there are %s events', max(seq), count(*)) FROM events
HAVING count(*) <> coalesce(max(seq), 0)
UNION ALL
SELECT format('session %s counts %s events to place %s, but has %s to %s',
              convert_from(n.name, 'UTF8'), s.events, s.last_seq, e.count, e.max)
FROM (SELECT session, count(*), min(seq), max(seq) FROM events GROUP BY session) AS e
FULL JOIN sessions AS s USING (session)
LEFT JOIN names AS n ON n.id = coalesce(s.session, e.session)
LEFT JOIN events AS h ON h.seq = s.last_seq
WHERE (s.events, s.first_seq, s.last_seq, s.digest) IS DISTINCT FROM (e.count, e.min, e.max, h.digest)
UNION ALL
SELECT format('event %s refers to a content that is not here', e.seq)
FROM events AS e, generate_series(0, length(e.contents) / 32 - 1) AS n
WHERE e.contents <> '' AND NOT EXISTS (SELECT FROM contents WHERE hash = substring(e.contents, n * 32 + 1, 32))
UNION ALL
SELECT format('the index %s is not valid', indexrelid::regclass) FROM pg_index
WHERE NOT indisvalid AND indrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'planaria'::regnamespace)
"""


FIND = f"SELECT {COLUMNS} FROM events AS e WHERE e.id = $1"
FIND_ALL = f"SELECT {COLUMNS} FROM events AS e WHERE e.id = ANY ($1)"


def select(query: Query) -> tuple[str, list[Any]]:
    """The statement for a query, and its values.

    Each index but that of traces ends in `seq`, so that a read follows one and sorts nothing, however the planner's
    figures stand. Several kinds are read side by side and merged. A trace is gathered first and then sorted.
    """
    values: list[Any] = [_place(query.after_seq)]
    where = ["e.seq > $1"]

    def value(item: Any) -> str:
        values.append(item)
        return f"${len(values)}"

    if query.before_seq is not None:
        where.append(f"e.seq < {value(_place(query.before_seq))}")
    if query.before_at is not None:
        where.append(f"e.at < {value(query.before_at)}")
    if query.stripped is not None:
        where.append("e.stripped" if query.stripped else "NOT e.stripped")
    if query.session is not None:
        where.append(
            f"e.session {'+ 0 ' if query.trace_id is not None else ''}= {_number(value(query.session.encode()))}"
        )
    order = f"ORDER BY seq {'DESC' if query.newest_first else 'ASC'}"
    if query.limit is not None:
        order += f" LIMIT {value(_place(query.limit))}"
    kinds = [_number(value(kind.encode())) for kind in query.kinds]
    if query.trace_id is not None:
        where.append(f"e.trace_id = {value(id_bytes(query.trace_id))}")
        if kinds:
            where.append(f"e.kind + 0 IN ({', '.join(kinds)})")
        return f"SELECT * FROM ({_plain(where)} OFFSET 0) AS e {order}", values
    if query.session is not None or not kinds:
        if kinds:
            where.append(f"e.kind + 0 IN ({', '.join(kinds)})")
        return f"{_plain(where)} {order}", values
    one_each = [f"({_plain([*where, f'e.kind = {kind}'])} {order})" for kind in dict.fromkeys(kinds)]
    if len(one_each) == 1:
        return one_each[0], values
    return f"SELECT * FROM ({' UNION ALL '.join(one_each)}) AS e {order}", values


def _plain(where: Sequence[str]) -> str:
    return f"SELECT {COLUMNS} FROM events AS e WHERE {' AND '.join(where)}"


def _number(name: str) -> str:
    return f"(SELECT n.id FROM names AS n WHERE n.name = {name})"


def _place(number: int) -> int:
    """Within what the server can count; no place lies beyond."""
    return min(max(0, number), 2**63 - 1)
