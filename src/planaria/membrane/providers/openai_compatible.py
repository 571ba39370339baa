"""Chat completions, streamed: OpenAI, OpenRouter, Groq, DeepSeek, Mistral, xAI, Gemini, Ollama, LM Studio, vLLM.

Source: OpenAI's API reference, "Chat completions", and what the servers above really send: no usage, usage in an
event without choices, tool calls without index, whole or with arguments as an object, content null or in parts,
reasoning under two names, an error object inside a stream that began with 200, an answer that is not streamed.
Does badly: audio, images, logprobs and more than one choice are not asked for; earlier reasoning is not sent back.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any

import msgspec

from planaria.config.secret import Secret
from planaria.membrane.errors import BadAnswer
from planaria.membrane.provider import (
    Message,
    ModelInfo,
    ModelRequest,
    ModelResponse,
    Piece,
    ReasoningDelta,
    TextDelta,
    ToolCall,
    Usage,
)
from planaria.membrane.providers.http_provider import (
    MAX_WHOLE_ANSWER,
    EventReader,
    HttpProvider,
    is_event_stream,
)
from planaria.membrane.wire.assembly import PartialCalls, finished_call
from planaria.membrane.wire.http_stream import DEFAULT_LIMITS, HttpCall, Limits
from planaria.membrane.wire.sse import ServerEvent
from planaria.membrane.wire.vendor_errors import from_stream
from planaria.membrane.wire.wire_names import WireNames


class Quirks(msgspec.Struct, frozen=True):
    """Where a service leaves the common path.

    Args:
        max_tokens_key: OpenAI's own newer models refuse `max_tokens`.
        ask_usage: whether `stream_options` may be sent; Mistral refuses it and tells usage unasked.
        nine_character_ids: Mistral takes tool call ids of exactly nine letters and digits.
        call_extras: Gemini wants the `extra_content` of its tool calls (signatures of its thinking) back.
        unthinking_tools: models (a regular expression) that take tools here only with `reasoning_effort` "none",
            and a temperature only then; OpenAI keeps both together for its Responses API.
        extra: fields added to every request.
    """

    max_tokens_key: str = "max_tokens"
    ask_usage: bool = True
    nine_character_ids: bool = False
    call_extras: bool = False
    unthinking_tools: str = ""
    extra: dict[str, Any] = {}


NO_QUIRKS = Quirks()


# --- what comes over the wire ---------------------------------------------------------


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | dict[str, Any] | None = None


class _Call(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None
    extra_content: Any = None


class _Delta(msgspec.Struct):
    content: str | list[Any] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[_Call] | None = None


class _Choice(msgspec.Struct):
    index: int | None = 0
    delta: _Delta | None = None
    message: _Delta | None = None
    finish_reason: str | None = None


class _PromptDetails(msgspec.Struct):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    prompt_tokens_details: _PromptDetails | None = None
    prompt_cache_hit_tokens: int | None = None  # DeepSeek


class _GroqExtra(msgspec.Struct):
    usage: _Usage | None = None


class _Chunk(msgspec.Struct):
    model: str | None = None
    object: str | None = None
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: Any = None
    message: Any = None
    code: Any = None
    x_groq: _GroqExtra | None = None


class _ModelEntry(msgspec.Struct):
    id: str
    context_length: int | None = None  # OpenRouter
    max_model_len: int | None = None  # vLLM
    context_window: int | None = None  # Groq
    max_context_length: int | None = None  # LM Studio, Mistral


class _ModelList(msgspec.Struct):
    data: list[_ModelEntry] | None = None


_decoder = msgspec.json.Decoder(_Chunk)


class OpenAICompatible(HttpProvider):
    """A service that speaks OpenAI's chat completions. Arguments as `HttpProvider`, and where it differs."""

    def __init__(
        self,
        name: str,
        base_url: str,
        key: Secret | None = None,
        key_variable: str | None = None,
        known_models: tuple[str, ...] = (),
        local: bool = False,
        allow_http: bool = False,
        limits: Limits = DEFAULT_LIMITS,
        quirks: Quirks = NO_QUIRKS,
    ) -> None:
        super().__init__(name, base_url, key, key_variable, known_models, local, allow_http, limits)
        self.quirks = quirks

    def headers(self) -> dict[str, str]:
        headers = {"content-type": "application/json", "accept": "text/event-stream, application/json"}
        if self.vendor.key:
            headers["authorization"] = f"Bearer {self.vendor.key.reveal()}"
        return headers

    async def stream(self, request: ModelRequest) -> AsyncIterator[Piece]:
        names = WireNames(tool.name for tool in request.tools)
        body = msgspec.json.encode(request_body(request, names, self.quirks))
        answer = _Answer()
        async with self.call("POST", "/chat/completions", body, request.idempotency_key) as response:
            await self.expect_ok(response, request.model)
            if is_event_stream(response.headers):
                reader = EventReader(self.name, response)
                while not answer.done and (events := await reader.next()):
                    for event in events:
                        for piece in self._take(event, answer, request.model):
                            yield piece
                await response.finish()
            else:
                for piece in await self._whole(response, answer, request.model):
                    yield piece
        if not answer.done and answer.finish_reason is None:
            raise self.cut()
        yield answer.response(self.name, request.model, names)

    def _take(self, event: ServerEvent, answer: _Answer, model: str) -> Sequence[Piece]:
        """Add one event to the answer; the pieces it brings."""
        data = event.data
        if answer.done or not data:
            return ()
        if data == b"[DONE]":
            answer.done = True
            return ()
        try:
            chunk = _decoder.decode(data)
        except (msgspec.DecodeError, UnicodeError) as error:
            if event.event == "error":
                raise from_stream(self.vendor, model, data.decode("utf-8", "replace")) from error
            raise self.unreadable(error) from error
        if chunk.error or event.event == "error" or chunk.object == "error":
            raise from_stream(self.vendor, model, msgspec.json.decode(data))
        return answer.take(chunk)

    async def _whole(self, response: HttpCall, answer: _Answer, model: str) -> Sequence[Piece]:
        """An answer in one piece, from a server that does not stream."""
        data = await response.read_all(MAX_WHOLE_ANSWER)
        try:
            chunk = _decoder.decode(data)
        except (msgspec.DecodeError, UnicodeError) as error:
            raise BadAnswer(
                f"{self.name} answered what is neither a stream nor a completion: {error}"
            ) from error
        if chunk.error or chunk.object == "error":
            raise from_stream(self.vendor, model, msgspec.json.decode(data))
        if not chunk.choices:
            raise BadAnswer(f"{self.name} answered with JSON that holds no choices: is base_url right?")
        answer.done = True
        return answer.take(chunk)

    async def models(self) -> list[ModelInfo]:
        entries = (await self.get_json("/models", _ModelList)).data or []
        return [
            ModelInfo(e.id, e.context_length or e.max_model_len or e.context_window or e.max_context_length)
            for e in entries
        ]


class _Answer:
    """One answer while it streams."""

    def __init__(self) -> None:
        self.text: list[str] = []
        self.reasoning: list[str] = []
        self.calls = PartialCalls()
        self.usage: _Usage | None = None
        self.finish_reason: str | None = None
        self.refused = False
        self.model: str | None = None
        self.done = False

    def take(self, chunk: _Chunk) -> Sequence[Piece]:
        """Add one chunk; the pieces it brings."""
        pieces: list[Piece] = []
        if chunk.model:
            self.model = chunk.model
        usage = chunk.usage or (chunk.x_groq.usage if chunk.x_groq else None)
        if usage is not None:
            self.usage = usage
        for choice in chunk.choices or ():
            if choice.index:
                continue  # Only one was asked for.
            delta = choice.delta or choice.message
            if delta is not None:
                if reasoning := delta.reasoning_content or delta.reasoning:
                    self._think(reasoning, pieces)
                if isinstance(delta.content, str):
                    self._say(delta.content, pieces)
                elif delta.content:
                    self._parts(delta.content, pieces)
                if delta.refusal:
                    self.refused = True
                    self._say(delta.refusal, pieces)
                for call in delta.tool_calls or ():
                    function = call.function or _Function()
                    partial = self.calls.add(call.index, call.id, function.name, function.arguments)
                    if isinstance(call.extra_content, dict):
                        partial.vendor = call.extra_content
            if choice.finish_reason:
                self.finish_reason = choice.finish_reason
        return pieces

    def _say(self, text: object, pieces: list[Piece]) -> None:
        if isinstance(text, str) and text:
            self.text.append(text)
            pieces.append(TextDelta(text))

    def _think(self, text: object, pieces: list[Piece]) -> None:
        if isinstance(text, str) and text:
            self.reasoning.append(text)
            pieces.append(ReasoningDelta(text))

    def _parts(self, parts: list[Any], pieces: list[Piece]) -> None:
        """Content in parts, as Mistral's reasoning models send it."""
        for part in parts:
            match part:
                case {"type": "text", "text": text}:
                    self._say(text, pieces)
                case {"type": "thinking", "thinking": [*thoughts]}:
                    for thought in thoughts:
                        self._think(thought.get("text") if isinstance(thought, dict) else thought, pieces)
                case {"type": "thinking", "thinking": thought}:
                    self._think(thought, pieces)
                case _:
                    pass

    def response(self, provider: str, asked: str, names: WireNames) -> ModelResponse:
        """The whole answer."""
        calls = tuple(
            finished_call(call, names.back(call.name), position)
            for position, call in enumerate(self.calls.calls)
        )
        reason = self.finish_reason or "stop"
        if self.refused:
            reason = "content_filter"
        elif calls and reason in ("stop", "function_call", "tool_calls"):
            reason = "tool_calls"  # Several servers say "stop".
        return ModelResponse(
            "".join(self.text),
            calls,
            _usage(self.usage),
            reason,
            self.model or asked,
            provider,
            "".join(self.reasoning),
        )


def request_body(request: ModelRequest, names: WireNames, quirks: Quirks = NO_QUIRKS) -> dict[str, Any]:
    """The JSON of one call. Pure."""
    body: dict[str, Any] = {
        "model": request.model,
        "messages": _messages(request.messages, names, quirks),
        "stream": True,
        **quirks.extra,
    }
    if quirks.ask_usage:
        body["stream_options"] = {"include_usage": True}
    if request.tools:
        body["tools"] = [
            {
                "type": "function",
                "function": {
                    "name": names.there(tool.name),
                    "description": tool.description,
                    "parameters": tool.parameters,
                },
            }
            for tool in request.tools
        ]
    if request.max_tokens is not None:
        body[quirks.max_tokens_key] = request.max_tokens
    unthinking = bool(quirks.unthinking_tools and re.match(quirks.unthinking_tools, request.model))
    if unthinking and request.tools:
        body["reasoning_effort"] = "none"
    if request.temperature is not None and (request.tools or not unthinking):
        body["temperature"] = request.temperature
    return body


def _messages(messages: Iterable[Message], names: WireNames, quirks: Quirks) -> list[dict[str, Any]]:
    def wire_id(call_id: str) -> str:
        if not quirks.nine_character_ids or (len(call_id) == 9 and call_id.isascii() and call_id.isalnum()):
            return call_id
        return hashlib.sha256(call_id.encode()).hexdigest()[:9]

    def wire_call(call: ToolCall) -> dict[str, Any]:
        arguments = msgspec.json.encode(call.arguments).decode()
        function = {"name": names.there(call.name), "arguments": arguments}
        wired: dict[str, Any] = {"id": wire_id(call.id), "type": "function", "function": function}
        if quirks.call_extras and call.vendor:
            wired["extra_content"] = call.vendor
        return wired

    wired: list[dict[str, Any]] = []
    for message in messages:
        entry: dict[str, Any] = {"role": message.role, "content": message.content}
        if message.tool_calls:
            entry["tool_calls"] = [wire_call(call) for call in message.tool_calls]
        if message.role == "tool":
            entry["tool_call_id"] = wire_id(message.tool_call_id or "")
        wired.append(entry)
    return wired


def _usage(told: _Usage | None) -> Usage:
    if told is None:
        return Usage()
    prompt, completion = told.prompt_tokens or 0, told.completion_tokens or 0
    # xAI and Gemini count thinking only in the total, and bill it as output.
    output = max(completion, (told.total_tokens or 0) - prompt)
    details = told.prompt_tokens_details or _PromptDetails()
    cached = details.cached_tokens or told.prompt_cache_hit_tokens or 0
    return Usage(prompt, output, min(cached, prompt), min(details.cache_write_tokens or 0, prompt))
