"""Writes events that happened elsewhere or earlier into a store, as they were: with their ids, times and traces.

For a journal nobody runs: what is folded in memory would not see them. The order is kept, the places are given anew
(in an empty journal, from a whole export, they are the same), and payloads that name places name the new ones. What is
there already is left alone if it says the same; so a second time adds nothing. An event whose subject was erased here
comes without its payload.
"""

from collections.abc import Iterator, Sequence

import msgspec

from planaria.cortex.codec.chain import header_of
from planaria.cortex.codec.keyring import Keyring
from planaria.cortex.codec.prepare import draft_of
from planaria.cortex.codec.reading import events_from
from planaria.cortex.event import Event
from planaria.cortex.query import Query
from planaria.cortex.redact import Redactor
from planaria.cortex.store import Draft, Duplicate, EventStore, Written
from planaria.cortex.upkeep.places import Places
from planaria.cortex.upkeep.portable import Unfit

BATCH = 200
"""Events in one commit."""


class Adopted(msgspec.Struct):
    """What an import did.

    Attributes:
        added: events written.
        present: events that were there already.
        withheld: of those added, how many came without their payload since their subject was erased here.
    """

    added: int = 0
    present: int = 0
    withheld: int = 0


async def adopt(
    store: EventStore, keyring: Keyring, redactor: Redactor, file: str, events: Iterator[tuple[int, Event]]
) -> Adopted:
    """Write the events of a file.

    Args:
        file: its name, for messages.
        events: with the numbers of their lines; see `portable.read_events`.
    Raises:
        Unfit: a line that does not fit, or whose id is in the journal with another content. What came before it is
            written; the same file may be read again once it is mended.
        StoreError, SealError: nothing more could be written.
    """
    adopted = Adopted()
    newest = await store.read(Query(limit=1, newest_first=True))
    places = Places(newest[0].seq if newest else 0)
    erased: dict[str, bool] = {}
    batch: list[tuple[int, Event]] = []
    for number, event in events:
        if batch and (len(batch) == BATCH or _waits(places, batch, event)):
            await _write(store, keyring, redactor, file, batch, places, erased, adopted)
            batch = []
        batch.append((number, event))
    if batch:
        await _write(store, keyring, redactor, file, batch, places, erased, adopted)
    return adopted


def _waits(places: Places, batch: Sequence[tuple[int, Event]], event: Event) -> bool:
    """Whether an event names a place that is not known before the batch is written."""
    first, last = batch[0][1].seq, batch[-1][1].seq
    return places.furthest(event) >= first and not places.stay(first, last, len(batch))


async def _write(
    store: EventStore,
    keyring: Keyring,
    redactor: Redactor,
    file: str,
    batch: Sequence[tuple[int, Event]],
    places: Places,
    erased: dict[str, bool],
    adopted: Adopted,
) -> None:
    subjects = {event.subject for _, event in batch if event.subject}
    for subject in subjects - erased.keys():
        erased[subject] = any(key.wrapped is None for key in await store.subject_keys(subject))
    if lacking := keyring.lacks({subject for subject in subjects if not erased[subject]}):
        await keyring.fetch(lacking)
    first, last = batch[0][1].seq, batch[-1][1].seq
    staying = first if places.stay(first, last, len(batch)) else None
    drafts: list[Draft] = []
    bare: set[str] = set()
    withheld: set[str] = set()
    masked: dict[str, Event] = {}
    for _, event in batch:
        encoded = redactor.json(msgspec.json.encode(places.moved(event, staying).payload))
        clean = msgspec.structs.replace(event, payload=msgspec.json.decode(encoded))
        masked[event.id] = clean
        if event.state == "whole" and not erased.get(event.subject, False):
            cipher = keyring.sealing(event.subject) if event.subject else None
            drafts.append(draft_of(clean, encoded, cipher))
            continue
        bare.add(event.id)
        if event.state == "whole":
            withheld.add(event.id)
        drafts.append(draft_of(msgspec.structs.replace(event, payload={}), b"{}", None))
    outcomes = await store.append([[draft] for draft in drafts])
    strip: list[int] = []
    for (number, event), outcome in zip(batch, outcomes, strict=True):
        match outcome:
            case Written(first_seq=seq):
                places.note(event.seq, seq)
                adopted.added += 1
                adopted.withheld += event.id in withheld
                if event.id in bare:
                    strip.append(seq)
            case Duplicate():
                seq = await _compare(store, keyring, places, file, number, masked[event.id])
                places.note(event.seq, seq)
                adopted.present += 1
            case _:
                raise AssertionError("an append without a fence was refused for one")
    if strip:
        await store.strip(strip)


async def _compare(
    store: EventStore, keyring: Keyring, places: Places, file: str, number: int, event: Event
) -> int:
    """See that the event that is there is the same, and where; one that lost its payload since is."""
    row = await store.find(event.id)
    if row is None:
        raise Unfit(file, number, f"event {event.id} is twice in the file")
    (there,) = await events_from(store, keyring, [row])
    whole = there.state == "whole" and event.state == "whole"
    same = not whole or places.without(there).payload == places.without(event).payload
    if header_of(there) != header_of(event) or not same:
        problem = f"event {event.id} is in the journal at {row.seq}, and is another"
        raise Unfit(
            file, number, problem, "is this the journal of another garden? import it into an empty one"
        )
    return row.seq
