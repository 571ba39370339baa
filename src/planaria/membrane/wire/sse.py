"""Server-sent events out of bytes, split anywhere.

A value without process or clock: `feed` takes bytes as they came, `finish` what is left at the end. Lines may end in
LF, CRLF or CR, comments and unknown fields are skipped, several `data:` lines are one event.
Does badly: `retry:` and reconnecting, which a model's answer never needs; it is not read.
Source: HTML Living Standard, section 9.2.6. Differs: an event cut off before its blank line is handed on by `finish`
instead of dropped, since some servers end with `data: [DONE]` and no blank line.
"""

import msgspec

MAX_EVENT = 8 * 1024 * 1024
"""Bytes one event may have; a server that sends a longer one is refused."""


class EventTooLong(Exception):
    """One event (or one line) is longer than allowed."""


class ServerEvent(msgspec.Struct, frozen=True, gc=False):
    """One event: its type (`message` if the server named none), its data without the last newline, its id."""

    event: str
    data: bytes
    id: str = ""


class EventParser:
    """Incremental; equal bytes give equal events however they are split."""

    def __init__(self, max_event: int = MAX_EVENT) -> None:
        self._max = max_event
        self._tail: list[bytes] = []
        self._tail_size = 0
        self._after_cr = False
        self._at_start = True
        self._data: list[bytes] = []
        self._size = 0
        self._event = ""
        self._id = ""

    def feed(self, data: bytes) -> list[ServerEvent]:
        """The events these bytes complete, in order.

        Raises:
            EventTooLong: an event grew beyond `max_event` bytes; the parser is of no use afterwards.
        """
        if self._after_cr and data:
            self._after_cr = False
            if data[:1] == b"\n":  # The LF of a CRLF that was split.
                data = data[1:]
        if not data:
            return []
        # One whole event of one line is what a model's server sends at a time: nothing to put together.
        if data[-1] == 10 and not (self._tail or self._data or self._event) and len(data) <= self._max:
            first = data.find(b"\n")
            if first == len(data) - 2:
                if data[:6] == b"data: " and b"\r" not in data:
                    self._at_start = False
                    return [ServerEvent("message", data[6:-2], self._id)]
            elif data[:7] == b"event: " and data[first + 1 : first + 7] == b"data: ":
                if data.find(b"\n", first + 1) == len(data) - 2 and b"\r" not in data:
                    self._at_start = False
                    name = data[7:first].decode("utf-8", "replace") or "message"
                    return [ServerEvent(name, data[first + 7 : -2], self._id)]
        # The last piece has no line end yet, unless the bytes end exactly with one.
        if b"\n" not in data and b"\r" not in data:
            self._keep(data)
            return []
        if self._tail:
            data = b"".join((*self._tail, data))
            self._tail.clear()
            self._tail_size = 0
        if b"\r" in data:
            lines = data.splitlines()  # On bytes: LF, CRLF and CR, nothing else.
            if data[-1:] not in (b"\n", b"\r"):
                self._keep(lines.pop())
            self._after_cr = data[-1:] == b"\r"
        else:
            lines = data.split(b"\n")
            rest = lines.pop()
            if rest:
                self._keep(rest)
        events: list[ServerEvent] = []
        for line in lines:
            if line:
                self._line(line)
            elif self._data or self._event:
                self._dispatch(events)
            self._at_start = False
        return events

    def finish(self) -> list[ServerEvent]:
        """The event that was begun and never closed by a blank line, if any. Call it only at a clean end."""
        if self._tail:
            self._line(b"".join(self._tail))
            self._tail.clear()
            self._tail_size = 0
        events: list[ServerEvent] = []
        self._dispatch(events)
        return events

    def _keep(self, piece: bytes) -> None:
        self._tail.append(piece)
        self._tail_size += len(piece)
        if self._tail_size + self._size > self._max:
            raise EventTooLong(f"a server-sent event is longer than {self._max} bytes")

    def _line(self, line: bytes) -> None:
        if self._at_start:
            self._at_start = False
            line = line.removeprefix(b"\xef\xbb\xbf")
        # Far most lines are of this form, so it goes first.
        if line.startswith(b"data:"):
            value = line[6:] if line[5:6] == b" " else line[5:]
            self._add(value)
            return
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"event":
            self._event = value.decode("utf-8", "replace")
        elif field == b"data":
            self._add(b"")
        elif field == b"id" and b"\0" not in value:
            self._id = value.decode("utf-8", "replace")

    def _add(self, value: bytes) -> None:
        self._size += len(value) + 1
        if self._size > self._max:
            raise EventTooLong(f"a server-sent event is longer than {self._max} bytes")
        self._data.append(value)

    def _dispatch(self, events: list[ServerEvent]) -> None:
        if self._data:
            data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
            events.append(ServerEvent(self._event or "message", data, self._id))
            self._data.clear()
        self._event = ""
        self._size = 0
