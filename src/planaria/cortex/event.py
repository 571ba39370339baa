"""An event: one thing that happened, as the journal keeps it; and the ids that order such things.

An id is a ULID: 26 characters of Crockford's base 32, 10 for the unix time in milliseconds (48 bits) and 16 for a
tail (80 bits). As text, ids sort by time. Within one program each new id is greater than the one before, across
threads too: within one millisecond, or when the clock steps back, the time is kept and the tail counts on from its
random start. So the time in an id never goes back, and may be a little late; `Event.at` is the time to show.
"""

import hashlib
import os
import re
import threading
import time
from collections.abc import Callable
from typing import Any, Literal

import msgspec

from planaria.otp import NotAProcess, wall_time


class Event(msgspec.Struct, frozen=True):
    """One thing that happened.

    Attributes:
        seq: its place in the journal, from 1, without gaps.
        id: time-ordered, unique; see the module.
        at: unix seconds, when the journal accepted it.
        trace_id: the run it belongs to: all that followed from one message from outside.
        cause_id: the event or message that led to it, if any.
        node, process: where it happened; a pid or a name.
        session: its stream: `room:garden`, `session:scout@garden`, `run:<id>`, `feed:<url>`, `node`.
        kind: what happened, `subject.verb`.
        payload: a JSON object, secrets masked. Not to be changed by whoever receives it.
        version: of the payload's shape; see `cortex/event_type.py`.
        subject: whose data the payload is, such as `person:ada`; empty for nobody's.
        state: `whole`; `erased` when the subject's key was destroyed, `pruned` when retention let go of the payload:
            then the payload is empty, and all else stands.
    """

    seq: int
    id: str
    at: float
    trace_id: str
    cause_id: str | None
    node: str
    process: str
    session: str
    kind: str
    payload: dict[str, Any]
    version: int = 1
    subject: str = ""
    state: Literal["whole", "erased", "pruned"] = "whole"


class NewEvent(msgspec.Struct, frozen=True):
    """What a process hands to the journal; the journal adds the rest.

    Args:
        kind: what happened, `subject.verb`.
        payload: anything JSON can say; structs and dates become what JSON has for them.
        session: its stream.
        process: by default the process that appends.
        trace_id: by default a new one, shared by the events of one append.
        cause_id: what led to it.
        id: by default a new one. Given, it makes an append safe to repeat: the second is refused as a duplicate.
        version: of the payload's shape.
        subject: whose data this is, such as `person:ada`; sealed with that person's key.
    """

    kind: str
    payload: dict[str, Any]
    session: str = ""
    process: str = ""
    trace_id: str = ""
    cause_id: str | None = None
    id: str = ""
    version: int = 1
    subject: str = ""


_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]
_TAIL_BITS = 80


class Ids:
    """A source of ids, each greater than the one before.

    Args:
        clock: unix seconds.
        random_bits: that many random bits as an int. A new tail starts in the lower half of its range, so counting
            on does not reach its end within a millisecond.
    """

    def __init__(self, clock: Callable[[], float], random_bits: Callable[[int], int]) -> None:
        self._clock = clock
        self._random_bits = random_bits
        self._lock = threading.Lock()
        self._millis = -1
        self._head = 0  # the tail but for its last ten bits
        self._last = 0
        self._start_of_text = ""  # 24 characters: those that seldom change, as an id is made for every event

    def next(self) -> str:
        """The next id."""
        millis = max(0, int(self._clock() * 1000))
        with self._lock:
            if millis > self._millis:
                self._begin(millis)
            elif self._last < 1023:
                self._last += 1
            else:
                self._last = 0
                self._head += 1
                if self._head >> _TAIL_BITS - 10:
                    self._begin(self._millis + 1)
                else:
                    self._write()
            return self._start_of_text + _PAIRS[self._last]

    def _begin(self, millis: int) -> None:
        """A new millisecond, and a tail to count on from."""
        self._millis = millis
        tail = self._random_bits(_TAIL_BITS - 1)
        self._head, self._last = tail >> 10, tail & 1023
        self._write()

    def _write(self) -> None:
        millis, head = self._millis, self._head
        self._start_of_text = (
            _PAIRS[millis >> 40]
            + _PAIRS[millis >> 30 & 1023]
            + _PAIRS[millis >> 20 & 1023]
            + _PAIRS[millis >> 10 & 1023]
            + _PAIRS[millis & 1023]
            + _PAIRS[head >> 60]
            + _PAIRS[head >> 50 & 1023]
            + _PAIRS[head >> 40 & 1023]
            + _PAIRS[head >> 30 & 1023]
            + _PAIRS[head >> 20 & 1023]
            + _PAIRS[head >> 10 & 1023]
            + _PAIRS[head & 1023]
        )


class _Randomness:
    """Random bits of the system, fetched many at once: a call into the system costs as much as an id."""

    def __init__(self) -> None:
        self._bytes = b""
        self._used = 0

    def bits(self, count: int) -> int:
        """So many, as an int; no bit is given twice."""
        size = (count + 7) // 8
        if self._used + size > len(self._bytes):
            self._bytes, self._used = os.urandom(4096), 0
        first, self._used = self._used, self._used + size
        return int.from_bytes(self._bytes[first : self._used]) >> (8 * size - count)


def new_id() -> str:
    """A new id, greater than every one given before in this program."""
    return _ids.next()


def repeatable_id(*parts: str) -> str:
    """An id that the same parts always give, so that the journal refuses the second of two equal events.

    It has the form of a ULID. If a part is one, or begins with one and a sign (`<message>~2`), the id takes over the
    time of the first such and so lies beside it in an index; else it is a hash throughout.
    """
    digest = hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).digest()
    # Ten bits at a time, written out: every event has such an id. The last 80 bits are a ULID's tail.
    a, b = int.from_bytes(digest[6:11]), int.from_bytes(digest[11:16])
    tail = (
        f"{_PAIRS[a >> 30]}{_PAIRS[a >> 20 & 1023]}{_PAIRS[a >> 10 & 1023]}{_PAIRS[a & 1023]}"
        f"{_PAIRS[b >> 30]}{_PAIRS[b >> 20 & 1023]}{_PAIRS[b >> 10 & 1023]}{_PAIRS[b & 1023]}"
    )
    for part in parts:
        if len(part) >= _ULID and _LED_BY_ULID.match(part):
            return part[:10] + tail
    a = int.from_bytes(digest[1:6])
    start = f"{_PAIRS[a >> 30]}{_PAIRS[a >> 20 & 1023]}{_PAIRS[a >> 10 & 1023]}{_PAIRS[a & 1023]}"
    return f"{_PAIRS[digest[0]]}{start}{tail}"


def former_id(*parts: str) -> str:
    """What `repeatable_id` answered in builds before 0.1, whose journals have such ids: 32 hexadecimal digits."""
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:FORMER_DIGITS]


FORMER_DIGITS = 32
_ULID = 26
_LED_BY_ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}(?![0-9A-Za-z])")


def _clock() -> float:
    """The node's clock inside a process; in code outside of any node the system's."""
    try:
        return wall_time()
    except NotAProcess:
        return time.time()


def _new_source() -> None:
    """Start afresh: after a fork two programs would count on from the same tail."""
    global _ids
    _ids = Ids(_clock, _Randomness().bits)


_ids: Ids
_new_source()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_new_source)
