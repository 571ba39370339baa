"""A model provider to test against: a real server on a real socket, in both dialects.

    async with ModelServer() as server:
        server.answers.append(Answer("Hello", usage=Usage(3, 1)))
        provider = OpenAICompatible("fake", server.url)      # or Anthropic("fake", server.url)

Answers are taken from `answers` in order; when none is left, `fallback` is given. `requests` holds what came.
A request with an `Idempotency-Key` that came before gets the answer that one got, and is charged nothing: `keys` counts
the requests of each key, `charged` what a provider would put on the bill. An answer other than 200 costs nothing and
is not kept for its key.
Time is the caller's: an answer with `hold_at` waits there until `release()`. Nothing is delayed by a clock.
Does badly: only what the dialects' streams need of HTTP/1.1. Standard library only; the event loop is asyncio's own,
since the server stands outside the system under test.
"""

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any, Literal, Self

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
        cut_after: bytes of the body after which the connection is dropped.
        split: bytes a write; None sends one event a write.
        hold_at: number of the event before which the server waits for `release()`.
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
    cut_after: int | None = None
    split: int | None = None
    hold_at: int | None = None
    framing: Literal["chunked", "length", "close"] = "chunked"
    raw: bytes | None = None
    endless: bytes | None = None

    def text_pieces(self) -> tuple[str, ...]:
        """The text as it is streamed: given pieces, or words with the blank before them."""
        if self.pieces or not self.text:
            return self.pieces
        words = self.text.split(" ")
        return (words[0], *(f" {word}" for word in words[1:]))


@dataclass(frozen=True)
class Received:
    """One request the server got."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


class ModelServer:
    """The server; one per test. `models` is what it lists.

    Attributes:
        calls: requests for an answer.
        keys: how many of them came with each idempotency key.
        charged: tokens of all answers that were begun, those a key repeated counted once.
    """

    def __init__(self, *answers: Answer, models: tuple[str, ...] = ("fake-large", "fake-small")) -> None:
        self.answers: deque[Answer] = deque(answers)
        self.fallback = Answer("ok")
        self.models = models
        self.requests: list[Received] = []
        self.calls = 0
        self.keys: dict[str, int] = {}
        self.charged = Usage()
        self._kept: dict[str, Answer] = {}
        self.connections = 0
        self.dropped = 0
        """Answers the client left before they were complete."""
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._release = asyncio.Event()
        self._held = asyncio.Event()
        self._left = asyncio.Event()

    @property
    def port(self) -> int:
        """The port it listens on."""
        assert self._server is not None, "the server runs inside its async with block"
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def url(self) -> str:
        """The base URL, the same for both dialects."""
        return f"http://127.0.0.1:{self.port}/v1"

    async def held(self) -> None:
        """Wait until an answer has reached its `hold_at`."""
        await self._held.wait()
        self._held.clear()

    def release(self) -> None:
        """Let the answer that is held go on."""
        self._release.set()

    async def left(self) -> None:
        """Wait until a client has gone in the middle of an answer."""
        await self._left.wait()
        self._left.clear()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self._accept), "127.0.0.1", 0)
        return self

    async def __aexit__(self, *exc: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    # --- one connection -------------------------------------------------------------------

    async def _accept(
        self, connection: "_Connection", reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            while await self._serve_one(connection, reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _serve_one(
        self, connection: "_Connection", reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Answer one request; whether the connection may serve another."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        request_line, *lines = head.rstrip("\r\n").split("\r\n")
        method, path, _ = request_line.split(" ")
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
        raw = await reader.readexactly(int(headers.get("content-length", "0")))
        body = json.loads(raw) if raw else None
        self.requests.append(Received(method, path, headers, body))
        if path.partition("?")[0].endswith("/models"):
            listed = {"object": "list", "data": [{"id": model, "object": "model"} for model in self.models]}
            return await self._send_json(writer, 200, {}, listed)
        answer = self._choose(headers.get("idempotency-key", ""))
        connection.answering = asyncio.current_task()
        try:
            return await self._answer(
                writer, answer, "anthropic" if path.endswith("/messages") else "openai", body
            )
        except (ConnectionError, asyncio.CancelledError):
            self.dropped += 1
            self._left.set()
            raise
        finally:
            connection.answering = None

    def _choose(self, key: str) -> Answer:
        """The answer to one request: that of its key, or the next; put on the bill when it is new."""
        self.calls += 1
        if key:
            self.keys[key] = self.keys.get(key, 0) + 1
            if key in self._kept:
                return self._kept[key]
        answer = self.answers.popleft() if self.answers else self.fallback
        if answer.status == 200 and answer.raw is None:
            self.charged = _sum(self.charged, answer.usage or Usage())
            if key:
                # What a test does to one connection is not done to the next.
                self._kept[key] = replace(answer, cut_after=None, hold_at=None, endless=None)
        return answer

    async def _answer(
        self, writer: asyncio.StreamWriter, answer: Answer, dialect: Dialect, body: Any
    ) -> bool:
        if answer.raw is not None:
            writer.write(answer.raw)
            await writer.drain()
            return False
        if answer.status != 200 or answer.body is not None:
            return await self._send_json(writer, answer.status, answer.headers, answer.body or {})
        model = answer.model or (body or {}).get("model", "fake")
        events = [*sse(answer, dialect, model)]
        parts = [part for event in events for part in pieces_of(event, answer.split)]
        headers = {"content-type": "text/event-stream", **answer.headers}
        if answer.framing == "chunked":
            headers["transfer-encoding"] = "chunked"
        elif answer.framing == "length":
            headers["content-length"] = str(sum(map(len, parts)))
        else:
            headers["connection"] = "close"
        writer.write(head_of(200, headers))
        if answer.endless is not None:
            while True:
                self._write(writer, answer.endless, answer)
                await writer.drain()
        sent = 0
        for number, part in enumerate(parts):
            if number == answer.hold_at:
                self._held.set()
                await self._release.wait()
                self._release.clear()
            if answer.cut_after is not None and sent + len(part) > answer.cut_after:
                self._write(writer, part[: answer.cut_after - sent], answer)
                await writer.drain()
                return False
            self._write(writer, part, answer)
            sent += len(part)
            await writer.drain()
            if answer.split is not None:
                await asyncio.sleep(0)
        if answer.framing == "chunked":
            writer.write(b"0\r\n\r\n")
        await writer.drain()
        return answer.framing != "close"

    def _write(self, writer: asyncio.StreamWriter, part: bytes, answer: Answer) -> None:
        if answer.framing != "chunked":
            writer.write(part)
        elif part:
            writer.write(b"%x\r\n%s\r\n" % (len(part), part))

    async def _send_json(
        self, writer: asyncio.StreamWriter, status: int, headers: dict[str, str], body: object
    ) -> bool:
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        kind = "text/html" if isinstance(body, str) else "application/json"
        writer.write(
            head_of(status, {"content-type": kind, "content-length": str(len(data)), **headers}) + data
        )
        await writer.drain()
        return True


class _Connection(asyncio.StreamReaderProtocol):
    """Notices a client that leaves, and ends the answer it does not wait for."""

    def __init__(
        self,
        accept: "Callable[[_Connection, asyncio.StreamReader, asyncio.StreamWriter], Coroutine[None, None, None]]",
    ) -> None:
        super().__init__(asyncio.StreamReader(), lambda reader, writer: accept(self, reader, writer))
        self.answering: asyncio.Task[None] | None = None

    def eof_received(self) -> bool | None:
        if self.answering is not None:
            self.answering.cancel()
        return super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.answering is not None:
            self.answering.cancel()
        super().connection_lost(exc)


def _sum(left: Usage, right: Usage) -> Usage:
    return Usage(
        left.input_tokens + right.input_tokens,
        left.output_tokens + right.output_tokens,
        left.cached_tokens + right.cached_tokens,
        left.cache_write_tokens + right.cache_write_tokens,
    )


def head_of(status: int, headers: dict[str, str]) -> bytes:
    """Status line and headers."""
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Custom"
    lines = [f"HTTP/1.1 {status} {phrase}", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def pieces_of(data: bytes, size: int | None) -> Iterator[bytes]:
    """The data in pieces of so many bytes."""
    if size is None:
        yield data
        return
    for start in range(0, len(data), size):
        yield data[start : start + size]


def sse(answer: Answer, dialect: Dialect, model: str) -> Iterator[bytes]:
    """The server-sent events of one answer."""
    if answer.events is not None:
        for event in answer.events:
            name, data = event if isinstance(event, tuple) else ("", event)
            yield (f"event: {name}\n" if name else "").encode() + f"data: {data}\n\n".encode()
    elif dialect == "openai":
        for payload in openai_events(answer, model):
            yield b"data: " + json.dumps(payload, ensure_ascii=False).encode() + b"\n\n"
        yield b"data: [DONE]\n\n"
    else:
        for payload in anthropic_events(answer, model):
            data = json.dumps(payload, ensure_ascii=False)
            yield f"event: {payload['type']}\ndata: {data}\n\n".encode()


def openai_events(answer: Answer, model: str) -> Iterator[dict[str, Any]]:
    """An answer as OpenAI streams it."""

    def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        return {
            "id": "chatcmpl-1",
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
            "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        }
        yield last


def anthropic_events(answer: Answer, model: str) -> Iterator[dict[str, Any]]:
    """An answer as Anthropic streams it."""
    usage = answer.usage or Usage()
    yield {
        "type": "message_start",
        "message": {
            "id": "msg_1",
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
        "usage": {"output_tokens": usage.output_tokens},
    }
    yield {"type": "message_stop"}


def halves(text: str) -> tuple[str, str]:
    """A text cut in the middle."""
    return text[: len(text) // 2], text[len(text) // 2 :]
