"""What does one chunk of a streamed answer cost the reader, and what do other ways to read it cost?

Unit: µs of processor time a chunk, in the reading process; the server is a process of its own and sends a chunk every
millisecond to each stream, so that every chunk arrives alone, as a model's do.
`python -m benchmarks.bench_stream [--chunks 300]`, one JSON line a case. Cases at 1, 10 and 100 streams at once:
`raw` (bytes from our socket stream, not parsed), `planaria` (our provider: HTTP, events, JSON, pieces), `httpx2`
(lines and `json.loads`), `openai` (the official SDK). At 100 streams the sender is at its limit and chunks share reads.
"""

import argparse
import asyncio
import json
import multiprocessing
import platform
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from multiprocessing.connection import Connection

import httpx2
import openai

from planaria.membrane.provider import Message, ModelRequest, TextDelta
from planaria.membrane.providers.openai_compatible import OpenAICompatible
from planaria.otp.io.tcp import open_tcp

PACE = 0.001
BODY = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": True}


def chunk(content: str, finish: str | None = None) -> bytes:
    delta = {"content": content} if content else {}
    payload = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1_767_225_600,
        "model": "m",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    }
    data = b"data: " + json.dumps(payload).encode() + b"\n\n"
    return b"%x\r\n%s\r\n" % (len(data), data)


def serve(pipe: Connection, chunks: int) -> None:
    """The sender, in its own process."""
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    piece, end = chunk(" word"), chunk("", "stop")
    done = b"data: [DONE]\n\n"
    last = end + b"%x\r\n%s\r\n0\r\n\r\n" % (len(done), done)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                sent = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    (
                        int(line[15:])
                        for line in sent.lower().split(b"\r\n")
                        if line.startswith(b"content-length:")
                    ),
                    0,
                )
                await reader.readexactly(length)
                writer.write(head)
                for _ in range(chunks):
                    writer.write(piece)
                    await asyncio.sleep(PACE)
                writer.write(last)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def main() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        pipe.send(server.sockets[0].getsockname()[1])
        await asyncio.Event().wait()

    asyncio.run(main())


type Reader = Callable[[], Awaitable[int]]
type Way = Callable[[int], AbstractAsyncContextManager[Reader]]


@asynccontextmanager
async def raw(port: int) -> AsyncIterator[Reader]:
    async def read() -> int:
        body = json.dumps(BODY).encode()
        stream = await open_tcp("127.0.0.1", port)
        stream.write(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%s"
            % (len(body), body)
        )
        count = 0
        while True:
            data = await stream.read(within=60.0)
            count += data.count(b"word")
            if not data or data.endswith(b"0\r\n\r\n"):
                stream.close()
                return count

    yield read


@asynccontextmanager
async def planaria(port: int) -> AsyncIterator[Reader]:
    provider = OpenAICompatible("bench", f"http://127.0.0.1:{port}/v1")
    request = ModelRequest("m", (Message("user", "hi"),))

    async def read() -> int:
        count = 0
        async for piece in provider.stream(request):
            count += type(piece) is TextDelta
        return count

    yield read
    provider.close()


@asynccontextmanager
async def httpx2_lines(port: int) -> AsyncIterator[Reader]:
    client = httpx2.AsyncClient(timeout=60.0, limits=httpx2.Limits(max_connections=1000))

    async def read() -> int:
        count = 0
        async with client.stream(
            "POST", f"http://127.0.0.1:{port}/v1/chat/completions", json=BODY
        ) as response:
            async for line in response.aiter_lines():
                if line.startswith("data: {"):
                    choices = json.loads(line[6:])["choices"]
                    count += "content" in choices[0]["delta"]
        return count

    yield read
    await client.aclose()


@asynccontextmanager
async def openai_sdk(port: int) -> AsyncIterator[Reader]:
    client = openai.AsyncOpenAI(api_key="x", base_url=f"http://127.0.0.1:{port}/v1", max_retries=0)

    async def read() -> int:
        count = 0
        stream = await client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "hi"}], stream=True
        )
        async for event in stream:
            count += bool(event.choices and event.choices[0].delta.content)
        return count

    yield read
    await client.close()


async def measure(way: Way, port: int, streams: int, chunks: int) -> dict[str, float]:
    """Processor time of so many streams at once, after one to warm up."""
    async with way(port) as read:
        await read()
        began, cpu = time.perf_counter(), time.process_time()
        counts = await asyncio.gather(*(read() for _ in range(streams)))
        cpu, took = time.process_time() - cpu, time.perf_counter() - began
    assert list(counts) == [chunks] * streams, counts
    return {"us_per_chunk": round(cpu / (streams * chunks) * 1e6, 1), "seconds": round(took, 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chunks", type=int, default=300)
    chunks: int = parser.parse_args().chunks
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    server = context.Process(target=serve, args=(there, chunks), daemon=True)
    server.start()
    port = here.recv()
    ways: dict[str, Way] = {"raw": raw, "planaria": planaria, "httpx2": httpx2_lines, "openai": openai_sdk}
    for streams in (1, 10, 100):
        for name, way in ways.items():
            result = asyncio.run(measure(way, port, streams, chunks))
            line = {"bench": "stream", "case": name, "streams": streams, "chunks": chunks, **result}
            print(
                json.dumps({**line, "python": platform.python_version(), "machine": platform.machine()}),
                flush=True,
            )
    server.terminate()
    server.join()


if __name__ == "__main__":
    main()
