"""From rows as a store keeps them to events as readers get them: opened, unpacked, long texts in their places."""

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from planaria.cortex.codec.chain import header_of
from planaria.cortex.codec.contents import MARK, plain_hash, put_back, references
from planaria.cortex.codec.keyring import Keyring
from planaria.cortex.codec.packing import NotPacked, unpack
from planaria.cortex.codec.seal import MasterKey, NotOpened, SubjectCipher, generation_of, is_sealed
from planaria.cortex.errors import StoreDamaged
from planaria.cortex.event import Event
from planaria.cortex.query import Query
from planaria.cortex.store import EventStore, Stored

_MEND = "see `planaria journal verify`; restore it from a copy"
_from_json = msgspec.json.Decoder(dict[str, Any]).decode


async def events_from(
    store: EventStore, keyring: Keyring, rows: Sequence[Stored], *, contents: bool = True
) -> list[Event]:
    """The events of these rows, in their order.

    Args:
        contents: put long texts back; False leaves their references, and keys as they are kept.
    Raises:
        StoreError: a payload or content cannot be read; `StoreDamaged` if it is not what was written.
        SealError: what is sealed cannot be opened with this master key.
    """
    events: list[Event] = []
    wanted: dict[str, Stored] = {}
    referring: list[int] = []
    for row in rows:
        payload: dict[str, Any] = {}
        state: Literal["whole", "erased", "pruned"] = "whole"
        if row.stripped:
            state = "pruned"
        else:
            packed: bytes | None = row.payload
            if is_sealed(row.payload):
                generation = generation_of(row.payload)
                cipher = keyring.at_hand(row.subject, generation) or await keyring.opening(
                    row.subject, generation
                )
                packed = None if cipher is None else _opened(cipher, row)
            if packed is None:
                state = "erased"
            else:
                payload, refers = _payload(row, packed)
                if refers and contents:
                    referring.append(len(events))
                    wanted.update(dict.fromkeys(references(payload), row))
        events.append(
            Event(
                row.seq,
                row.id,
                row.at,
                row.trace_id,
                row.cause_id,
                row.node,
                row.process,
                row.session,
                row.kind,
                payload,
                row.version,
                row.subject,
                state,
            )
        )
    if referring:
        texts = await _texts(store, keyring, wanted)
        for place in referring:
            event = events[place]
            try:
                payload = put_back(event.payload, texts)
            except KeyError as error:
                problem = f"a text of event {event.seq} ({event.kind}) is missing: content {error.args[0]}"
                raise StoreDamaged(problem, _MEND) from error
            events[place] = msgspec.structs.replace(event, payload=payload)
    return events


def _payload(row: Stored, packed: bytes) -> tuple[dict[str, Any], bool]:
    """The payload, and whether it may refer to contents."""
    try:
        text = unpack(packed)
        return _from_json(text), MARK in text
    except (NotPacked, msgspec.DecodeError) as error:
        raise StoreDamaged(f"event {row.seq} ({row.kind}) has a payload that is not JSON", _MEND) from error


def _opened(cipher: SubjectCipher, row: Stored) -> bytes:
    """The packed payload of a sealed one."""
    try:
        return cipher.open(row.payload, header_of(row))
    except NotOpened as error:
        problem = f"event {row.seq} ({row.kind}) is not as it was sealed"
        raise StoreDamaged(problem, _MEND) from error


async def _texts(store: EventStore, keyring: Keyring, wanted: dict[str, Stored]) -> dict[str, str]:
    """The contents by hash. `wanted` has for each an event that refers to it; those not there are left out."""
    texts: dict[str, str] = {}
    for digest, kept in (await store.contents(list(wanted))).items():
        try:
            packed = kept
            if is_sealed(kept):
                cipher = await keyring.opening(wanted[digest].subject, generation_of(kept))
                if cipher is None:
                    continue
                packed = cipher.open_content(kept, digest)
            text = unpack(packed)
            if packed is kept and plain_hash(text) != digest:  # a sealed one is bound to its address
                raise StoreDamaged(f"content {digest} is not as it was written", _MEND)
            texts[digest] = text.decode()
        except (NotOpened, NotPacked, UnicodeDecodeError) as error:
            raise StoreDamaged(f"content {digest} is not as it was written", _MEND) from error
    return texts


async def read_events(
    store: EventStore,
    query: Query = Query(),  # noqa: B008 - frozen
    master_key: MasterKey | None = None,
) -> list[Event]:
    """What a query finds in an open store, without a journal: for tools and tests."""
    rows = await store.read(query)
    return await events_from(store, Keyring(store, master_key), rows, contents=query.contents)
