"""Anthropic Messages, streamed.

Source: Anthropic's API reference, "Streaming Messages" and "Preserved thinking" (version 2026-10-21). Unknown events,
blocks and deltas are skipped, as it asks. Input tokens are normalised to the whole prompt (the API counts cached
parts apart). When tools are offered the prompt is marked for the provider's cache, since a tool loop sends it again:
its first call costs a quarter more on the marked part, each further one a tenth. Newer models think unasked; their
thinking goes back unchanged with the tool calls it led to, unless something before it has changed, which the API
would refuse.
Does badly: images and server tools are not used; temperature is not sent, since this version refuses it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator, Sequence
from typing import Any
from urllib.parse import quote

import msgspec

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
from planaria.membrane.wire.assembly import PartialCall, finished_call
from planaria.membrane.wire.vendor_errors import from_stream
from planaria.membrane.wire.wire_names import WireNames

VERSION = "2026-10-21"
DEFAULT_MAX_TOKENS = 32_000
"""The API wants a bound, thinking counts into it; this one fits every model since Claude 4."""
OLD_MAX_TOKENS = 4096
"""The bound that fits the models before."""
MAX_MODEL_PAGES = 20

FINISH_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filter",
}

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
    signature: str | None = None
    data: str | None = None


class _Delta(msgspec.Struct):
    type: str = ""
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
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
        body, prefix = request_body(request, names)
        answer = _Answer()
        payload = msgspec.json.encode(body)
        async with self.call("POST", "/messages", payload, request.idempotency_key) as response:
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
        yield answer.response(self.name, request.model, names, prefix)

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
    """One answer while it streams: its blocks by index, as they must go back."""

    def __init__(self) -> None:
        self.text: list[str] = []
        self.reasoning: list[str] = []
        self.calls: dict[int, PartialCall] = {}
        self.blocks: dict[int, dict[str, Any]] = {}
        self.usage = _Usage()
        self.stop_reason: str | None = None
        self.model: str | None = None
        self.stopped = False

    def take(self, event: _Event) -> Sequence[Piece]:
        """Add one event; the pieces it brings."""
        match event.type:
            case "content_block_delta" if event.delta is not None:
                return self._grow(event.index, event.delta)
            case "content_block_start" if event.content_block is not None:
                return self._begin(event.index, event.content_block)
            case "message_start" if event.message is not None:
                self.model = event.message.model
                self._count(event.message.usage)
            case "message_delta":
                self._count(event.usage)
                if event.delta is not None and event.delta.stop_reason:
                    self.stop_reason = event.delta.stop_reason
            case "message_stop":
                self.stopped = True
            case _:
                pass  # ping, and events still to be invented
        return ()

    def _begin(self, index: int, block: _Block) -> Sequence[Piece]:
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

    def _grow(self, index: int, delta: _Delta) -> Sequence[Piece]:
        if delta.text:
            return self._say(index, delta.text)
        if delta.thinking:
            return self._think(index, delta.thinking)
        if delta.signature and index in self.blocks:
            self.blocks[index]["signature"] = self.blocks[index].get("signature", "") + delta.signature
        elif delta.partial_json and index in self.calls:
            self.calls[index].arguments.append(delta.partial_json)
        return ()

    def _say(self, index: int, text: str | None) -> Sequence[Piece]:
        if not text:
            return ()
        self.text.append(text)
        return (TextDelta(text),)

    def _think(self, index: int, text: str | None) -> Sequence[Piece]:
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

    def response(self, provider: str, asked: str, names: WireNames, prefix: str) -> ModelResponse:
        """The whole answer."""
        told = self.usage
        read, written = told.cache_read_input_tokens or 0, told.cache_creation_input_tokens or 0
        usage = Usage((told.input_tokens or 0) + read + written, told.output_tokens or 0, read, written)
        calls = [
            finished_call(call, names.back(call.name), position)
            for position, (_, call) in enumerate(sorted(self.calls.items()))
        ]
        if calls and any(block["type"] != "text" for block in self.blocks.values()):
            kept = {"model": asked, "prefix": prefix, "blocks": self._in_order()}
            calls[0] = msgspec.structs.replace(calls[0], vendor={"anthropic": kept})
        stop = self.stop_reason or ("tool_use" if calls else "end_turn")
        return ModelResponse(
            "".join(self.text),
            tuple(calls),
            usage,
            FINISH_REASONS.get(stop, stop),
            self.model or asked,
            provider,
            "".join(self.reasoning),
        )

    def _in_order(self) -> list[Any]:
        """Thinking blocks as they came; text and calls, which the message has itself, by a word."""
        places = sorted({*self.blocks, *self.calls})
        return ["call" if i in self.calls else self._kept(self.blocks[i]) for i in places]

    def _kept(self, block: dict[str, Any]) -> Any:
        return "text" if block["type"] == "text" else block


def request_body(request: ModelRequest, names: WireNames) -> tuple[dict[str, Any], str]:
    """The JSON of one call, and a digest of all that the answer's thinking is bound to. Pure.

    Raises:
        RequestRefused: nothing but system messages.
    """
    leading = 0
    while leading < len(request.messages) and request.messages[leading].role == "system":
        leading += 1
    system = "\n\n".join(message.content for message in request.messages[:leading] if message.content)
    tools = [
        {"name": names.there(tool.name), "description": tool.description, "input_schema": tool.parameters}
        for tool in request.tools
    ]
    digest = hashlib.sha256(msgspec.json.encode([system, tools]))
    turns: list[dict[str, Any]] = []
    for message in request.messages[leading:]:
        blocks = _blocks(message, names, request.model, digest.hexdigest()[:16])
        role = "assistant" if message.role == "assistant" else "user"
        digest.update(msgspec.json.encode([role, blocks]))
        # Neighbours of one role are one turn, as results of several calls must be.
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"].extend(blocks)
        elif blocks:
            turns.append({"role": role, "content": blocks})
    if not turns:
        raise RequestRefused("a request needs at least one message that is not a system message")
    body: dict[str, Any] = {
        "model": request.model,
        "max_tokens": request.max_tokens or _bound(request.model),
        "messages": turns,
        "stream": True,
    }
    mark = {"cache_control": {"type": "ephemeral"}} if tools else {}
    if system:
        body["system"] = [{"type": "text", "text": system, **mark}]
    if tools:
        body["tools"] = tools
        if turns[-1]["role"] == "user":
            turns[-1]["content"][-1] |= mark
    return body, digest.hexdigest()[:16]


def _bound(model: str) -> int:
    return OLD_MAX_TOKENS if model.startswith("claude-3-") else DEFAULT_MAX_TOKENS


def _blocks(message: Message, names: WireNames, model: str, prefix: str) -> list[dict[str, Any]]:
    """One message's content."""
    if message.role == "tool":
        result: dict[str, Any] = {"type": "tool_result", "tool_use_id": _wire_id(message.tool_call_id or "")}
        if message.content:
            result["content"] = message.content
        return [result]
    texts: list[dict[str, Any]] = []
    if message.content.strip():  # The API refuses blank text.
        # A system message in the middle has no place of its own here; it is sent as a marked note.
        text = f"[system note] {message.content}" if message.role == "system" else message.content
        texts.append({"type": "text", "text": text})
    calls = [
        {"type": "tool_use", "id": _wire_id(call.id), "name": names.there(call.name), "input": call.arguments}
        for call in message.tool_calls
    ]
    thought = _thinking(message, model, prefix)
    if thought.count("call") != len(calls):
        return [*texts, *calls]
    said, called = iter(texts), iter(calls)
    blocks: list[dict[str, Any]] = []
    for block in thought:
        # All text stands where the first of it stood.
        following = next(said, None) if block == "text" else next(called) if block == "call" else dict(block)
        if following is not None:
            blocks.append(following)
    return [*blocks, *said]


def _thinking(message: Message, model: str, prefix: str) -> list[Any]:
    """The order of blocks a message came in, if its thinking may still go back; empty otherwise."""
    vendor = (message.tool_calls[0].vendor if message.tool_calls else None) or {}
    kept = vendor.get("anthropic")
    if not isinstance(kept, dict) or kept.get("model") != model or kept.get("prefix") != prefix:
        return []
    blocks = kept.get("blocks")
    return blocks if isinstance(blocks, list) else []


def _wire_id(call_id: str) -> str:
    return _NOT_IN_IDS.sub("_", call_id) or "_"
