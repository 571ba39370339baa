"""Tool calls put together from the fragments they are streamed in."""

from collections.abc import Iterable
from typing import Any

import msgspec

from planaria.membrane.ids import short_hash
from planaria.membrane.provider import MALFORMED, ToolCall
from planaria.membrane.wire.wire_names import WireNames

MOST_NESTED = 64
"""Objects and arrays within one another that arguments may have; all that reads them calls itself so often."""
_object_decoder: msgspec.json.Decoder[dict[str, Any]] = msgspec.json.Decoder(dict[str, Any])


class PartialCall:
    """One tool call still being streamed."""

    __slots__ = ("arguments", "id", "name", "vendor")

    def __init__(self, id: str = "", name: str = "") -> None:
        self.id = id
        self.name = name
        self.arguments: list[str] = []
        self.vendor: dict[str, Any] | None = None

    def add_name(self, piece: str) -> None:
        """Names come whole, in pieces, or whole again with every fragment."""
        if piece != self.name:
            self.name += piece


class PartialCalls:
    """The calls of one answer, in the order they began.

    Servers differ: fragments are told apart by their index; without one, or when all carry the same, a new id
    together with a name begins a new call.
    """

    def __init__(self) -> None:
        self.calls: list[PartialCall] = []
        self._by_index: dict[int, PartialCall] = {}

    def add(
        self, index: int | None, id: str | None, name: str | None, arguments: str | dict[str, Any] | None
    ) -> PartialCall:
        """Take one fragment; the call it belongs to."""
        call = self._find(index, id or "", name or "")
        if id and not call.id:
            call.id = id
        if name:
            call.add_name(name)
        if isinstance(arguments, dict):
            call.arguments = [msgspec.json.encode(arguments).decode()]
        elif arguments:
            call.arguments.append(arguments)
        return call

    def _find(self, index: int | None, id: str, name: str) -> PartialCall:
        if index is not None:
            known = self._by_index.get(index)
        elif id:
            known = next((call for call in self.calls if call.id == id), None)
        else:
            # A bare fragment continues the last call; a bare name begins one once the last has its arguments.
            known = self.calls[-1] if self.calls and not (name and self.calls[-1].arguments) else None
        if known is None or (known.id and id and name and known.id != id):
            known = PartialCall()
            self.calls.append(known)
            if index is not None:
                self._by_index[index] = known
        return known


def finished_calls(calls: Iterable[PartialCall], names: WireNames) -> list[ToolCall]:
    """The whole calls of one answer. No two have one id: results go by it, and providers refuse what repeats one."""
    found: dict[str, ToolCall] = {}
    for position, partial in enumerate(calls):
        call = finished_call(partial, names.back(partial.name), position)
        while call.id in found:
            call = msgspec.structs.replace(call, id=f"{call.id}_{position}")
        found[call.id] = call
    return [*found.values()]


def finished_call(call: PartialCall, name: str, position: int) -> ToolCall:
    """The whole call. `name` is our name for it; an id is made up, always the same, where the server sent none."""
    raw = "".join(call.arguments).strip()
    call_id = call.id or f"call_{position}_{short_hash(name, raw)}"
    try:
        arguments = _object_decoder.decode(raw) if raw and raw != "null" else {}
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        arguments = {MALFORMED: raw}
    if raw.count("{") + raw.count("[") > MOST_NESTED and _is_deeper(arguments, MOST_NESTED):
        arguments = {MALFORMED: raw}
    return ToolCall(call_id, name, arguments, call.vendor)


def _is_deeper(value: object, most: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return inner is not None and (most == 0 or any(_is_deeper(each, most - 1) for each in inner))
