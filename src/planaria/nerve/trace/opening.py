"""Opens nodes of a trace: reads what their prompts refer to, then shows their texts."""

from collections.abc import Sequence

from planaria.cortex.redact import Redactor
from planaria.nerve.trace.detail import Detail, open_node, talk_query
from planaria.nerve.trace.reading import Read, Reading


async def open_nodes(read: Read, reading: Reading, nodes: Sequence[str], redactor: Redactor) -> list[Detail]:
    """These nodes of a trace, opened; all of them if none are named."""
    found = []
    events = (*reading.events, *reading.notes)
    for node in reading.trace.nodes:
        if not nodes or node.id in nodes:
            query = talk_query(reading.trace, reading.events, node)
            talk = [] if query is None else await read(query)
            found.append(open_node(reading.trace, events, node, talk, redactor))
    return found
