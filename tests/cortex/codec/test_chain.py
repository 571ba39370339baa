"""The chain: whatever is changed, left out, put in or moved shows, and nothing else does."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planaria.cortex.codec.chain import DIGEST_SIZE, START, first_break, follows, link, payload_hash
from planaria.cortex.store import Draft, Stored

TEXTS = st.text(max_size=20)
DRAFTS = st.builds(
    Draft,
    id=TEXTS,
    at=st.floats(allow_nan=False),
    trace_id=TEXTS,
    cause_id=st.none() | TEXTS,
    node=TEXTS,
    process=TEXTS,
    session=TEXTS,
    kind=TEXTS,
    payload=st.binary(max_size=60),
    version=st.integers(1, 99),
    subject=TEXTS,
)
HEADER = ("id", "at", "trace_id", "cause_id", "node", "process", "session", "kind", "version", "subject")


def stored(drafts: list[Draft]) -> list[Stored]:
    events: list[Stored] = []
    before = START
    for seq, draft in enumerate(drafts, start=1):
        fields: dict[str, Any] = msgspec.structs.asdict(draft)
        del fields["contents"], fields["header"]
        before = link(before, draft)
        events.append(Stored(seq=seq, digest=before, **fields))
    return events


@settings(deadline=None)  # the machine may be busy
@given(st.lists(DRAFTS, max_size=6))
def test_what_was_written_follows(drafts: list[Draft]) -> None:
    events = stored(drafts)
    assert first_break(START, events) is None
    assert all(len(event.digest) == DIGEST_SIZE for event in events)


@settings(deadline=None)
@given(st.lists(DRAFTS, min_size=1, max_size=6), DRAFTS, st.data())
def test_any_change_of_any_field_breaks_it_there(
    drafts: list[Draft], other: Draft, data: st.DataObject
) -> None:
    events = stored(drafts)
    place = data.draw(st.integers(0, len(events) - 1))
    field = data.draw(st.sampled_from((*HEADER, "payload")))
    changed = msgspec.structs.replace(events[place], **{field: getattr(other, field)})
    expected = None if repr(changed) == repr(events[place]) else changed
    assert first_break(START, [*events[:place], changed, *events[place + 1 :]]) is expected


@settings(deadline=None)
@given(st.lists(DRAFTS, min_size=2, max_size=6, unique_by=lambda draft: draft.id), st.data())
def test_what_is_left_out_or_moved_breaks_it(drafts: list[Draft], data: st.DataObject) -> None:
    events = stored(drafts)
    place = data.draw(st.integers(0, len(events) - 2))
    left_out = [*events[:place], *events[place + 1 :]]
    assert first_break(START, left_out) is events[place + 1]
    moved = [*events[:place], events[place + 1], events[place], *events[place + 2 :]]
    assert first_break(START, moved) is events[place + 1]


@settings(deadline=None)
@given(st.lists(DRAFTS, min_size=1, max_size=6), st.data())
def test_stripping_breaks_nothing_unless_the_hash_is_another(
    drafts: list[Draft], data: st.DataObject
) -> None:
    events = stored(drafts)
    place = data.draw(st.integers(0, len(events) - 1))
    event = events[place]
    events[place] = msgspec.structs.replace(event, payload=payload_hash(event.payload), stripped=True)
    assert first_break(START, events) is None
    events[place] = msgspec.structs.replace(event, payload=payload_hash(event.payload + b"x"), stripped=True)
    assert first_break(START, events) is events[place]


def test_the_digest_of_an_event_is_what_it_was_in_every_version_of_the_program() -> None:
    draft = Draft(
        "01ARYZ6S41TSV4RRFFQ69G5FAV", 1.5, "t", None, "n", "<n.1>", "room:é", "a.b", b"{}", 2, "person:ada"
    )
    assert link(START, draft).hex() == "e14f5a0be32dc5acdc7828dec0ecc972"


@pytest.mark.parametrize("field", HEADER)
def test_texts_of_neighbouring_fields_are_not_mixed_up(field: str) -> None:
    draft = Draft("a", 0.0, "b", "c", "d", "e", "f", "g", b"{}", 1, "h")
    (event,) = stored([draft])
    value = getattr(event, field)
    changed = "" if isinstance(value, str) else 7
    assert not follows(START, msgspec.structs.replace(event, **{field: changed}))
