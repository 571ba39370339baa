"""A model service that streams on a beat, for `bench_stream`: chat completions whose every word says when it was sent.

Runs in a process of its own. The model's name says what is wanted: `paced-300` is 300 words at 50 a second, `burst-300`
the same as fast as the socket takes them; `paced-300-100` begins when a hundred streams are there. Streams are spread
over the beat by chance, as answers of many models are, so each word arrives alone. A word is a blank and seven digits:
when it was sent, in steps of 10 µs of the monotonic clock, which all processes here share; it begins again after 100 s.
"""

import asyncio
import random
import re
from multiprocessing.connection import Connection
from time import monotonic_ns

PACE = 0.02
"""Seconds between two words of a stream."""
TICK = 0.001
"""Seconds between two looks at which streams are due, when there are many."""
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
STEP = 10_000
"""Nanoseconds of one count of a word."""
ROUND = 10_000_000
_MODEL = re.compile(rb'"model": ?"(paced|burst)-(\d+)(?:-(\d+))?"')


def event(delta: bytes, finish: bytes = b"null") -> bytes:
    """One event as one chunk of HTTP."""
    data = (
        b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1767225600,"model":"m",'
        b'"service_tier":"default","system_fingerprint":"fp_1","choices":[{"index":0,"delta":{%s},'
        b'"logprobs":null,"finish_reason":%s}],"usage":null}\n\n' % (delta, finish)
    )
    return b"%x\r\n%s\r\n" % (len(data), data)


FIRST = event(b'"role":"assistant","content":"","refusal":null')
LAST = event(b"", b'"stop"') + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"


def word() -> bytes:
    """One word, stamped now."""
    return event(b'"content":" %07d"' % (monotonic_ns() // STEP % ROUND))


class Connected(asyncio.Protocol):
    """One connection; answers one request after another."""

    def __init__(self, beat: "Beat") -> None:
        self.beat = beat
        self.held = b""
        self.left = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.held += data
        head, end, body = self.held.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: ?(\d+)", head, re.IGNORECASE)
        if not end or (length is not None and len(body) < int(length[1])):
            return
        self.held = b""
        asked = _MODEL.search(body)
        assert asked is not None, body
        self.left = int(asked[2])
        self.transport.write(HEAD + FIRST)
        if asked[1] == b"paced":
            self.beat.join(self, int(asked[3] or 0))
        else:
            for _ in range(self.left):
                self.transport.write(word())
            self.transport.write(LAST)

    def say(self) -> bool:
        """Send the next word; whether there is one more."""
        if self.transport.is_closing():
            return False
        self.transport.write(word())
        self.left -= 1
        if not self.left:
            self.transport.write(LAST)
        return self.left > 0


class Beat:
    """Every stream in one of the slots of a beat; one timer serves them all."""

    def __init__(self) -> None:
        self.slots: list[list[Connected]] = [[] for _ in range(round(PACE / TICK))]
        self.waiting: list[Connected] = []
        self.chance = random.Random(1)

    def join(self, stream: Connected, together: int) -> None:
        self.waiting.append(stream)
        if len(self.waiting) >= together:
            for one in self.waiting:
                self.chance.choice(self.slots).append(one)
            self.waiting.clear()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        at = 0
        while True:
            streams = self.slots[at]
            # Spread inside the slot, too: what is written at once is read at once.
            pause = max(TICK / (len(streams) or 1), 0.0001)
            for n, stream in enumerate(tuple(streams)):
                if not stream.say():
                    streams.remove(stream)
                wait = due + (n + 1) * pause - loop.time()
                if wait > 0:
                    await asyncio.sleep(wait)
            at = (at + 1) % len(self.slots)
            due += TICK
            await asyncio.sleep(max(0.0, due - loop.time()))


def serve(pipe: Connection) -> None:
    """Listen; the port is sent through the pipe."""

    async def main() -> None:
        beat = Beat()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Connected(beat), "127.0.0.1", 0, backlog=4096)
        pipe.send(server.sockets[0].getsockname()[1])
        await beat.run()

    asyncio.run(main())
