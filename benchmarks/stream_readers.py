"""The readers of `bench_stream` that need nothing but our own environment; each in a process of its own.

`python -m benchmarks.stream_readers CASE PORT STREAMS MODEL WORDS`; what it prints: `benchmarks.stream_measure`.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import msgspec
import openai

from benchmarks.stream_measure import BODY, Reader, Way, Words, main, note
from planaria.membrane.provider import Message, ModelRequest, TextDelta
from planaria.membrane.providers.openai_compatible import OpenAICompatible


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


if __name__ == "__main__":
    main(WAYS)
