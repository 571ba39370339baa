"""A model provider to test against: a real server on a real socket, in both dialects.

    async with ModelServer() as server:
        server.answers.append(Answer("Hello", usage=Usage(3, 1)))
        provider = OpenAICompatible("fake", server.url)      # or Anthropic("fake", server.url)

Answers are taken from `answers` in order; when none is left, `fallback` is given. `requests` holds what came.
A request with an `Idempotency-Key` that came before gets the answer that one got, and is charged nothing: `keys` counts
the requests of each key, `charged` what a provider would put on the bill. An answer other than 200 costs nothing and
is not kept for its key.
Time is the caller's: an answer with `hold_at` or `hold_head` waits there until `release()`. Only `wait` and `pace` go
by the clock, for who watches by hand. Embeddings are those of `planaria.testing.embedder`.
Does badly: only what the dialects' streams need of HTTP/1.1. Standard library only; the event loop is asyncio's own,
since the server stands outside the system under test.
"""

import asyncio
import base64
import contextlib
import json
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any, Self

from planaria.membrane.provider import Usage
from planaria.testing.embedder import DIMENSIONS, vector_of
from planaria.testing.model_answer import Answer, Dialect, pieces_of, sse

__all__ = ["Answer", "ModelServer", "Received"]


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
        embeddings: what is answered instead of vectors.
        charged: tokens of all answers that were begun, those a key repeated counted once.
    """

    def __init__(
        self, *answers: Answer, models: tuple[str, ...] = ("fake-large", "fake-small"), port: int = 0
    ) -> None:
        self._port = port
        self.answers: deque[Answer] = deque(answers)
        self.fallback = Answer("ok")
        self.embeddings: dict[str, Any] | None = None
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
        self._server = await loop.create_server(lambda: _Connection(self._accept), "127.0.0.1", self._port)
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
        model = str((body or {}).get("model", "fake"))
        if path.partition("?")[0].endswith("/embeddings"):
            return await self._send_json(writer, 200, {}, self.embeddings or embeddings(body or {}, model))
        dialect: Dialect = "anthropic" if path.endswith("/messages") else "openai"
        answer = self._choose(headers.get("idempotency-key", ""), model, dialect)
        connection.answering = asyncio.current_task()
        try:
            return await self._answer(writer, answer, dialect, model)
        except (ConnectionError, asyncio.CancelledError):
            self.dropped += 1
            self._left.set()
            raise
        finally:
            connection.answering = None

    def next_answer(self, model: str, dialect: Dialect) -> Answer:
        """The answer to a new request; override it to answer by what was asked."""
        return self.answers.popleft() if self.answers else self.fallback

    def _choose(self, key: str, model: str = "", dialect: Dialect = "openai") -> Answer:
        """The answer to one request: that of its key, or the next; put on the bill when it is new."""
        self.calls += 1
        if key:
            self.keys[key] = self.keys.get(key, 0) + 1
            if key in self._kept:
                return self._kept[key]
        answer = self.next_answer(model, dialect)
        if answer.status == 200 and answer.raw is None:
            self.charged = _sum(self.charged, answer.usage or Usage())
            if key:
                # What a test does to one connection is not done to the next.
                self._kept[key] = replace(answer, cut_after=None, hold_at=None, hold_head=False, endless=None)
        return answer

    async def _answer(
        self, writer: asyncio.StreamWriter, answer: Answer, dialect: Dialect, asked: str
    ) -> bool:
        if answer.hold_head:
            await self._hold()
        if answer.wait:
            await asyncio.sleep(answer.wait)
        if answer.raw is not None:
            writer.write(answer.raw)
            await writer.drain()
            return False
        if answer.status != 200 or answer.body is not None:
            told = {} if answer.body is None else answer.body
            return await self._send_json(writer, answer.status, answer.headers, told)
        events = [*sse(answer, dialect, answer.model or asked)]
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
                if answer.pace:
                    await asyncio.sleep(answer.pace)
        sent = 0
        for number, part in enumerate(parts):
            if number == answer.hold_at:
                await self._hold()
            if answer.cut_after is not None and sent + len(part) > answer.cut_after:
                self._write(writer, part[: answer.cut_after - sent], answer)
                await writer.drain()
                return False
            self._write(writer, part, answer)
            sent += len(part)
            await writer.drain()
            if answer.split is not None or answer.pace:
                await asyncio.sleep(answer.pace)
        if answer.framing == "chunked":
            writer.write(b"0\r\n\r\n")
        await writer.drain()
        return answer.framing != "close"

    async def _hold(self) -> None:
        self._held.set()
        await self._release.wait()
        self._release.clear()

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
        left.reasoning_tokens + right.reasoning_tokens,
    )


def embeddings(asked: dict[str, Any], model: str) -> dict[str, Any]:
    """What OpenAI's `/embeddings` answers."""
    given = asked.get("input", "")
    texts = [given] if isinstance(given, str) else [str(text) for text in given]
    dimensions = asked.get("dimensions") or DIMENSIONS
    vectors = [vector_of(text, dimensions) for text in texts]
    coded = asked.get("encoding_format") == "base64"
    data = [
        {
            "object": "embedding",
            "index": n,
            "embedding": base64.b64encode(vector.tobytes()).decode() if coded else vector.tolist(),
        }
        for n, vector in enumerate(vectors)
    ]
    words = sum(len(text.split()) for text in texts)
    return {
        "object": "list",
        "data": data,
        "model": model,
        "usage": {"prompt_tokens": words, "total_tokens": words},
    }


def head_of(status: int, headers: dict[str, str]) -> bytes:
    """Status line and headers."""
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Custom"
    lines = [f"HTTP/1.1 {status} {phrase}", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
