-- The journal in the schema `planaria`, in compact rows: what repeats is a number into `names`, an id is 16 bytes.
-- `journal` (the view below) shows it in words.

CREATE TABLE names (
    id   integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name bytea   NOT NULL UNIQUE            -- UTF-8; bytes, as text in PostgreSQL cannot have every character
);

CREATE TABLE events (
    seq      bigint           PRIMARY KEY,  -- the place in the journal, from 1, without gaps
    at       double precision NOT NULL,     -- unix seconds, when the journal accepted it
    session  integer          NOT NULL,     -- these five are numbers into `names`; subject 0 is nobody
    kind     integer          NOT NULL,
    node     integer          NOT NULL,
    process  integer          NOT NULL,
    subject  integer          NOT NULL,
    version  smallint         NOT NULL,
    stripped boolean          NOT NULL DEFAULT false,
    id       bytea            NOT NULL,     -- 16 bytes of a ULID, or FF and other text
    trace_id bytea            NOT NULL,
    cause_id bytea            NOT NULL,     -- empty for none
    digest   bytea            NOT NULL,     -- of the session's chain up to here
    contents bytea            NOT NULL,     -- the hashes of the contents it refers to, 32 bytes each
    payload  bytea            NOT NULL,     -- packed JSON, or sealed; if stripped, its SHA-256 alone
    CONSTRAINT events_by_id UNIQUE (id)
);

CREATE INDEX events_by_session ON events (session, seq);
CREATE INDEX events_by_kind    ON events (kind, seq);
CREATE INDEX events_by_trace   ON events USING hash (trace_id);

-- One row a session: the head of its chain, and what a list of sessions shows. Room is left for rows that grow old.
CREATE TABLE sessions (
    session   integer          PRIMARY KEY,
    events    bigint           NOT NULL,
    first_seq bigint           NOT NULL,
    last_seq  bigint           NOT NULL,
    last_at   double precision NOT NULL,
    digest    bytea            NOT NULL
) WITH (fillfactor = 70);

CREATE TABLE contents (
    hash bytea   PRIMARY KEY,
    size integer NOT NULL,                  -- characters
    data bytea   NOT NULL
);

-- Packed already, or sealed: the server need not try to compress them.
ALTER TABLE events   ALTER payload SET STORAGE EXTERNAL;
ALTER TABLE contents ALTER data    SET STORAGE EXTERNAL;

CREATE TABLE snapshots (
    session integer NOT NULL,
    name    bytea   NOT NULL,
    version integer NOT NULL,
    seq     bigint  NOT NULL,
    digest  bytea   NOT NULL,
    data    bytea   NOT NULL,
    PRIMARY KEY (session, name)
);

CREATE TABLE subject_keys (
    subject    bytea   NOT NULL,
    generation integer NOT NULL,
    wrapped    bytea,                       -- NULL once destroyed
    PRIMARY KEY (subject, generation)
);

CREATE TABLE leases (
    name       bytea            PRIMARY KEY,
    holder     text             NOT NULL,   -- empty if it was let go
    token      bigint           NOT NULL,
    since      double precision NOT NULL,   -- unix seconds by this server's clock, as all times here
    expires_at double precision NOT NULL
);

-- An event is never changed, but for the one honest change: its payload gives way to its own hash.
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF NEW.stripped AND NOT OLD.stripped AND NEW.payload = sha256(OLD.payload) AND NEW.contents = ''
            AND (NEW.seq, NEW.at, NEW.session, NEW.kind, NEW.node, NEW.process, NEW.subject, NEW.version, NEW.id,
                 NEW.trace_id, NEW.cause_id, NEW.digest)
              = (OLD.seq, OLD.at, OLD.session, OLD.kind, OLD.node, OLD.process, OLD.subject, OLD.version, OLD.id,
                 OLD.trace_id, OLD.cause_id, OLD.digest)
        THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'the journal is append-only: an event is never changed or deleted';
END $$;

CREATE TRIGGER events_are_never_changed BEFORE UPDATE OR DELETE ON events
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER events_are_never_emptied BEFORE TRUNCATE ON events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- One commit of the journal in one call. Commits follow each other under an advisory lock, which the server lets go
-- of after the commit is visible: so places have no gaps, and who sees a place sees all before it.
--
-- Everything is one array entry an event, but: `new_names`, to which a negative number of sessions, kinds, nodes,
-- processes or subjects points (-1 is the first); `grouped`, the positions of the events, those of one session next to
-- each other and in order; `hashes`, `sizes` and `texts`, the contents, NULL for a text that should be here already;
-- `fence_names` and `fence_tokens`.
--
-- Nothing is written, and `first_seq` is NULL, if any of these is not empty: `taken`, ids that are here already;
-- `stale`, positions of fences whose lease has another token; `missing`, contents that are not here.
CREATE FUNCTION append_events(
    new_names bytea[], sessions integer[], kinds integer[], nodes integer[], processes integer[], subjects integer[],
    versions smallint[], ats double precision[], ids bytea[], traces bytea[], causes bytea[], references_to bytea[],
    payloads bytea[], links bytea[], grouped integer[], hashes bytea[], sizes integer[], texts bytea[],
    fence_names bytea[], fence_tokens bigint[],
    OUT first_seq bigint, OUT taken bytea[], OUT stale integer[], OUT missing bytea[], OUT name_ids integer[]
) LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    place    integer;
    current  integer;
    head     bytea;
    digests  bytea[] := links;
    counts   integer[] := '{}';
    starts   integer[] := '{}';             -- for each session, the positions of its first and last event
    ends     integer[] := '{}';
    last_seq bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(1349280110, 0);

    IF cardinality(fence_names) > 0 THEN
        stale := ARRAY(
            SELECT f.place FROM unnest(fence_names, fence_tokens) WITH ORDINALITY AS f (name, token, place)
            LEFT JOIN leases AS l ON l.name = f.name WHERE l.token IS DISTINCT FROM f.token);
    END IF;
    taken := ARRAY(SELECT e.id FROM events AS e WHERE e.id = ANY (ids));
    IF cardinality(hashes) > 0 THEN
        missing := ARRAY(
            SELECT c.hash FROM unnest(hashes, texts) AS c (hash, text)
            WHERE c.text IS NULL AND NOT EXISTS (SELECT FROM contents AS k WHERE k.hash = c.hash));
    END IF;
    IF cardinality(taken) > 0 OR cardinality(stale) > 0 OR cardinality(missing) > 0 THEN
        RETURN;
    END IF;

    IF cardinality(new_names) > 0 THEN
        INSERT INTO names (name) SELECT unnest(new_names) ON CONFLICT DO NOTHING;
        name_ids := ARRAY(
            SELECT n.id FROM unnest(new_names) WITH ORDINALITY AS w (name, position)
            JOIN names AS n ON n.name = w.name ORDER BY w.position);
        sessions := resolve_names(sessions, name_ids);
        kinds := resolve_names(kinds, name_ids);
        nodes := resolve_names(nodes, name_ids);
        processes := resolve_names(processes, name_ids);
        subjects := resolve_names(subjects, name_ids);
    END IF;
    IF cardinality(hashes) > 0 THEN
        INSERT INTO contents (hash, size, data)
        SELECT * FROM unnest(hashes, sizes, texts) AS c (hash, size, text) WHERE c.text IS NOT NULL
        ON CONFLICT DO NOTHING;
    END IF;

    FOREACH place IN ARRAY grouped LOOP
        IF current IS DISTINCT FROM sessions[place] THEN
            current := sessions[place];
            SELECT s.digest INTO head FROM sessions AS s WHERE s.session = current;
            head := coalesce(head, decode(repeat('00', 16), 'hex'));
            starts := starts || place;
            ends := ends || place;
            counts := counts || 0;
        END IF;
        head := substring(sha256(head || links[place]), 1, 16);
        digests[place] := head;
        ends[cardinality(ends)] := place;
        counts[cardinality(counts)] := counts[cardinality(counts)] + 1;
    END LOOP;

    SELECT coalesce(max(e.seq), 0) INTO last_seq FROM events AS e;
    INSERT INTO events (seq, at, session, kind, node, process, subject, version,
                        id, trace_id, cause_id, digest, contents, payload)
    SELECT last_seq + u.position, u.at, u.session, u.kind, u.node, u.process, u.subject, u.version,
           u.id, u.trace_id, u.cause_id, u.digest, u.contents, u.payload
    FROM unnest(ats, sessions, kinds, nodes, processes, subjects, versions,
                ids, traces, causes, digests, references_to, payloads) WITH ORDINALITY
         AS u (at, session, kind, node, process, subject, version,
               id, trace_id, cause_id, digest, contents, payload, position);
    INSERT INTO sessions AS s (session, events, first_seq, last_seq, last_at, digest)
    SELECT sessions[u.finish], u.events, last_seq + u.start, last_seq + u.finish, ats[u.finish], digests[u.finish]
    FROM unnest(counts, starts, ends) AS u (events, start, finish)
    ON CONFLICT ON CONSTRAINT sessions_pkey DO UPDATE
    SET events = s.events + excluded.events, last_seq = excluded.last_seq, last_at = excluded.last_at,
        digest = excluded.digest;
    first_seq := last_seq + 1;
    PERFORM pg_notify('planaria', '');
END $$;

CREATE FUNCTION resolve_names(numbers integer[], name_ids integer[]) RETURNS integer[] LANGUAGE sql IMMUTABLE AS $$
    SELECT ARRAY(
        SELECT CASE WHEN n.number < 0 THEN name_ids[-n.number] ELSE n.number END
        FROM unnest(numbers) WITH ORDINALITY AS n (number, position) ORDER BY n.position)
$$;

-- An id as people write it.
CREATE FUNCTION id_text(id bytea) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    bits text := '00';
    word text := '';
BEGIN
    IF length(id) = 0 THEN
        RETURN NULL;
    ELSIF length(id) <> 16 THEN
        RETURN convert_from(trim(BOTH '\xff'::bytea FROM id), 'UTF8');
    END IF;
    FOR place IN 0..15 LOOP
        bits := bits || get_byte(id, place)::bit(8)::text;
    END LOOP;
    FOR place IN 0..25 LOOP
        word := word
            || substr('0123456789ABCDEFGHJKMNPQRSTVWXYZ', substr(bits, place * 5 + 1, 5)::bit(5)::integer + 1, 1);
    END LOOP;
    RETURN word;
END $$;

-- For people with psql: SELECT * FROM planaria.journal ORDER BY seq DESC LIMIT 20
CREATE VIEW journal AS
SELECT e.seq, to_timestamp(e.at) AS at, convert_from(s.name, 'UTF8') AS session, convert_from(k.name, 'UTF8') AS kind,
       convert_from(n.name, 'UTF8') AS node, convert_from(p.name, 'UTF8') AS process,
       convert_from(w.name, 'UTF8') AS subject, e.version, id_text(e.id) AS id, id_text(e.trace_id) AS trace_id,
       id_text(e.cause_id) AS cause_id, e.stripped,
       CASE WHEN substring(e.payload, 1, 1) = '{' AND NOT e.stripped THEN convert_from(e.payload, 'UTF8') END AS payload
FROM events AS e
JOIN names AS s ON s.id = e.session JOIN names AS k ON k.id = e.kind
JOIN names AS n ON n.id = e.node JOIN names AS p ON p.id = e.process
LEFT JOIN names AS w ON w.id = e.subject;
