"""Pages that keep themselves current: Server-Sent Events that carry `<hx-partial>` elements.

A connection gets everything once, then only the parts that changed, at most one frame every `GAP` seconds. It
costs what it looks at while somebody watches, and nothing after. A browser in the background closes its stream;
coming back it gets the whole again, so no event is ever replayed.

Bounded: a client that does not take a frame within `SEND_LIMIT`, or a page that more than `BURST` messages reach
between two frames, loses its connection and starts afresh by itself. Does badly: a frame costs each watcher its
own look, only messages are drawn once for all (`drawn.py`); for hundreds of open pages the looking should be shared.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Message, Send

from planaria.cortex.errors import JournalUnavailable
from planaria.nerve.views import NoSuchProcess
from planaria.nerve.web.parts import Part, Picture
from planaria.nerve.web.render import sendable
from planaria.nerve.web.site import BEAT, Site
from planaria.otp import CallError, KernelEvent, Port, timeout

GAP = 0.08
"""Seconds between two frames at least: a burst becomes one frame."""
RHYTHM = 0.5
"""Seconds between two looks when nothing tells of a change (counters move without a message)."""
SEND_LIMIT = 5.0
BURST = 2000
CLOSING = "dashboard:closing"
"""Topic: the dashboard stops, every stream ends."""

WAKE = "wake"
"""Message to a stream's own mailbox: the kernel did something, look again."""


class Feed(Protocol):
    """What one open page shows."""

    topics: Sequence[str]
    """PubSub topics whose messages `take` is given."""

    async def parts(self) -> Sequence[Part]:
        """The page as it is now."""
        ...

    def take(self, messages: Sequence[object]) -> list[str]:
        """Partials to send for the messages of the topics since the last look, in order; empty if a look is enough."""
        ...


class FrameFeed:
    """The feed of a page that does not move itself: heartbeat and number of problems only."""

    topics: Sequence[str] = ()

    async def parts(self) -> Sequence[Part]:
        """Nothing besides the frame."""
        return ()

    def take(self, messages: Sequence[object]) -> list[str]:
        """Nothing."""
        return []


class LiveResponse(StreamingResponse):
    """An event stream that drops clients who do not read."""

    def __init__(self, site: Site, request: Request, feed: Feed) -> None:
        headers = {"X-Accel-Buffering": "no"}
        super().__init__(frames(site, request, feed), media_type="text/event-stream", headers=headers)

    async def stream_response(self, send: Send) -> None:
        """Send each frame within `SEND_LIMIT`, else stop, which closes the connection."""

        async def send_in_time(message: Message) -> None:
            async with timeout(SEND_LIMIT):
                await send(message)

        try:
            await super().stream_response(send_in_time)
        except TimeoutError:
            return


async def frames(site: Site, request: Request, feed: Feed) -> AsyncIterator[str]:
    """The events of one connection."""
    node, renderer, picture = site.node, site.renderer, Picture()
    woken = False
    beat, due = 0, 0.0
    async with node.open_port() as port:

        def on_kernel_event(_: KernelEvent) -> None:
            nonlocal woken
            if not woken:
                woken = True
                node.send(port.pid, WAKE)

        for topic in (*feed.topics, CLOSING):
            node.subscribe(topic, port.pid)
        stop_listening = node.subscribe_events(on_kernel_event)
        try:
            messages: list[object] = []
            while CLOSING not in messages and len(messages) < BURST:
                woken = False
                pushed = feed.take([message for message in messages if message != WAKE])
                if site.now() >= due:
                    if not await site.is_allowed(request):
                        return
                    beat, due = beat + 1, site.now() + BEAT
                frame_parts = site.frame_parts(beat, await site.troubles(), await site.waiting())
                parts = [*frame_parts, *await _look(feed)]
                changed = "".join(renderer.replacing(part) for part in picture.changes(parts))
                # Each push is an event of its own: the browser finds all targets of an event before it changes any,
                # so one could not reach into what another brings.
                frame = "".join(event(html) for html in (*pushed, changed) if html)
                if frame:
                    yield frame
                messages = await _gather(site, port)
        finally:
            stop_listening()


async def _look(feed: Feed) -> Sequence[Part]:
    """The page now; nothing while what it shows is down, so that the browser keeps what it has."""
    try:
        return await feed.parts()
    except (CallError, JournalUnavailable, NoSuchProcess, HTTPException):
        return ()


async def _gather(site: Site, port: Port) -> list[object]:
    """What arrives until `GAP` after the first message; nothing if `RHYTHM` passes without one."""
    messages: list[object] = []
    clock, wait, until = site.node.clock, RHYTHM, 0.0
    while wait > 0 and len(messages) < BURST:
        try:
            messages.append(await port.receive(wait))
        except TimeoutError:
            break
        if messages[-1] == CLOSING:
            break
        until = until or clock.now() + GAP
        wait = until - clock.now()
    return messages


def event(html: str) -> str:
    """One unnamed event. Its data may have lines; a lone carriage return would end one too."""
    lines = sendable(html).replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "".join(f"data: {line}\n" for line in lines) + "\n"
