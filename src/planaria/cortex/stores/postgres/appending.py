"""One commit as the arguments of `append_events`, and what its answer means. Pure: the store makes the call."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from planaria.cortex.codec.chain import header_of, payload_hash
from planaria.cortex.store import ContentDraft, Draft, Duplicate, Fence, Outcome, Stale, Stored, Written
from planaria.cortex.stores.postgres.rows import id_bytes

CALL = f"SELECT * FROM append_events({', '.join(f'${n}' for n in range(1, 21))})"  # noqa: S608 - numbers only


class Sorted(msgspec.Struct):
    """The appends of a commit: refused ones have their outcome, the others are to be written."""

    outcomes: list[Outcome | None]
    going: list[int]

    def written(self, batch: Sequence[Sequence[Draft]], first_seq: int) -> list[Outcome]:
        """All outcomes, once those that go are written from `first_seq` on."""
        for place in self.going:
            self.outcomes[place] = Written(first_seq)
            first_seq += len(batch[place])
        return [outcome for outcome in self.outcomes if outcome is not None]


def sort_out(
    batch: Sequence[Sequence[Draft]],
    fences: Sequence[Fence | None],
    taken: frozenset[str],
    stale: frozenset[Fence],
    there: Mapping[int, int],
) -> Sorted:
    """Refuse the appends that cannot be written.

    Args:
        taken: ids known to be in the journal.
        stale: fences known to be of a lease somebody else has.
        there: the first places of appends, by their number, that an earlier try has written.
    """
    found = Sorted([None] * len(batch), [])
    used = set(taken)
    for place, drafts in enumerate(batch):
        if place in there:
            found.outcomes[place] = Written(there[place])
            continue
        fence = fences[place] if fences else None
        if fence is not None and fence in stale:
            found.outcomes[place] = Stale(fence.name)
            continue
        own: set[str] = set()
        twice = None
        for draft in drafts:
            if draft.id in own:
                twice = draft.id
                break
            own.add(draft.id)
        if twice is None and not used.isdisjoint(own):
            twice = next(draft.id for draft in drafts if draft.id in used)
        if twice is not None:
            found.outcomes[place] = Duplicate(twice)
            continue
        used |= own
        found.going.append(place)
    return found


def written_already(batch: Sequence[Sequence[Draft]], events: Sequence[Stored]) -> dict[int, int]:
    """Which appends are these events, by number, and the first place of each. One is there whole or not at all."""
    by_id = {event.id: event for event in events}
    found: dict[int, int] = {}
    for number, drafts in enumerate(batch):
        kept = [by_id.get(draft.id) for draft in drafts]
        first = kept[0].seq if kept and kept[0] is not None else 0
        if first and all(
            event is not None and event.seq == first + offset and _is(event, draft)
            for offset, (event, draft) in enumerate(zip(kept, drafts, strict=True))
        ):
            found[number] = first
    return found


def _is(event: Stored, draft: Draft) -> bool:
    return event.payload == draft.payload and header_of(event) == header_of(draft)


class Call(msgspec.Struct):
    """The arguments of one call, and what is needed to read its answer."""

    arguments: list[Any]
    new_names: list[str]
    hashes: list[str]


def call_for(
    drafts: Sequence[Draft],
    fences: Sequence[Fence],
    numbers: dict[str, int],
    known_contents: set[str],
) -> Call:
    """The call that writes these events.

    Args:
        fences: those of the appends, each once.
        numbers: names whose number is known.
        known_contents: hashes of contents that need not be sent again.
    """
    new: dict[str, int] = {}

    def number(name: str) -> int:
        found = numbers.get(name) or new.get(name)
        if found is None:
            found = new[name] = -len(new) - 1
        return found

    sessions = [number(draft.session) for draft in drafts]
    kinds = [number(draft.kind) for draft in drafts]
    nodes = [number(draft.node) for draft in drafts]
    processes = [number(draft.process) for draft in drafts]
    subjects = [number(draft.subject) if draft.subject else 0 for draft in drafts]
    by_session: dict[int, list[int]] = {}
    for place, session in enumerate(sessions, start=1):
        by_session.setdefault(session, []).append(place)
    contents: dict[str, ContentDraft] = {}
    for draft in drafts:
        for content in draft.contents:
            contents[content.hash] = content
    return Call(
        [
            [name.encode() for name in new],
            sessions,
            kinds,
            nodes,
            processes,
            subjects,
            [draft.version for draft in drafts],
            [draft.at for draft in drafts],
            [id_bytes(draft.id) for draft in drafts],
            [id_bytes(draft.trace_id) for draft in drafts],
            [b"" if draft.cause_id is None else id_bytes(draft.cause_id) for draft in drafts],
            [b"".join(bytes.fromhex(content.hash) for content in draft.contents) for draft in drafts],
            [draft.payload for draft in drafts],
            [payload_hash(draft.payload) + header_of(draft) for draft in drafts],
            [place for places in by_session.values() for place in places],
            [bytes.fromhex(digest) for digest in contents],
            [content.size for content in contents.values()],
            [None if digest in known_contents else content.data for digest, content in contents.items()],
            [fence.name.encode() for fence in fences],
            [fence.token for fence in fences],
        ],
        list(new),
        list(contents),
    )
