"""Opens nodes of a trace: reads what their prompts refer to, then shows their texts."""

from collections.abc import Sequence

from planaria.agents.past.source import stretch
from planaria.cortex.event import Event
from planaria.cortex.query import Query
from planaria.cortex.redact import Redactor
from planaria.nerve.trace.detail import Detail, open_node, talk_asked
from planaria.nerve.trace.reading import Read, Reading
from planaria.rooms.message import RoomMessage


async def open_nodes(read: Read, reading: Reading, nodes: Sequence[str], redactor: Redactor) -> list[Detail]:
    """These nodes of a trace, opened; all of them if none are named."""
    found = []
    events = (*reading.events, *reading.notes)
    for node in reading.trace.nodes:
        if not nodes or node.id in nodes:
            asked = talk_asked(reading.trace, reading.events, node)
            talk: list[RoomMessage] = []
            if asked is not None:  # a branch's talk begins in the room it left
                talk, _ = await stretch(_Reads(read), *asked)
            found.append(open_node(reading.trace, events, node, talk, redactor))
    return found


class _Reads:
    def __init__(self, read: Read) -> None:
        self._read = read

    async def read(self, query: Query) -> list[Event]:
        return await self._read(query)
