"""Reading what strangers wrote, in a worker: an OS process with limits, killed when it takes too long.

Parsers of HTML and of broken XML can be made to take hours or gigabytes by a page of a few hundred kilobytes. A thread
could not be stopped and would hold up the whole node. The worker costs a third of a second and keeps the parsers out of
the node's memory. Its main is `_worker.py`; this side is cheap to import.
"""

import os
import sys

import msgspec

from planaria.otp.io.subprocess import run_command

SECONDS = 10.0
MEMORY = 512 * 1024 * 1024
MAX_OUTPUT = 4_000_000


class PageJob(msgspec.Struct, frozen=True, tag=True):
    """HTML to read."""

    markup: str


class FeedJob(msgspec.Struct, frozen=True, tag=True):
    """An RSS or Atom document to read."""

    url: str
    body: bytes
    media_type: str = ""


class PageText(msgspec.Struct, frozen=True, tag=True):
    """What a page says: its title, and Markdown."""

    title: str
    text: str


class Item(msgspec.Struct, frozen=True):
    """One entry of a feed; `published` is ISO 8601 in UTC, or empty."""

    id: str
    title: str
    link: str
    published: str
    summary: str


class FeedText(msgspec.Struct, frozen=True, tag=True):
    """What a feed holds, newest first as far as it is dated."""

    title: str
    items: list[Item]


class Unreadable(msgspec.Struct, frozen=True, tag=True):
    """The worker says why it cannot be read."""

    reason: str


class UnreadableError(Exception):
    """It cannot be read: not of this kind, or made to take too much."""


type Job = PageJob | FeedJob
type Reading = PageText | FeedText | Unreadable


async def read_page(markup: str) -> PageText:
    """Title and text of an HTML document.

    Raises:
        UnreadableError: it takes too much.
    """
    reading = await _read(PageJob(markup))
    assert isinstance(reading, PageText)
    return reading


async def read_feed(url: str, body: bytes, media_type: str = "") -> FeedText:
    """Title and items of a feed.

    Raises:
        UnreadableError: it is none, or takes too much.
    """
    reading = await _read(FeedJob(url, body, media_type))
    assert isinstance(reading, FeedText)
    return reading


async def _read(job: Job) -> PageText | FeedText:
    path = os.pathsep.join(each for each in sys.path if each)
    try:
        done = await run_command(
            [sys.executable, "-s", "-P", "-m", "planaria.tools._worker"],
            cwd="/",
            env={"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", "LC_ALL": "C.UTF-8"},
            timeout=SECONDS,
            max_output=MAX_OUTPUT,
            stdin=msgspec.msgpack.encode(job),
        )
    except TimeoutError as error:
        raise UnreadableError(f"it could not be read within {SECONDS:g} s") from error
    if done.returncode != 0 or done.truncated:
        said = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2][:200]
        raise UnreadableError(f"it could not be read ({said or f'the reader ended with {done.returncode}'})")
    reading = msgspec.msgpack.decode(done.stdout, type=PageText | FeedText | Unreadable)
    if isinstance(reading, Unreadable):
        raise UnreadableError(reading.reason)
    return reading
