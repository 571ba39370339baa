"""What a model server answers, and the events of it in both dialects. Pure."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from planaria.membrane.provider import ToolCall, Usage

type Dialect = Literal["openai", "anthropic"]


@dataclass
class Answer:
    """What the server does with one request.

    Args:
        text, reasoning, tool_calls: what the model says. `pieces` overrides how the text is cut (default: words).
        usage: None sends no usage at all, as some servers do.
        finish: the finish reason in the dialect's own words; None takes what fits.
        status, headers, body: an answer other than 200 is this body (a dict is sent as JSON).
        events: the data of the events to send instead of those made from the above (without `data: `); a pair
            sets the event's name too.
        stream: the whole body to send instead, as bytes.
        cut_after: bytes of the body after which the connection is dropped.
        split: bytes a write; None sends one event a write.
        hold_at: number of the event before which the server waits for `release()`.
        hold_head: whether it waits for that before it says anything at all.
        wait: seconds before the answer begins.
        pace: seconds between two events.
        fail_at: number of the event before which the answer ends with an error in the dialect's own words.
        id: of the answer.
        framing: how the body's end is told.
        raw: sent as it is instead of any HTTP; then the connection is closed.
        endless: sent again and again after the head, until the client goes away.
    """

    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    usage: Usage | None = field(default_factory=lambda: Usage(10, 5))
    finish: str | None = None
    pieces: tuple[str, ...] = ()
    model: str | None = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: dict[str, Any] | list[Any] | str | None = None
    events: tuple[str | tuple[str, str], ...] | None = None
    stream: bytes | None = None
    cut_after: int | None = None
    split: int | None = None
    hold_at: int | None = None
    framing: Literal["chunked", "length", "close"] = "chunked"
    raw: bytes | None = None
    endless: bytes | None = None
    hold_head: bool = False
    wait: float = 0.0
    pace: float = 0.0
    fail_at: int | None = None
    id: str = "answer-1"

    def text_pieces(self) -> tuple[str, ...]:
        """The text as it is streamed: given pieces, or words with the blank before them."""
        if self.pieces or not self.text:
            return self.pieces
        words = self.text.split(" ")
        return (words[0], *(f" {word}" for word in words[1:]))


def pieces_of(data: bytes, size: int | None) -> Iterator[bytes]:
    """The data in pieces of so many bytes."""
    if size is None:
        yield data
        return
    for start in range(0, len(data), size):
        yield data[start : start + size]


def sse(answer: Answer, dialect: Dialect, model: str) -> Iterator[bytes]:
    """The server-sent events of one answer."""
    if answer.stream is not None:
        yield answer.stream
        return
    if answer.events is not None:
        for event in answer.events:
            name, data = event if isinstance(event, tuple) else ("", event)
            yield (f"event: {name}\n" if name else "").encode() + f"data: {data}\n\n".encode()
        return
    payloads = openai_events(answer, model) if dialect == "openai" else anthropic_events(answer, model)
    for number, payload in enumerate(payloads):
        if number == answer.fail_at:
            yield event_of(ERRORS[dialect], dialect)
            return
        yield event_of(payload, dialect)
    if dialect == "openai":
        yield b"data: [DONE]\n\n"


ERRORS: dict[Dialect, dict[str, Any]] = {
    "openai": {"error": {"message": "The server had an error", "type": "server_error", "code": None}},
    "anthropic": {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
}
"""How an answer ends that fails in the middle."""


def event_of(payload: dict[str, Any], dialect: Dialect) -> bytes:
    """One event as the dialect sends it."""
    data = b"data: " + json.dumps(payload, ensure_ascii=False).encode() + b"\n\n"
    return data if dialect == "openai" else b"event: " + payload["type"].encode() + b"\n" + data


def openai_events(answer: Answer, model: str) -> Iterator[dict[str, Any]]:
    """An answer as OpenAI streams it."""

    def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        return {
            "id": answer.id,
            "object": "chat.completion.chunk",
            "created": 1_767_225_600,
            "model": model,
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        }

    yield chunk({"role": "assistant", "content": ""})
    if answer.reasoning:
        yield chunk({"reasoning_content": answer.reasoning})
    for piece in answer.text_pieces():
        yield chunk({"content": piece})
    for index, call in enumerate(answer.tool_calls):
        begun = {
            "index": index,
            "id": call.id,
            "type": "function",
            "function": {"name": call.name, "arguments": ""},
        }
        yield chunk({"tool_calls": [begun]})
        for piece in halves(json.dumps(call.arguments)):
            yield chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    yield chunk({}, answer.finish or ("tool_calls" if answer.tool_calls else "stop"))
    if (usage := answer.usage) is not None:
        last = chunk({})
        last["choices"] = []
        last["usage"] = {
            "prompt_tokens": usage.input_tokens,
            "completion_tokens": usage.output_tokens,
            "total_tokens": usage.input_tokens + usage.output_tokens,
            "prompt_tokens_details": {
                "cached_tokens": usage.cached_tokens,
                "cache_write_tokens": usage.cache_write_tokens,
            },
            "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        }
        yield last


def anthropic_events(answer: Answer, model: str) -> Iterator[dict[str, Any]]:
    """An answer as Anthropic streams it."""
    usage = answer.usage or Usage()
    yield {
        "type": "message_start",
        "message": {
            "id": answer.id,
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {
                "input_tokens": usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens,
                "cache_creation_input_tokens": usage.cache_write_tokens,
                "cache_read_input_tokens": usage.cached_tokens,
                "output_tokens": 1,
            },
        },
    }
    yield {"type": "ping"}
    index = 0
    if answer.reasoning:
        yield {
            "type": "content_block_start",
            "index": index,
            "content_block": {"type": "thinking", "thinking": "", "signature": ""},
        }
        yield {
            "type": "content_block_delta",
            "index": index,
            "delta": {"type": "thinking_delta", "thinking": answer.reasoning},
        }
        yield {
            "type": "content_block_delta",
            "index": index,
            "delta": {"type": "signature_delta", "signature": "c2ln"},
        }
        yield {"type": "content_block_stop", "index": index}
        index += 1
    if answer.text_pieces():
        yield {"type": "content_block_start", "index": index, "content_block": {"type": "text", "text": ""}}
        for piece in answer.text_pieces():
            yield {
                "type": "content_block_delta",
                "index": index,
                "delta": {"type": "text_delta", "text": piece},
            }
        yield {"type": "content_block_stop", "index": index}
        index += 1
    for call in answer.tool_calls:
        block = {"type": "tool_use", "id": call.id, "name": call.name, "input": {}}
        yield {"type": "content_block_start", "index": index, "content_block": block}
        for piece in ("", *halves(json.dumps(call.arguments))):
            delta = {"type": "input_json_delta", "partial_json": piece}
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
        index += 1
    stop = answer.finish or ("tool_use" if answer.tool_calls else "end_turn")
    yield {
        "type": "message_delta",
        "delta": {"stop_reason": stop, "stop_sequence": None},
        "usage": {
            "output_tokens": usage.output_tokens,
            "output_tokens_details": {"thinking_tokens": usage.reasoning_tokens},
        },
    }
    yield {"type": "message_stop"}


def halves(text: str) -> tuple[str, str]:
    """A text cut in the middle."""
    return text[: len(text) // 2], text[len(text) // 2 :]
