"""Tools for RSS and Atom feeds: fetch one and hand on what is new since the last time.

What was seen is remembered in the journal: events `feed.fetched` in the session `feed:<url>`, committed together with
the answer, so an item is neither lost nor told twice when a node dies in between. A feed that did not change costs a
conditional request (ETag, Last-Modified) and no event.
Does badly: a feed that gives its items new ids all the time; it repeats itself here too.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import msgspec

from planaria.cortex.event import NewEvent
from planaria.cortex.journal import Journal
from planaria.cortex.query import Query
from planaria.membrane.capability import Touch
from planaria.membrane.tool import Context, Done, Failed, tool
from planaria.membrane.web.leave import leave_of
from planaria.membrane.web.outbound import FetchFailed, WebRules
from planaria.membrane.web.outbound import fetch as fetch_page
from planaria.membrane.web.outside import outside
from planaria.otp import run_blocking
from planaria.records.errors import RecordsError
from planaria.records.paths import inside, read_file
from planaria.tools._apart import FeedText, Item, UnreadableError, read_feed
from planaria.tools.events import FeedFetched

MAX_FEED = 4_000_000
MAX_ITEMS = 500
MAX_MEMORY = 1_000  # events that are looked back through

_RETRY = frozenset({408, 425, 429, 500, 502, 503, 504})


class Memory(msgspec.Struct, frozen=True):
    """What the journal remembers of a feed."""

    seen: frozenset[str] = frozenset()
    etag: str = ""
    modified: str = ""
    known: bool = False


class Raw(msgspec.Struct, frozen=True):
    """A feed as it came; `body` None: it has not changed."""

    body: bytes | None
    etag: str = ""
    modified: str = ""
    media_type: str = ""


class Unavailable(Exception):
    """The feed cannot be had."""

    def __init__(self, message: str, retry: bool = False) -> None:
        super().__init__(message)
        self.message, self.retry = message, retry


def _touches(arguments: Mapping[str, Any]) -> tuple[Touch, ...]:
    url = str(arguments["url"])
    scheme, colon, rest = url.partition(":")
    if colon and scheme.lower() == "file":
        return (Touch("files.read", unquote(rest)),)
    return (Touch("net.fetch" if "://" in url else "files.read", url),)


@tool(needs={"net.fetch", "files.read"}, touches=_touches, branches=("new", "unchanged"), idempotent=True)
async def fetch(context: Context, url: str, limit: int = 20) -> Done | Failed:
    """Fetch an RSS or Atom feed and hand on the items that are new since the last fetch.

    The first fetch hands on the newest ones and takes all others as seen.

    Args:
        url: http or https, or a file in the garden (`file:feeds/news.xml` or just `feeds/news.xml`).
        limit: at most this many items; what is left over comes with the next fetch.
    """
    limit = min(max(limit, 1), MAX_ITEMS)
    session = f"feed:{url}"
    memory = await _remembered(session)
    try:
        raw = await _raw(context, url, memory)
        feed = FeedText("", []) if raw.body is None else await read_feed(url, raw.body, raw.media_type)
    except Unavailable as error:
        return Failed(error.message, retry=error.retry)
    except UnreadableError as error:
        return Failed(f"{url}: {error}")
    title, items = feed.title, feed.items
    fresh = [item for item in items if item.id not in memory.seen]
    shown = fresh[:limit]
    left = len(fresh) - len(shown) if memory.known else 0
    value = {"url": url, "title": title, "items": shown, "left": left}
    if not shown:
        changed = raw.body is not None and (raw.etag, raw.modified) != (memory.etag, memory.modified)
        events = (
            (_event(context, session, raw, [], [], len(items), 0),) if changed or not memory.known else ()
        )
        return Done(value, branch="unchanged", text=f"Nothing new in {url}.", events=events)
    new_ids = [item.id for item in (shown if memory.known else fresh)]
    old_ids = [item.id for item in items if item.id in memory.seen]
    event = _event(context, session, raw, new_ids, old_ids, len(items), left)
    return Done(value, branch="new", text=outside(_text(title, shown, left), url), events=(event,))


async def _remembered(session: str) -> Memory:
    events = await Journal.read(
        "journal", Query(session=session, kinds=(FeedFetched.kind,), limit=MAX_MEMORY, newest_first=True)
    )
    # What was pruned is forgotten. What is left of the memory begins with the newest, which tells what is listed still.
    known = [FeedFetched.of(event) for event in events if event.state == "whole"]
    if not known:
        return Memory()
    seen = {each for fetched in known for each in fetched.new_ids}
    listed = next((fetched.ids for fetched in known if fetched.ids is not None), ())
    return Memory(frozenset(seen.union(listed)), known[0].etag, known[0].modified, True)


async def _raw(context: Context, url: str, memory: Memory) -> Raw:
    scheme, colon, rest = url.partition(":")
    if colon and scheme.lower() in ("http", "https"):
        return await _from_web(context, url, memory)
    if colon and scheme.lower() == "file":
        return await run_blocking(_from_file, context.garden, unquote(rest), memory)
    if "://" in url:
        raise Unavailable(f"{url!r} is neither http, https nor a file in the garden")
    return await run_blocking(_from_file, context.garden, url, memory)


async def _from_web(context: Context, url: str, memory: Memory) -> Raw:
    rules = msgspec.structs.replace(context.find(WebRules) or WebRules(), max_bytes=MAX_FEED)
    headers = {"Accept": "application/atom+xml, application/rss+xml, application/xml;q=0.9, */*;q=0.5"}
    if memory.etag:
        headers["If-None-Match"] = memory.etag
    if memory.modified:
        headers["If-Modified-Since"] = memory.modified
    try:
        page = await fetch_page(url, rules, headers, leave_of(context))
    except FetchFailed as error:
        raise Unavailable(error.message, error.retry) from error
    if page.status == 304:
        return Raw(None, memory.etag, memory.modified)
    if page.status >= 400:
        raise Unavailable(f"{url} answered {page.status}", page.status in _RETRY)
    if page.truncated:
        raise Unavailable(f"{url} is larger than {MAX_FEED} bytes; that is no feed to read")
    return Raw(
        page.body,
        page.headers.get("etag", "")[:500],
        page.headers.get("last-modified", "")[:100],
        page.media_type,
    )


def _from_file(garden: Path, path: str, memory: Memory) -> Raw:
    try:
        data = read_file(garden, inside(garden, path), MAX_FEED)
    except FileNotFoundError as error:
        raise Unavailable(f"there is no file {path!r} in the garden") from error
    except RecordsError as error:
        raise Unavailable(str(error)) from error
    if len(data) > MAX_FEED:
        raise Unavailable(f"{path} is larger than {MAX_FEED} bytes; that is no feed to read")
    etag = hashlib.sha256(data).hexdigest()
    return Raw(None if etag == memory.etag else data, etag)


def _event(
    context: Context, session: str, raw: Raw, new_ids: list[str], old_ids: list[str], count: int, left: int
) -> NewEvent:
    """What to remember. With items left over no ETag is kept, so that the next fetch sees them."""
    fetched = FeedFetched(
        "" if left else raw.etag,
        "" if left else raw.modified,
        tuple(new_ids),
        count,
        context.call_id,
        tuple(old_ids) if new_ids else None,
    )
    return fetched.new(
        session=session,
        process=context.session,
        trace_id=context.trace_id,
        cause_id=context.cause_id,
    )


def _text(title: str, items: list[Item], left: int) -> str:
    parts = [f"# {title}"] if title else []
    for item in items:
        head = " · ".join(each for each in (item.published, item.link) if each)
        parts.append(
            "\n".join(each for each in (f"## {item.title or '(no title)'}", head, item.summary) if each)
        )
    if left:
        parts.append(f"({left} more new items come with the next fetch.)")
    return "\n\n".join(parts)
