"""The journal as text that outlives its program: JSONL, one event a line, long texts in their places.

    {"planaria_journal": 1, "exported_at": 1700000000.0, "node": "garden"}
    {"seq": 1, "id": "01H...", "at": 1700000000.25, "trace_id": "01H...", "cause_id": null, "node": "garden", "process":
     "...", "session": "room:garden", "kind": "room.message", "payload": {...}, "version": 2, "subject": "person:ada"}
    {"seq": 2, ..., "payload": {}, "state": "pruned"}
    {"end": {"events": 2}}

The first line names the format and its version; the last counts the events, so that a file cut short is noticed. Each
line between is an `Event`; what is as by default may be left out. What was sealed is in plain: whoever has the file can
read it, and erasure does not reach it. `cortex/upkeep/adoption.py` writes such events into a store.
"""

from collections.abc import Iterable, Iterator

import msgspec

from planaria.cortex.codec.prepare import MAX_PAYLOAD, encode_payload
from planaria.cortex.event import Event

FORMAT = 1
MEND = "use a whole file, as `planaria journal export` wrote it"


class Unfit(Exception):
    """A line that does not fit; the text names file, line, what is wrong and what to do."""

    def __init__(self, file: str, line: int, problem: str, mend: str = MEND) -> None:
        self.file, self.line, self.problem, self.mend = file, line, problem, mend
        super().__init__(f"{file}:{line}: {problem}; {mend}")


class Heading(msgspec.Struct, frozen=True):
    """The first line."""

    planaria_journal: int
    exported_at: float = 0.0
    node: str = ""


class Ending(msgspec.Struct, frozen=True):
    """What the last line says."""

    events: int


class _LastLine(msgspec.Struct, frozen=True):
    end: Ending


_event = msgspec.json.Decoder(Event)
_last = msgspec.json.Decoder(_LastLine)
_END = b'{"end"'


def heading(node: str, at: float) -> bytes:
    """The first line of a file."""
    return msgspec.json.encode(Heading(FORMAT, at, node)) + b"\n"


def ending(events: int) -> bytes:
    """The last line of a file."""
    return msgspec.json.encode(_LastLine(Ending(events))) + b"\n"


def read_events(file: str, lines: Iterable[bytes]) -> Iterator[tuple[int, Event]]:
    """The events of a file with the numbers of their lines, each checked; at the end, that nothing is missing.

    Args:
        file: its name, for messages.
        lines: the whole file.
    Raises:
        Unfit: while it is read, at the first line that does not fit.
    """
    numbered = enumerate(lines, start=1)
    _check_heading(file, next(numbered, (1, b""))[1])
    number, count, place = 1, 0, 0
    for number, line in numbered:
        if line.startswith(_END):
            _check_ending(file, number, line, count, next(numbered, None))
            return
        event = _read(file, number, line)
        if event.seq <= place:
            raise Unfit(file, number, f"event {event.id} at {event.seq} comes after one at {place}")
        place, count = event.seq, count + 1
        yield number, event
    raise Unfit(file, number + 1, f"the file ends after {count} events without its last line")


def _check_heading(file: str, line: bytes) -> None:
    try:
        found = msgspec.json.decode(line, type=Heading)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Unfit(file, 1, "this is no journal: its first line does not say so") from error
    if found.planaria_journal != FORMAT:
        problem = f"format {found.planaria_journal}, this program knows {FORMAT}"
        raise Unfit(file, 1, problem, "use the planaria that wrote it")


def _read(file: str, number: int, line: bytes) -> Event:
    try:
        event = _event.decode(line)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise Unfit(file, number, f"no event: {error}".replace("`", "'")) from error
    if not event.id or not event.kind:
        raise Unfit(file, number, "an event without id or kind")
    if not 1 <= event.version < 2**15:
        raise Unfit(file, number, f"event {event.id} has the version {event.version}")
    payload = encode_payload(event.payload)
    if isinstance(payload, str):
        raise Unfit(file, number, f"event {event.id}: {payload}")
    if len(payload) > MAX_PAYLOAD:
        raise Unfit(
            file, number, f"event {event.id} has {len(payload)} bytes, at most {MAX_PAYLOAD} are allowed"
        )
    if event.state != "whole" and event.payload:
        raise Unfit(file, number, f"event {event.id} is {event.state} and has a payload all the same")
    return event


def _check_ending(file: str, number: int, line: bytes, count: int, more: tuple[int, bytes] | None) -> None:
    try:
        told = _last.decode(line).end.events
    except msgspec.DecodeError as error:
        raise Unfit(file, number, f"no last line: {error}".replace("`", "'")) from error
    if told != count:
        raise Unfit(file, number, f"it says that there are {told} events, and has {count}")
    if more is not None:
        raise Unfit(file, more[0], "there is something after the last line")
