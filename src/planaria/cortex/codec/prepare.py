"""From what a process hands in to what a store can write: checks, masks and encodes one append. Pure.

Everything that could make one append unwritable is found here, before it joins a commit with the appends of others.
"""

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from planaria.cortex.codec.chain import header_of
from planaria.cortex.codec.contents import LONGEST, MARK, plain_hash, take_out
from planaria.cortex.codec.packing import pack
from planaria.cortex.codec.seal import SubjectCipher
from planaria.cortex.event import Event, NewEvent
from planaria.cortex.redact import Redactor
from planaria.cortex.store import ContentDraft, Draft

_to_json = msgspec.json.Encoder().encode
_from_json = msgspec.json.Decoder(dict[str, Any]).decode
_to_msgpack = msgspec.msgpack.Encoder().encode
_NOT_FINITE = re.compile(rb"\xcb[\x7f\xff][\xf0-\xff]", re.DOTALL)
"""A float of 64 bits whose exponent is all ones; other bytes may look so too."""
_set = msgspec.structs.force_setattr

MAX_PAYLOAD = 8 * 1024 * 1024
"""Bytes of JSON one event's payload may have."""
DEEPEST = 100
"""Objects and arrays in each other that a payload may have, itself included."""
_BRACKETS = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\]]')


class Refused(msgspec.Struct, frozen=True):
    """This append can never be written as it is."""

    reason: str
    mend: str
    duplicate_of: str | None = None


class Prepared(msgspec.Struct, frozen=True):
    """One append, checked and masked.

    Attributes:
        events: as their readers will get them, but for their places.
        encoded: the JSON of each payload.
    """

    events: tuple[Event, ...]
    encoded: tuple[bytes, ...]

    def place(self, first_seq: int) -> list[Event]:
        """The events as they stand in the journal, the first of them at `first_seq`; nobody has seen them before."""
        events = [*self.events]
        for seq, event in enumerate(events, start=first_seq):
            _set(event, "seq", seq)
        return events


def draft_of(event: Event, encoded: bytes, cipher: SubjectCipher | None) -> Draft:
    """The event as it will be kept: long texts apart, small, sealed.

    Args:
        cipher: of the event's subject; None to keep it in plain.
    """
    contents: tuple[ContentDraft, ...] = ()
    if len(encoded) > LONGEST or MARK in encoded:
        kept, texts = take_out(event.payload, plain_hash if cipher is None else cipher.address)
        encoded = _to_json(kept)
        contents = tuple(_content(digest, text, cipher) for digest, text in texts.items())
    packed = pack(encoded)
    header = header_of(event)
    if cipher is not None:
        packed = cipher.seal(packed, header)
    return Draft(
        event.id,
        event.at,
        event.trace_id,
        event.cause_id,
        event.node,
        event.process,
        event.session,
        event.kind,
        packed,
        event.version,
        event.subject,
        contents,
        header,
    )


def _content(digest: str, text: str, cipher: SubjectCipher | None) -> ContentDraft:
    packed = pack(text.encode())
    return ContentDraft(digest, packed if cipher is None else cipher.seal_content(packed, digest), len(text))


def prepare(
    events: Sequence[NewEvent],
    *,
    at: float,
    node: str,
    process: str,
    redactor: Redactor,
    new_id: Callable[[], str],
) -> Prepared | Refused:
    """Check one append and give it ids, its time, and its payloads as JSON says them, with secrets masked."""
    trace_id = ""
    prepared: list[Event] = []
    texts: list[bytes] = []
    for number, event in enumerate(events, start=1):
        if not _is_plain(event) and (fault := _fault(event)) is not None:
            return Refused(f"event {number} of {len(events)} {fault.reason}", fault.mend)
        encoded = encode_payload(event.payload)
        if isinstance(encoded, str):
            where = f"event {number} of {len(events)} ({event.kind})"
            return Refused(f"{where}: {encoded}", "put only what JSON can say into the payload")
        if len(encoded) > MAX_PAYLOAD:
            where = f"event {number} of {len(events)} ({event.kind})"
            reason = f"{where}: payload of {len(encoded)} bytes, at most {MAX_PAYLOAD} are allowed"
            return Refused(reason, "keep large content in a file and refer to it")
        encoded = redactor.json(encoded)
        trace_id = trace_id or event.trace_id or new_id()
        prepared.append(
            Event(
                0,
                event.id or new_id(),
                at,
                event.trace_id or trace_id,
                event.cause_id,
                node,
                event.process or process,
                event.session,
                event.kind,
                _from_json(encoded),
                event.version,
                event.subject,
            )
        )
        texts.append(encoded)
    return Prepared(tuple(prepared), tuple(texts))


def _is_plain(event: Any) -> bool:
    """Whether an event is as nearly all are, its texts of the plainest kind: asked of them together, that is quick."""
    if type(event) is not NewEvent or type(event.version) is not int or type(event.payload) is not dict:
        return False
    kind, cause = event.kind, event.cause_id
    texts = (kind, event.session, event.process, event.trace_id, event.id, event.subject)
    try:
        plain = "".join(texts if cause is None else (*texts, cause)).isascii()
    except TypeError:
        return False
    return plain and 0 < event.version < 2**15 and kind != "" and kind == kind.strip()


def _fault(event: Any) -> Refused | None:
    """What is wrong with an event beside its payload's content: a Struct does not check what it is made of."""
    if not isinstance(event, NewEvent):
        return Refused(f"is a {type(event).__name__}", "append NewEvent values")
    texts = event.kind, event.session, event.process, event.trace_id, event.id, event.subject
    cause_id: Any = event.cause_id
    for name, value in zip(_TEXTS, texts, strict=True):
        if not isinstance(value, str) or not _is_text(value):
            return Refused(f"has the {name} {value!r}", f"pass text as {name}")
    if cause_id is not None and (not isinstance(cause_id, str) or not _is_text(cause_id)):
        return Refused(f"has the cause_id {cause_id!r}", "pass text or None as cause_id")
    if not event.kind or event.kind != event.kind.strip():
        return Refused(f"has the kind {event.kind!r}", "name what happened, such as 'tool.started'")
    version: Any = event.version
    if type(version) is not int or not 1 <= version < 2**15:
        return Refused(f"({event.kind}) has the version {version!r}", "count versions from 1")
    payload: Any = event.payload
    if not isinstance(payload, dict):
        return Refused(f"({event.kind}) has a {type(payload).__name__} as payload", "make the payload a dict")
    return None


_TEXTS = ("kind", "session", "process", "trace_id", "id", "subject")


def encode_payload(payload: dict[str, Any]) -> bytes | str:
    """The payload as JSON, or what stands in the way."""
    try:
        encoded = _to_json(payload)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        return _unsayable(payload, "payload", 0) or str(error)
    # JSON has no word for nan and the infinities; the encoder writes null for them. In MessagePack they can be seen.
    if b"null" in encoded and _may_be_infinite(payload):
        return _unsayable(payload, "payload", 0) or encoded
    # What opens must close: a short text cannot be that deep.
    if len(encoded) > 2 * DEEPEST and encoded.count(b"{") + encoded.count(b"[") > DEEPEST:
        if _depth(encoded) > DEEPEST:
            return _unsayable(payload, "payload", 0) or "payload is nested too deep"
    return encoded


def _may_be_infinite(payload: dict[str, Any]) -> bool:
    try:
        return _NOT_FINITE.search(_to_msgpack(payload)) is not None
    except (TypeError, ValueError, OverflowError, RecursionError):  # an integer of more than 64 bits
        return True


def _depth(encoded: bytes) -> int:
    """How deep objects and arrays of a JSON text are nested; what walks payloads calls itself so often."""
    depth = deepest = 0
    for found in _BRACKETS.finditer(encoded):
        sign = encoded[found.start()]
        if sign in b"{[":
            depth += 1
            deepest = max(deepest, depth)
        elif sign in b"}]":
            depth -= 1
    return deepest


def _unsayable(value: object, path: str, depth: int) -> str | None:
    """The place in a payload that JSON cannot say, in words; None if there is none."""
    if depth >= DEEPEST:
        return f"{path[:60]}... is nested too deep"
    match value:
        case float() if not math.isfinite(value):
            return f"{path} is {value}"
        case str() if not _is_text(value):
            return f"{path} is text that has no UTF-8 form"
        case dict():
            for key, item in value.items():
                if (isinstance(key, str) and not _is_text(key)) or not _encodes({key: 0}):
                    return f"{path} key {key!r} is no text"
                if found := _unsayable(item, f"{path}.{key}", depth + 1):
                    return found
        case list() | tuple():
            for index, item in enumerate(value):
                if found := _unsayable(item, f"{path}[{index}]", depth + 1):
                    return found
        case None | bool() | int() | float() | str():
            return None
        case _:
            return None if _encodes(value) else f"{path} is a {type(value).__name__}"
    return None


def _encodes(value: object) -> bool:
    try:
        msgspec.json.encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError):
        return False
    return True


def _is_text(text: str) -> bool:
    """Whether the text has a UTF-8 form: a lone surrogate, as in odd file names, has none."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
