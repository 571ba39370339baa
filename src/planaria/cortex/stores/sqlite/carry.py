"""Carrying the rows of the first schema over into the second: packed, long texts apart, with their chain."""

from collections.abc import Iterator
from itertools import batched
from typing import Any

import apsw
import msgspec

from planaria.cortex.codec.packing import pack
from planaria.cortex.codec.prepare import draft_of
from planaria.cortex.event import Event
from planaria.cortex.store import Draft
from planaria.cortex.stores.sqlite.writer import RowWriter

_from_json = msgspec.json.Decoder(dict[str, Any]).decode


def carry_over(connection: apsw.Connection) -> None:
    """Add the events of `events_1` to `events` at the same places, and drop it. In the migration's transaction."""
    writer = RowWriter(connection)
    rows = connection.execute("SELECT * FROM events_1 ORDER BY seq")
    for some in batched(_drafts(rows), 1000):
        writer.append([some], ())
    if connection.execute("SELECT coalesce(max(seq), 0) FROM events_1").get != writer.last_seq:
        raise apsw.CorruptError("the places of its events have gaps")
    connection.execute("DROP TABLE events_1")


def _drafts(rows: Iterator[tuple[Any, ...]]) -> Iterator[Draft]:
    for _, name, at, trace_id, cause_id, node, process, session, kind, text in rows:
        encoded = text.encode()
        try:
            payload = _from_json(encoded)
            event = Event(0, name, at, trace_id, cause_id, node, process, session, kind, payload)
            draft = draft_of(event, encoded, None)
        except (msgspec.DecodeError, RecursionError):
            # Damaged before: it stays so, and whoever reads it is told.
            draft = Draft(name, at, trace_id, cause_id, node, process, session, kind, pack(encoded))
        yield draft
