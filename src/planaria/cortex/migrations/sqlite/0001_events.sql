-- The journal: one row an event, never changed, never deleted.

CREATE TABLE events (
    seq      INTEGER PRIMARY KEY,           -- the place in the journal, from 1, without gaps
    id       TEXT    NOT NULL UNIQUE,
    at       REAL    NOT NULL,              -- unix seconds, when the journal accepted it
    trace_id TEXT    NOT NULL,
    cause_id TEXT,
    node     TEXT    NOT NULL,
    process  TEXT    NOT NULL,
    session  TEXT    NOT NULL,
    kind     TEXT    NOT NULL,
    payload  TEXT    NOT NULL               -- a JSON object, secrets masked
) STRICT;

-- An index row ends in the rowid, which is seq: each of these reads its events in order.
CREATE INDEX events_by_session ON events (session);
CREATE INDEX events_by_kind    ON events (kind);
CREATE INDEX events_by_trace   ON events (trace_id);

CREATE TRIGGER events_are_never_changed BEFORE UPDATE ON events
BEGIN SELECT RAISE(ABORT, 'the journal is append-only: an event is never changed'); END;

CREATE TRIGGER events_are_never_deleted BEFORE DELETE ON events
BEGIN SELECT RAISE(ABORT, 'the journal is append-only: an event is never deleted'); END;

-- INSERT OR REPLACE would delete without the trigger above.
CREATE TRIGGER events_are_never_replaced BEFORE INSERT ON events
WHEN EXISTS (SELECT 1 FROM events WHERE seq = NEW.seq) OR EXISTS (SELECT 1 FROM events WHERE id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'the journal is append-only: an event is never replaced'); END;
