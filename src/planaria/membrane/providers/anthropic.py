"""Anthropic Messages, streamed.

Source: Anthropic's API reference, "Streaming Messages" (version 2023-06-01). Unknown events, blocks and deltas are
skipped, as it asks. Input tokens are normalised to the whole prompt (the API counts cached parts apart).
When tools are offered the prompt is marked for the provider's cache, since a tool loop sends it again: its first
call costs a quarter more on the marked part, each further one a tenth.
Does badly: earlier thinking is not sent back, images and server tools are not used.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any
from urllib.parse import quote

import msgspec

from planaria.membrane.assembly import PartialCall, finished_call
from planaria.membrane.errors import BadAnswer, RequestRefused
from planaria.membrane.provider import (
    Message,
    ModelInfo,
    ModelRequest,
    ModelResponse,
    Piece,
    ReasoningDelta,
    TextDelta,
    Usage,
)
from planaria.membrane.providers.http_provider import EventReader, HttpProvider, is_event_stream
from planaria.membrane.vendor_errors import from_stream
from planaria.membrane.wire_names import WireNames

VERSION = "2023-06-01"
DEFAULT_MAX_TOKENS = 8192
"""The API wants a bound; this one fits every model since 2024."""
MAX_MODEL_PAGES = 20

FINISH_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filter",
}

_CACHE_MARK = {"type": "ephemeral"}
_NOT_IN_IDS = re.compile(r"[^a-zA-Z0-9_-]")


# --- what comes over the wire ---------------------------------------------------------


class _Usage(msgspec.Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None


class _MessageStart(msgspec.Struct):
    model: str | None = None
    usage: _Usage | None = None


class _Block(msgspec.Struct):
    type: str = ""
    text: str | None = None
    thinking: str | None = None
    id: str | None = None
    name: str | None = None
    input: Any = None


class _Delta(msgspec.Struct):
    type: str = ""
    text: str | None = None
    thinking: str | None = None
    partial_json: str | None = None
    stop_reason: str | None = None


class _Event(msgspec.Struct):
    type: str = ""
    index: int = 0
    message: _MessageStart | None = None
    content_block: _Block | None = None
    delta: _Delta | None = None
    usage: _Usage | None = None
    error: Any = None


class _ModelEntry(msgspec.Struct):
    id: str
    max_input_tokens: int | None = None
    max_tokens: int | None = None


class _ModelPage(msgspec.Struct):
    data: list[_ModelEntry]
    has_more: bool = False
    last_id: str | None = None


_decoder = msgspec.json.Decoder(_Event)


class Anthropic(HttpProvider):
    """Anthropic, or a server that speaks its Messages API."""

    def headers(self) -> dict[str, str]:
        headers = {
            "content-type": "application/json",
            "accept": "text/event-stream, application/json",
            "anthropic-version": VERSION,
        }
        if self.vendor.key:
            headers["x-api-key"] = self.vendor.key.reveal()
        return headers

    async def stream(self, request: ModelRequest) -> AsyncIterator[Piece]:
        names = WireNames(tool.name for tool in request.tools)
        body = msgspec.json.encode(request_body(request, names))
        answer = _Answer()
        async with self.call("POST", "/messages", body) as response:
            await self.expect_ok(response, request.model)
            if not is_event_stream(response.headers):
                kind = response.headers.get("content-type", "nothing")
                raise BadAnswer(f"{self.name} answered {kind!r} instead of a stream: is base_url right?")
            reader = EventReader(self.name, response)
            while not answer.stopped and (events := await reader.next()):
                for event in events:
                    for piece in self._take(event.data, answer, request.model):
                        yield piece
            await response.finish()
        if not answer.stopped and answer.stop_reason is None:
            raise self.cut()
        yield answer.response(self.name, request.model, names)

    def _take(self, data: bytes, answer: _Answer, model: str) -> Sequence[Piece]:
        """Add one event to the answer; the pieces it brings."""
        if answer.stopped or not data:
            return ()
        try:
            event = _decoder.decode(data)
        except (msgspec.DecodeError, UnicodeError) as error:
            raise self.unreadable(error) from error
        if event.type == "error" or event.error:
            raise from_stream(self.vendor, model, msgspec.json.decode(data))
        return answer.take(event)

    async def models(self) -> list[ModelInfo]:
        found: list[ModelInfo] = []
        path = "/models?limit=1000"
        for _ in range(MAX_MODEL_PAGES):
            page = await self.get_json(path, _ModelPage)
            found.extend(ModelInfo(entry.id, entry.max_input_tokens, entry.max_tokens) for entry in page.data)
            if not page.has_more or not page.last_id:
                break
            path = f"/models?limit=1000&after_id={quote(page.last_id, safe='')}"
        return found


class _Answer:
    """One answer while it streams."""

    def __init__(self) -> None:
        self.text: list[str] = []
        self.reasoning: list[str] = []
        self.calls: dict[int, PartialCall] = {}
        self.usage = _Usage()
        self.stop_reason: str | None = None
        self.model: str | None = None
        self.stopped = False

    def take(self, event: _Event) -> Sequence[Piece]:
        """Add one event; the pieces it brings."""
        delta, block = event.delta, event.content_block
        match event.type:
            case "content_block_delta" if delta is not None:
                if delta.text:
                    return self._say(delta.text)
                if delta.thinking:
                    return self._think(delta.thinking)
                if delta.partial_json and event.index in self.calls:
                    self.calls[event.index].arguments.append(delta.partial_json)
            case "content_block_start" if block is not None:
                if block.type == "tool_use":
                    call = PartialCall(block.id or "", block.name or "")
                    self.calls[event.index] = call
                    if block.input:  # Whole at once, from servers that do not stream arguments.
                        call.arguments.append(msgspec.json.encode(block.input).decode())
                elif block.type == "text" and block.text:
                    return self._say(block.text)
                elif block.type == "thinking" and block.thinking:
                    return self._think(block.thinking)
            case "message_start" if event.message is not None:
                self.model = event.message.model
                self._count(event.message.usage)
            case "message_delta":
                self._count(event.usage)
                if delta is not None and delta.stop_reason:
                    self.stop_reason = delta.stop_reason
            case "message_stop":
                self.stopped = True
        return ()

    def _say(self, text: str) -> Sequence[Piece]:
        self.text.append(text)
        return (TextDelta(text),)

    def _think(self, text: str) -> Sequence[Piece]:
        self.reasoning.append(text)
        return (ReasoningDelta(text),)

    def _count(self, told: _Usage | None) -> None:
        """Counts are cumulative: the last one told is the truth."""
        if told is None:
            return
        for field in msgspec.structs.fields(_Usage):
            value = getattr(told, field.name)
            if value is not None:
                setattr(self.usage, field.name, value)

    def response(self, provider: str, asked: str, names: WireNames) -> ModelResponse:
        """The whole answer."""
        told = self.usage
        read, written = told.cache_read_input_tokens or 0, told.cache_creation_input_tokens or 0
        usage = Usage((told.input_tokens or 0) + read + written, told.output_tokens or 0, read, written)
        calls = tuple(
            finished_call(call, names.back(call.name), position)
            for position, (_, call) in enumerate(sorted(self.calls.items()))
        )
        stop = self.stop_reason or ("tool_use" if calls else "end_turn")
        reason = FINISH_REASONS.get(stop, stop)
        return ModelResponse(
            "".join(self.text), calls, usage, reason, self.model or asked, provider, "".join(self.reasoning)
        )


def request_body(request: ModelRequest, names: WireNames) -> dict[str, Any]:
    """The JSON of one call. Pure.

    Raises:
        RequestRefused: nothing but system messages.
    """
    system, turns = _turns(request.messages, names)
    if not turns:
        raise RequestRefused("a request needs at least one message that is not a system message")
    body: dict[str, Any] = {
        "model": request.model,
        "max_tokens": request.max_tokens or DEFAULT_MAX_TOKENS,
        "messages": turns,
        "stream": True,
    }
    if system:
        body["system"] = [{"type": "text", "text": system}]
    if request.temperature is not None:
        body["temperature"] = request.temperature
    if request.tools:
        body["tools"] = [
            {"name": names.there(tool.name), "description": tool.description, "input_schema": tool.parameters}
            for tool in request.tools
        ]
        if system:
            body["system"][-1]["cache_control"] = _CACHE_MARK
        turns[-1]["content"][-1]["cache_control"] = _CACHE_MARK
    return body


def _turns(messages: tuple[Message, ...], names: WireNames) -> tuple[str, list[dict[str, Any]]]:
    """System text, and turns that alternate: neighbours of one role are merged, as tool results must be."""
    system: list[str] = []
    turns: list[dict[str, Any]] = []
    for message in messages:
        if message.role == "system" and not turns:
            system.append(message.content)
            continue
        blocks = list(_blocks(message, names))
        role = "assistant" if message.role == "assistant" else "user"
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"].extend(blocks)
        elif blocks:
            turns.append({"role": role, "content": blocks})
    return "\n\n".join(text for text in system if text), turns


def _blocks(message: Message, names: WireNames) -> Iterator[dict[str, Any]]:
    if message.role == "tool":
        result: dict[str, Any] = {"type": "tool_result", "tool_use_id": _wire_id(message.tool_call_id or "")}
        if message.content:
            result["content"] = message.content
        yield result
        return
    if message.content.strip():  # The API refuses blank text.
        # A system message in the middle has no place of its own here; it is sent as a marked note.
        text = f"[system note] {message.content}" if message.role == "system" else message.content
        yield {"type": "text", "text": text}
    for call in message.tool_calls:
        yield {
            "type": "tool_use",
            "id": _wire_id(call.id),
            "name": names.there(call.name),
            "input": call.arguments,
        }


def _wire_id(call_id: str) -> str:
    return _NOT_IN_IDS.sub("_", call_id) or "_"
