"""The readers of `bench_stream` that need nothing but our own environment; each in a process of its own.

`python -m benchmarks.stream_readers CASE PORT STREAMS MODEL WORDS` prints one JSON line: processor time a word, and the
milliseconds from a word's sending to its being read.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from time import monotonic_ns, perf_counter, process_time
from typing import Any

import httpx2
import msgspec
import openai

from planaria.membrane.provider import Message, ModelRequest, TextDelta
from planaria.membrane.providers.openai_compatible import OpenAICompatible

type Words = list[int]
"""Nanoseconds each word took."""
type Reader = Callable[[str, Words], Awaitable[None]]
type Way = Callable[[int], AbstractAsyncContextManager[Reader]]

BODY: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}], "stream": True}


def note(words: Words, text: str) -> None:
    """Note how long one word took."""
    words.append(monotonic_ns() - int(text))


async def measure(way: Way, port: int, streams: int, model: str, expected: int) -> dict[str, Any]:
    """So many streams at once, after a short one to warm up."""
    async with way(port) as read:
        await read("burst-20", [])
        took: list[Words] = [[] for _ in range(streams)]
        began, cpu = perf_counter(), process_time()
        await asyncio.gather(*(read(model, words) for words in took))
        cpu, seconds = process_time() - cpu, perf_counter() - began
    assert [len(words) for words in took] == [expected] * streams, [len(words) for words in took][:9]
    delays = sorted(word for words in took for word in words)
    return {
        "us_per_chunk": round(cpu / len(delays) * 1e6, 1),
        "cores": round(cpu / seconds, 2),
        "p50_ms": round(delays[len(delays) // 2] / 1e6, 2),
        "p99_ms": round(delays[int(len(delays) * 0.99)] / 1e6, 2),
    }


class Delta(msgspec.Struct):
    content: str | None = None


class Choice(msgspec.Struct):
    delta: Delta


class Chunk(msgspec.Struct):
    choices: list[Choice]


decoder = msgspec.json.Decoder(Chunk)


@asynccontextmanager
async def raw(port: int) -> AsyncIterator[Reader]:
    """asyncio's own protocol, events split off by hand, msgspec."""

    class Protocol(asyncio.Protocol):
        def __init__(self) -> None:
            self.chunks: list[bytes] = []
            self.reader: asyncio.Future[None] | None = None

        def data_received(self, data: bytes) -> None:
            self.chunks.append(data)
            if self.reader is not None and not self.reader.done():
                self.reader.set_result(None)

    async def read(model: str, words: Words) -> None:
        loop = asyncio.get_running_loop()
        body = json.dumps({**BODY, "model": model}).encode()
        transport, protocol = await loop.create_connection(Protocol, "127.0.0.1", port)
        transport.write(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%s"
            % (len(body), body)
        )
        held = b""
        while not held.endswith(b"0\r\n\r\n"):
            if not protocol.chunks:
                protocol.reader = loop.create_future()
                await protocol.reader
            held += b"".join(protocol.chunks)
            protocol.chunks.clear()
            *whole, held = held.split(b"\n\n")
            for part in whole:
                at = part.find(b"data: {")
                if at >= 0:
                    content = decoder.decode(part[at + 6 :]).choices[0].delta.content
                    if content:
                        note(words, content)
        transport.close()

    yield read


@asynccontextmanager
async def planaria(port: int) -> AsyncIterator[Reader]:
    """Our provider: HTTP, events, JSON, pieces."""
    provider = OpenAICompatible("bench", f"http://127.0.0.1:{port}/v1")

    async def read(model: str, words: Words) -> None:
        async for piece in provider.stream(ModelRequest(model, (Message("user", "hi"),))):
            if type(piece) is TextDelta:
                note(words, piece.text)

    yield read
    provider.close()


@asynccontextmanager
async def planaria_push(port: int) -> AsyncIterator[Reader]:
    """Our provider, its pieces handed on where they arrive."""
    provider = OpenAICompatible("bench", f"http://127.0.0.1:{port}/v1")

    async def read(model: str, words: Words) -> None:
        def sink(piece: object) -> None:
            if type(piece) is TextDelta:
                note(words, piece.text)

        await provider.push(ModelRequest(model, (Message("user", "hi"),)), sink)

    yield read
    provider.close()


@asynccontextmanager
async def httpx2_lines(port: int) -> AsyncIterator[Reader]:
    """httpx2's lines and msgspec."""
    client = httpx2.AsyncClient(timeout=60.0, limits=httpx2.Limits(max_connections=None))

    async def read(model: str, words: Words) -> None:
        url = f"http://127.0.0.1:{port}/v1/chat/completions"
        async with client.stream("POST", url, json={**BODY, "model": model}) as response:
            async for line in response.aiter_lines():
                if line.startswith("data: {"):
                    content = decoder.decode(line[6:]).choices[0].delta.content
                    if content:
                        note(words, content)

    yield read
    await client.aclose()


@asynccontextmanager
async def openai_sdk(port: int) -> AsyncIterator[Reader]:
    """The official SDK."""
    client = openai.AsyncOpenAI(api_key="x", base_url=f"http://127.0.0.1:{port}/v1", max_retries=0)

    async def read(model: str, words: Words) -> None:
        stream = await client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": "hi"}], stream=True
        )
        async for event in stream:
            if event.choices and event.choices[0].delta.content:
                note(words, event.choices[0].delta.content)

    yield read
    await client.close()


WAYS: dict[str, Way] = {
    "raw": raw,
    "planaria": planaria_push,
    "iterated": planaria,
    "httpx2": httpx2_lines,
    "openai": openai_sdk,
}


def main(ways: dict[str, Way]) -> None:
    """Measure the case the command line names."""
    case, port, streams, model, words = sys.argv[1:6]
    print(json.dumps(asyncio.run(measure(ways[case], int(port), int(streams), model, int(words)))))


if __name__ == "__main__":
    main(WAYS)
