-- Small rows, a chain for each session, contents apart. The rows of 0001 are carried over by the program, which
-- computes their chain, and events_1 is dropped then (`cortex/stores/sqlite/carry.py`).

DROP TRIGGER events_are_never_changed;
DROP TRIGGER events_are_never_deleted;
DROP TRIGGER events_are_never_replaced;
DROP INDEX events_by_session;
DROP INDEX events_by_kind;
DROP INDEX events_by_trace;
ALTER TABLE events RENAME TO events_1;

-- What is written again and again: kinds, nodes, processes that have names, subjects.
CREATE TABLE names (
    id   INTEGER PRIMARY KEY,
    name TEXT    NOT NULL UNIQUE
) STRICT;

CREATE TABLE sessions (
    id        INTEGER PRIMARY KEY,
    name      TEXT    NOT NULL UNIQUE,
    events    INTEGER NOT NULL,
    first_seq INTEGER NOT NULL,
    last_seq  INTEGER NOT NULL,
    last_at   REAL    NOT NULL,
    digest    BLOB    NOT NULL              -- of its last event
) STRICT;

CREATE TABLE events (
    seq      INTEGER PRIMARY KEY,           -- the place in the journal, from 1, without gaps
    id       ANY     NOT NULL UNIQUE,       -- a ULID as its 16 bytes, another as text
    at       REAL    NOT NULL,              -- unix seconds, when the journal accepted it
    trace    ANY     NOT NULL,              -- of the first event of a trace, as id; of all others, that one's seq
    cause    ANY,                           -- the seq of the event with this id; as id if there is none
    node     INTEGER NOT NULL,              -- in names
    process  INTEGER NOT NULL,              -- in names; below 0: the pid <node.n> as -n
    session  INTEGER NOT NULL,              -- in sessions
    kind     INTEGER NOT NULL,              -- in names
    version  INTEGER NOT NULL,
    subject  INTEGER,                       -- in names
    payload  BLOB    NOT NULL,              -- packed, and sealed if it has a subject; stripped: its SHA-256
    stripped INTEGER NOT NULL,
    digest   BLOB    NOT NULL               -- of the session's chain up to this event
) STRICT;

-- An index row ends in the rowid, which is seq: each of these reads its events in order.
CREATE INDEX events_by_session ON events (session);
CREATE INDEX events_by_kind    ON events (kind);
CREATE INDEX events_by_trace   ON events (trace);

-- Long texts, each once.
CREATE TABLE contents (
    id   INTEGER PRIMARY KEY,
    hash BLOB    NOT NULL UNIQUE,
    size INTEGER NOT NULL,                  -- characters
    data BLOB    NOT NULL                   -- packed, and sealed if a subject's
) STRICT;

CREATE TABLE event_contents (
    seq     INTEGER NOT NULL,
    content INTEGER NOT NULL,
    PRIMARY KEY (seq, content)
) STRICT, WITHOUT ROWID;

-- Derived: folded states, one for each session and name.
CREATE TABLE snapshots (
    session INTEGER NOT NULL,
    name    TEXT    NOT NULL,
    version INTEGER NOT NULL,
    seq     INTEGER NOT NULL,
    digest  BLOB    NOT NULL,
    data    BLOB    NOT NULL,
    PRIMARY KEY (session, name)
) STRICT;

CREATE TABLE subject_keys (
    subject    TEXT    NOT NULL,
    generation INTEGER NOT NULL,
    wrapped    BLOB,                        -- NULL once destroyed
    PRIMARY KEY (subject, generation)
) STRICT, WITHOUT ROWID;

CREATE TABLE leases (
    name       TEXT    PRIMARY KEY,
    holder     TEXT    NOT NULL,            -- '' if it was let go
    token      INTEGER NOT NULL,
    expires_at REAL    NOT NULL,
    since      REAL    NOT NULL
) STRICT, WITHOUT ROWID;

-- For other programs: planaria's own connection has triggers off. It only adds, and strips payloads by the rules.
CREATE TRIGGER events_are_never_changed BEFORE UPDATE ON events
BEGIN SELECT RAISE(ABORT, 'the journal is append-only: an event is never changed'); END;

CREATE TRIGGER events_are_never_deleted BEFORE DELETE ON events
BEGIN SELECT RAISE(ABORT, 'the journal is append-only: an event is never deleted'); END;

CREATE TRIGGER events_are_never_added BEFORE INSERT ON events
BEGIN SELECT RAISE(ABORT, 'the journal is append-only: only planaria adds events, with their chain'); END;
