"""An answer of Anthropic's Messages, read event by event.

Unknown events, blocks and deltas are skipped, as the reference asks. Input tokens are normalised to the whole prompt
(the API counts cached parts apart).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from planaria.membrane.errors import BadAnswer
from planaria.membrane.provider import Delta, ModelResponse, ReasoningDelta, TextDelta, Usage
from planaria.membrane.providers.http_provider import cut, unreadable
from planaria.membrane.wire.assembly import PartialCall, finished_calls
from planaria.membrane.wire.sse import ServerEvent
from planaria.membrane.wire.vendor_errors import Vendor, from_stream
from planaria.membrane.wire.wire_names import WireNames

FINISH_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filter",
}


# --- what comes over the wire ---------------------------------------------------------


class _OutputDetails(msgspec.Struct, gc=False):
    thinking_tokens: int | None = None


class _Usage(msgspec.Struct, gc=False):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    output_tokens_details: _OutputDetails | None = None


class _MessageStart(msgspec.Struct, gc=False):
    id: str | None = None
    model: str | None = None
    usage: _Usage | None = None


class _Block(msgspec.Struct, gc=False):
    type: str = ""
    text: str | None = None
    thinking: str | None = None
    id: str | None = None
    name: str | None = None
    input: Any = None
    signature: str | None = None
    data: str | None = None


class _Delta(msgspec.Struct, gc=False):
    type: str = ""
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    partial_json: str | None = None
    stop_reason: str | None = None


class _Event(msgspec.Struct, gc=False):
    type: str = ""
    index: int = 0
    message: _MessageStart | None = None
    content_block: _Block | None = None
    delta: _Delta | None = None
    usage: _Usage | None = None
    error: Any = None


_decoder = msgspec.json.Decoder(_Event)


class MessageReading:
    """One answer while it comes; see `Reading`. Keeps its blocks by index, as they must go back.

    Args:
        prefix: digest of all that its thinking is bound to.
    """

    def __init__(self, vendor: Vendor, asked: str, names: WireNames, prefix: str) -> None:
        self.done = False
        self._begun = False
        self._vendor = vendor
        self._asked = asked
        self._names = names
        self._prefix = prefix
        self.text: list[str] = []
        self.reasoning: list[str] = []
        self.calls: dict[int, PartialCall] = {}
        self.blocks: dict[int, dict[str, Any]] = {}
        self.usage = _Usage()
        self.stop_reason: str | None = None
        self.model: str | None = None
        self.id = ""

    def take(self, event: ServerEvent) -> Sequence[Delta]:
        """See `Reading.take`."""
        data = event.data
        if self.done or not data:
            return ()
        self._begun = True
        try:
            told = _decoder.decode(data)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise unreadable(self._vendor.name, error) from error
        if told.type == "error" or told.error:
            raise from_stream(self._vendor, self._asked, msgspec.json.decode(data))
        return self._take(told)

    def whole(self, data: bytes) -> Sequence[Delta]:
        """See `Reading.whole`; this dialect is always asked for a stream."""
        raise BadAnswer(
            f"{self._vendor.name} answered something else instead of a stream: is base_url right?"
        )

    def _take(self, event: _Event) -> Sequence[Delta]:
        match event.type:
            case "content_block_delta" if event.delta is not None:
                return self._grow(event.index, event.delta)
            case "content_block_start" if event.content_block is not None:
                return self._begin(event.index, event.content_block)
            case "message_start" if event.message is not None:
                self.model = event.message.model
                self.id = event.message.id or ""
                self._count(event.message.usage)
            case "message_delta":
                self._count(event.usage)
                if event.delta is not None and event.delta.stop_reason:
                    self.stop_reason = event.delta.stop_reason
            case "message_stop":
                self.done = True
            case _:
                pass  # ping, and events still to be invented
        return ()

    def _begin(self, index: int, block: _Block) -> Sequence[Delta]:
        match block.type:
            case "tool_use":
                call = PartialCall(block.id or "", block.name or "")
                self.calls[index] = call
                if block.input:  # Whole at once, from servers that do not stream arguments.
                    call.arguments.append(msgspec.json.encode(block.input).decode())
            case "text":
                self.blocks[index] = {"type": "text", "text": ""}
                return self._say(index, block.text)
            case "thinking":
                self.blocks[index] = {"type": "thinking", "thinking": "", "signature": block.signature or ""}
                return self._think(index, block.thinking)
            case "redacted_thinking":
                self.blocks[index] = {"type": "redacted_thinking", "data": block.data or ""}
            case _:
                pass
        return ()

    def _grow(self, index: int, delta: _Delta) -> Sequence[Delta]:
        if delta.text:
            return self._say(index, delta.text)
        if delta.thinking:
            return self._think(index, delta.thinking)
        if delta.signature and index in self.blocks:
            self.blocks[index]["signature"] = self.blocks[index].get("signature", "") + delta.signature
        elif delta.partial_json and index in self.calls:
            self.calls[index].arguments.append(delta.partial_json)
        return ()

    def _say(self, index: int, text: str | None) -> Sequence[Delta]:
        if not text:
            return ()
        self.text.append(text)
        return (TextDelta(text),)

    def _think(self, index: int, text: str | None) -> Sequence[Delta]:
        if not text:
            return ()
        self.reasoning.append(text)
        if index in self.blocks:
            self.blocks[index]["thinking"] += text
        return (ReasoningDelta(text),)

    def _count(self, told: _Usage | None) -> None:
        """Counts are cumulative: the last one told is the truth."""
        if told is None:
            return
        for field in msgspec.structs.fields(_Usage):
            value = getattr(told, field.name)
            if value is not None:
                setattr(self.usage, field.name, value)

    @property
    def charged(self) -> Usage | None:
        """See `Reading.charged`."""
        told = self.usage
        if told.input_tokens is None and told.output_tokens is None:
            return None
        read, written = told.cache_read_input_tokens or 0, told.cache_creation_input_tokens or 0
        details = told.output_tokens_details or _OutputDetails()
        output = told.output_tokens or 0
        prompt = (told.input_tokens or 0) + read + written
        return Usage(prompt, output, read, written, min(details.thinking_tokens or 0, output))

    @property
    def written(self) -> int | None:
        """See `Reading.written`; what is told at the beginning is the prompt, the answer is counted at its end."""
        if not self._begun or self.stop_reason is not None:
            return None
        arguments = (piece for call in self.calls.values() for piece in call.arguments)
        return sum(map(len, (*self.text, *self.reasoning, *arguments)))

    def response(self) -> ModelResponse:
        """See `Reading.response`."""
        if not self.done and self.stop_reason is None:
            raise cut(self._vendor.name)
        calls = finished_calls((call for _, call in sorted(self.calls.items())), self._names)
        vendor: dict[str, Any] | None = None
        if any(block["type"] != "text" for block in self.blocks.values()):
            vendor = {"anthropic": {"model": self._asked, "prefix": self._prefix, "blocks": self._in_order()}}
        if calls and vendor is not None:
            calls[0] = msgspec.structs.replace(calls[0], vendor=vendor)
        stop = self.stop_reason or ("tool_use" if calls else "end_turn")
        return ModelResponse(
            "".join(self.text),
            tuple(calls),
            self.charged or Usage(),
            FINISH_REASONS.get(stop, stop),
            self.model or self._asked,
            self._vendor.name,
            "".join(self.reasoning),
            None if calls else vendor,
            self.id,
        )

    def _in_order(self) -> list[Any]:
        """Thinking blocks as they came; text and calls, which the message has itself, by a word."""
        places = sorted({*self.blocks, *self.calls})
        return ["call" if i in self.calls else self._kept(self.blocks[i]) for i in places]

    def _kept(self, block: dict[str, Any]) -> Any:
        return "text" if block["type"] == "text" else block
