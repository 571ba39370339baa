"""The hash chain of a session: each event's digest covers the event and the digest before it.

    digest = first 16 bytes of SHA-256(digest before, SHA-256(payload as kept), header)

The header is everything else of the event but its `seq`, as MessagePack. The first event of a session follows
`START`. An event that is changed, left out, put in or moved breaks the chain from there on, and so does one written
over the end of a session, as the store keeps each session's last digest apart. Stripping a payload leaves its hash,
so it breaks nothing. Whoever can write the file can compute a new chain: to see that, keep the digests elsewhere.
Half of a SHA-256: finding another event for a given digest takes 2^128 tries, and a row is 16 bytes shorter.
"""

import hashlib
from collections.abc import Iterable

import msgspec

from planaria.cortex.event import Event
from planaria.cortex.store import Draft, Stored

DIGEST_SIZE = 16
START = bytes(DIGEST_SIZE)
"""The digest before the first event of a session."""

_encode = msgspec.msgpack.Encoder().encode
_sha256 = hashlib.sha256


def header_of(event: Event | Draft | Stored) -> bytes:
    """What is bound to the payload: always the same bytes for the same event."""
    return _encode(
        (
            event.id,
            event.at,
            event.trace_id,
            event.cause_id,
            event.node,
            event.process,
            event.session,
            event.kind,
            event.version,
            event.subject,
        )
    )


def link(before: bytes, draft: Draft) -> bytes:
    """The digest of an event that follows the one with the digest `before`."""
    header = draft.header or header_of(draft)
    return _sha256(before + _sha256(draft.payload).digest() + header).digest()[:DIGEST_SIZE]


def payload_hash(payload: bytes) -> bytes:
    """What stays of a payload that is stripped: 32 bytes."""
    return _sha256(payload).digest()


def follows(before: bytes, event: Stored) -> bool:
    """Whether an event as kept is the one its digest says, after the one with the digest `before`."""
    hashed = event.payload if event.stripped else _sha256(event.payload).digest()
    return _sha256(before + hashed + header_of(event)).digest()[:DIGEST_SIZE] == event.digest


def first_break(before: bytes, events: Iterable[Stored]) -> Stored | None:
    """The first of a session's events, in order, that does not follow from the one before it; None if all do."""
    for event in events:
        if not follows(before, event):
            return event
        before = event.digest
    return None
