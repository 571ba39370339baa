"""An answer of chat completions, read event by event.

Reads what servers really send: no usage, usage in an event without choices, tool calls without index, whole or with
arguments as an object, content null or in parts, reasoning under three names, an error object inside a stream that
began with 200, an answer that is not streamed.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_CEILING, Decimal
from typing import Any

import msgspec

from planaria.membrane.errors import BadAnswer
from planaria.membrane.provider import Delta, ModelResponse, ReasoningDelta, TextDelta, Usage
from planaria.membrane.providers.http_provider import cut, unreadable
from planaria.membrane.providers.openai_request import MINE
from planaria.membrane.wire.assembly import PartialCalls, finished_calls
from planaria.membrane.wire.sse import ServerEvent
from planaria.membrane.wire.vendor_errors import Vendor, from_stream
from planaria.membrane.wire.wire_names import WireNames

# --- what comes over the wire ---------------------------------------------------------


class _Function(msgspec.Struct, gc=False):
    name: str | None = None
    arguments: str | dict[str, Any] | None = None


class _Call(msgspec.Struct, gc=False):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None
    extra_content: Any = None


class _Delta(msgspec.Struct, gc=False):
    content: str | list[Any] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    reasoning_details: Any = None
    refusal: str | None = None
    tool_calls: list[_Call] | None = None


class _Choice(msgspec.Struct, gc=False):
    index: int | None = 0
    delta: _Delta | None = None
    message: _Delta | None = None
    finish_reason: str | None = None


class _PromptDetails(msgspec.Struct, gc=False):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class _CompletionDetails(msgspec.Struct, gc=False):
    reasoning_tokens: int | None = None


class _Usage(msgspec.Struct, gc=False):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _CompletionDetails | None = None
    prompt_cache_hit_tokens: int | None = None  # DeepSeek
    cost: Any = None  # OpenRouter, in USD


class _GroqExtra(msgspec.Struct, gc=False):
    usage: _Usage | None = None


class _Chunk(msgspec.Struct, gc=False):
    id: Any = None
    model: str | None = None
    object: str | None = None
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: Any = None
    message: Any = None
    code: Any = None
    x_groq: _GroqExtra | None = None


_decoder = msgspec.json.Decoder(_Chunk)


class ChatReading:
    """One answer while it comes; see `Reading`."""

    def __init__(self, vendor: Vendor, asked: str, names: WireNames) -> None:
        self.done = False
        self._begun = False
        self._vendor = vendor
        self._asked = asked
        self._names = names
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._details: list[dict[str, Any]] = []
        self._calls = PartialCalls()
        self._usage: _Usage | None = None
        self._finish_reason: str | None = None
        self._refused = False
        self._model: str | None = None
        self._id = ""

    def take(self, event: ServerEvent) -> Sequence[Delta]:
        """See `Reading.take`."""
        data = event.data
        if self.done or not data:
            return ()
        if data == b"[DONE]":
            self.done = True
            return ()
        self._begun = True
        try:
            chunk = _decoder.decode(data)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            if event.event == "error":
                raise from_stream(self._vendor, self._asked, data.decode("utf-8", "replace")) from error
            raise unreadable(self._vendor.name, error) from error
        if chunk.error or event.event == "error" or chunk.object == "error":
            raise from_stream(self._vendor, self._asked, msgspec.json.decode(data))
        return self._take(chunk)

    def whole(self, data: bytes) -> Sequence[Delta]:
        """See `Reading.whole`."""
        try:
            chunk = _decoder.decode(data)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise BadAnswer(
                f"{self._vendor.name} answered what is neither a stream nor a completion: {error}"
            ) from error
        if chunk.error or chunk.object == "error":
            raise from_stream(self._vendor, self._asked, msgspec.json.decode(data))
        if not chunk.choices:
            raise BadAnswer(
                f"{self._vendor.name} answered with JSON that holds no choices: is base_url right?"
            )
        self.done = True
        return self._take(chunk)

    def _take(self, chunk: _Chunk) -> Sequence[Delta]:
        if self._model is None or chunk.usage is not None or chunk.x_groq is not None:
            self._about(chunk)
        choices = chunk.choices
        if not choices:
            return ()
        pieces: list[Delta] = []
        for choice in choices:
            if choice.index:
                continue  # Only one was asked for.
            delta = choice.delta or choice.message
            if delta is not None:
                # Far most deltas are a word of text and nothing else.
                content = delta.content
                if content and type(content) is str and delta.reasoning_content is delta.reasoning is None:
                    self._text.append(content)
                    pieces.append(TextDelta(content))
                elif content or delta.reasoning_content or delta.reasoning or delta.reasoning_details:
                    self._mixed(delta, pieces)
                if delta.refusal:
                    self._refused = True
                    self._say(delta.refusal, pieces)
                if delta.tool_calls:
                    self._called(delta.tool_calls)
            if choice.finish_reason:
                self._finish_reason = choice.finish_reason
        return pieces

    def _about(self, chunk: _Chunk) -> None:
        """What an event says of the answer as a whole."""
        if chunk.model:
            self._model = chunk.model
        if isinstance(chunk.id, str) and chunk.id:
            self._id = chunk.id
        usage = chunk.usage or (chunk.x_groq.usage if chunk.x_groq else None)
        if usage is not None:
            self._usage = usage

    def _called(self, calls: list[_Call]) -> None:
        for call in calls:
            function = call.function or _Function()
            partial = self._calls.add(call.index, call.id, function.name, function.arguments)
            if isinstance(call.extra_content, dict):
                partial.vendor = call.extra_content

    def _mixed(self, delta: _Delta, pieces: list[Delta]) -> None:
        """Thinking under any of its names, then text."""
        thought = delta.reasoning_content or delta.reasoning
        if isinstance(delta.reasoning_details, list):
            told = [detail for detail in delta.reasoning_details if isinstance(detail, dict)]
            _gather(self._details, told)
            thought = thought or "".join(str(d.get("text") or d.get("summary") or "") for d in told)
        self._think(thought, pieces)
        if isinstance(delta.content, str):
            self._say(delta.content, pieces)
        elif delta.content:
            self._parts(delta.content, pieces)

    def _say(self, text: object, pieces: list[Delta]) -> None:
        if isinstance(text, str) and text:
            self._text.append(text)
            pieces.append(TextDelta(text))

    def _think(self, text: object, pieces: list[Delta]) -> None:
        if isinstance(text, str) and text:
            self._reasoning.append(text)
            pieces.append(ReasoningDelta(text))

    def _parts(self, parts: list[Any], pieces: list[Delta]) -> None:
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

    @property
    def charged(self) -> Usage | None:
        """See `Reading.charged`."""
        return None if self._usage is None else usage_of(self._usage)

    @property
    def written(self) -> int | None:
        """See `Reading.written`; the count comes once, at the end."""
        if not self._begun or self._usage is not None:
            return None
        pieces = (*self._text, *self._reasoning, *(p for call in self._calls.calls for p in call.arguments))
        return sum(map(len, pieces))

    def response(self) -> ModelResponse:
        """See `Reading.response`."""
        if not self.done and self._finish_reason is None:
            raise cut(self._vendor.name)
        calls = finished_calls(self._calls.calls, self._names)
        reason = self._finish_reason or "stop"
        if self._refused:
            reason = "content_filter"
        elif calls and reason in ("stop", "function_call", "tool_calls"):
            reason = "tool_calls"  # Several servers say "stop".
        reasoning = "".join(self._reasoning)
        vendor = self._kept(reasoning)
        if calls and vendor is not None:
            calls[0] = msgspec.structs.replace(calls[0], vendor={**(calls[0].vendor or {}), **vendor})
        return ModelResponse(
            "".join(self._text),
            tuple(calls),
            usage_of(self._usage),
            reason,
            self._model or self._asked,
            self._vendor.name,
            reasoning,
            None if calls else vendor,
            self._id,
        )

    def _kept(self, reasoning: str) -> dict[str, Any] | None:
        """What may have to go back; `openai_request` knows who wants it."""
        if self._details:
            return {MINE: {"model": self._asked, "reasoning_details": self._details}}
        if reasoning and self._calls.calls:
            return {MINE: {"model": self._asked, "reasoning_content": reasoning}}
        return None


def _gather(known: list[dict[str, Any]], told: list[dict[str, Any]]) -> None:
    """Put streamed `reasoning_details` together: pieces of one index and type are one, its texts joined."""
    for detail in told:
        last = known[-1] if known else None
        if (
            last is not None
            and all(last.get(k) == detail.get(k) for k in ("index", "type"))
            and "index" in detail
        ):
            for key, value in detail.items():
                if (
                    key in ("text", "summary", "data")
                    and isinstance(last.get(key), str)
                    and isinstance(value, str)
                ):
                    last[key] += value
                elif value is not None:
                    last[key] = value
        else:
            known.append(dict(detail))


def usage_of(told: _Usage | None) -> Usage:
    """Counts in our words."""
    if told is None:
        return Usage()
    prompt, completion = told.prompt_tokens or 0, told.completion_tokens or 0
    # xAI and Gemini count thinking only in the total, and bill it as output.
    output = max(completion, (told.total_tokens or 0) - prompt)
    details = told.prompt_tokens_details or _PromptDetails()
    thought = told.completion_tokens_details or _CompletionDetails()
    cached = details.cached_tokens or told.prompt_cache_hit_tokens or 0
    return Usage(
        prompt,
        output,
        min(cached, prompt),
        min(details.cache_write_tokens or 0, prompt),
        min(thought.reasoning_tokens or 0, output),
        micro_usd(told.cost),
    )


def micro_usd(cost: object) -> int | None:
    """A sum in USD as whole micro-USD, rounded up; None for what is no sum."""
    if isinstance(cost, bool) or not isinstance(cost, int | float) or not 0 <= cost < 1e9:
        return None
    return int((Decimal(str(cost)) * 1_000_000).to_integral_value(ROUND_CEILING))
