"""Reading a stream page by page: state is a fold over its events.

state = await fold("journal", "room:garden", apply, State())
"""

from collections.abc import AsyncIterator, Callable

from planaria.cortex.errors import JournalUnavailable
from planaria.cortex.event import Event
from planaria.cortex.journal import Journal
from planaria.cortex.query import Query
from planaria.otp import Server, sleep

FIRST_PAUSE = 0.25
LONGEST_PAUSE = 5.0
"""Seconds between two tries to read while the store fails; doubled from the first to the longest."""


async def events_of(
    journal: Server, session: str | None, *, kinds: tuple[str, ...] = (), after_seq: int = 0, page: int = 500
) -> AsyncIterator[Event]:
    """All committed events of a session (None: of all), oldest first, `page` of them in memory at a time.

    Ends at the last one that was committed when the last page was read. While the store fails this waits and tries
    again: whoever rebuilds its state from the journal can do nothing without it, and would only be restarted until
    its supervisor gives up. The journal itself says what is wrong (`journal.health`).

    Raises:
        CallError: the journal's process is away or has not answered in time.
    """
    while True:
        query = Query(session=session, kinds=kinds, after_seq=after_seq, limit=page)
        events = await _patiently(journal, query)
        for event in events:
            yield event
        if len(events) < page:
            return
        after_seq = events[-1].seq


async def _patiently(journal: Server, query: Query) -> list[Event]:
    pause = FIRST_PAUSE
    while True:
        try:
            return await Journal.read(journal, query)
        except JournalUnavailable:
            await sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)


async def fold[S](
    journal: Server,
    session: str | None,
    step: Callable[[S, Event], S],
    state: S,
    *,
    kinds: tuple[str, ...] = (),
    after_seq: int = 0,
    until_seq: int | None = None,
) -> S:
    """The state after the events of a session, from `state` by `step`.

    Args:
        after_seq: where `state` already is; 0 for the beginning.
        until_seq: the last event to take in, to see the state as it was; None for all.
    """
    async for event in events_of(journal, session, kinds=kinds, after_seq=after_seq):
        if until_seq is not None and event.seq > until_seq:
            break
        state = step(state, event)
    return state
