"""Methods about the journal: the latest events, and those that follow."""

import msgspec

from planaria.cortex.errors import JournalUnavailable
from planaria.cortex.event import Event
from planaria.cortex.journal import Journal
from planaria.cortex.query import Query
from planaria.nerve.methods.method import Channel, Services
from planaria.nerve.protocol import ControlError
from planaria.otp import receive, subscribe

MOST_EVENTS = 1000


class Tail(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which events: of one session, of some kinds, the last `limit`; with `follow`, those that come as well."""

    session: str | None = None
    kinds: tuple[str, ...] = ()
    limit: int = 20
    follow: bool = False


async def tail(params: Tail, services: Services, channel: Channel) -> list[Event]:
    """The latest events, oldest first. With `follow` they and all later ones come as events of the stream."""
    if params.follow:
        subscribe("journal" if params.session is None else f"journal:{params.session}")
    query = Query(
        session=params.session,
        kinds=params.kinds,
        limit=min(max(params.limit, 0), MOST_EVENTS),
        newest_first=True,
    )
    try:
        events = (await Journal.read("journal", query))[::-1] if query.limit else []
    except JournalUnavailable as error:
        raise ControlError("unavailable", error.cause, error.mend) from error
    if not params.follow:
        return events
    last = 0
    for event in events:
        channel.send(event)
        last = event.seq
    while True:
        event = await receive(Event)
        # What came between the subscription and the reading was read already.
        if event.seq > last and (not params.kinds or event.kind in params.kinds):
            channel.send(event)
