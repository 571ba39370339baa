"""Tools for pages on the web: find some, fetch one and read it as Markdown.

Bounded in size, time and redirects; addresses of this machine and its network are refused (`WebRules`). What a page
says is marked as from outside wherever a model reads it.
"""

import re

import msgspec

from planaria.membrane.capability import Touch
from planaria.membrane.search.query import LONGEST_QUERY, MOST, Hit, Recent, SearchQuery
from planaria.membrane.search.service import SearchService
from planaria.membrane.search.service import search as ask_service
from planaria.membrane.tool import Context, Done, Failed, tool
from planaria.membrane.web.leave import leave_of
from planaria.membrane.web.outbound import FetchFailed, Page, WebRules, decode
from planaria.membrane.web.outbound import fetch as fetch_page
from planaria.membrane.web.outside import outside
from planaria.tools._apart import PageText, UnreadableError, read_page

MAX_MARKUP = 1_000_000  # characters of HTML that are read; the rest is left out
_TEXT = frozenset({"application/json", "application/xml", "application/javascript", "application/yaml", ""})
ACCEPT = "text/html, text/*;q=0.9, application/json, */*;q=0.5"
_RETRY = frozenset({408, 425, 429, 500, 502, 503, 504})


@tool(needs={"net.fetch"}, touches={"net.fetch": "url"}, branches=("ok", "empty"), idempotent=True)
async def fetch(context: Context, url: str, max_chars: int = 15_000) -> Done | Failed:
    """Fetch a web page and read it as Markdown text.

    Only public http and https addresses. Pictures, sound and archives are described, not read.

    Args:
        url: absolute, http or https.
        max_chars: longer text is cut here.
    """
    rules = context.find(WebRules) or WebRules()
    try:
        page = await fetch_page(url, rules, {"Accept": ACCEPT}, leave_of(context))
    except FetchFailed as error:
        return Failed(error.message, retry=error.retry)
    if page.status >= 400:
        return Failed(f"{url} answered {page.status}", retry=page.status in _RETRY)
    try:
        reading = await readable(page)
    except UnreadableError as error:
        return Failed(f"{url}: {error}")
    title, text = reading.title, reading.text
    cut = page.truncated or len(text) > max_chars
    text = text[: max(max_chars, 0)]
    value = {"url": page.url, "title": title, "type": page.media_type, "text": text, "cut": cut}
    shown = "\n\n".join(
        part for part in (f"# {title}" if title else "", text, "[cut here]" if cut else "") if part
    )
    return Done(value, branch="ok" if text else "empty", text=outside(shown or "(nothing to read)", page.url))


def _searched(_: object) -> tuple[Touch, ...]:
    return (Touch("net.search", "web"),)


@tool(needs={"net.search"}, touches=_searched, branches=("found", "nothing"), idempotent=True)
async def search(
    context: Context,
    query: str,
    limit: int = 10,
    page: int = 1,
    recent: Recent = "any",
    language: str = "",
) -> Done | Failed:
    """Search the web. Gives titles, addresses and snippets; `web.fetch` reads a page.

    Args:
        query: words as for any search engine, at most 400 characters.
        limit: at most this many results, 1 to 20.
        page: which page of results, from 1.
        recent: only what is no older than a `day`, `week`, `month` or `year`.
        language: such as `de`; empty for any.
    """
    words = " ".join(query.split())
    if not words or len(words) > LONGEST_QUERY:
        return Failed(f"a query has 1 to {LONGEST_QUERY} characters, not {len(words)}")
    if language and not re.fullmatch(r"[A-Za-z]{2,3}(-[A-Za-z]{2,4})?", language):
        return Failed(f"{language!r} is no language; write such as 'de' or 'en-GB'")
    asked = SearchQuery(words, min(max(limit, 1), MOST), max(page, 1), recent, language)
    try:
        service = context.get(SearchService)
        found = await ask_service(service, asked, context.find(WebRules) or WebRules())
    except FetchFailed as error:
        return Failed(error.message, retry=error.retry)
    value = [msgspec.to_builtins(hit) for hit in found.hits]
    trouble = f"\n(Not all could be asked: {found.trouble})" if found.trouble else ""
    if not found.hits:
        return Done(value, branch="nothing", text=outside(f"No result for {words!r}.{trouble}", "web.search"))
    told = "\n".join(_told(number, hit) for number, hit in enumerate(found.hits, 1))
    return Done(value, branch="found", text=outside(told + trouble, f"web.search: {words[:100]}"))


def _told(number: int, hit: Hit) -> str:
    date = f" ({hit.published})" if hit.published else ""
    return "\n   ".join(part for part in (f"{number}. {hit.title}{date}", hit.url, hit.snippet) if part)


async def readable(page: Page) -> PageText:
    """Title and text of a page: HTML as Markdown, other text as it is, anything else in a sentence.

    Raises:
        UnreadableError: the HTML takes too much to read.
    """
    kind = page.media_type
    looks_html = page.body.lstrip()[:15].lower().startswith((b"<!doctype html", b"<html"))
    if kind in ("text/html", "application/xhtml+xml") or (kind in ("", "text/plain") and looks_html):
        return await read_page(decode(page)[:MAX_MARKUP])
    if kind.startswith("text/") or kind in _TEXT or kind.endswith(("+json", "+xml")):
        if b"\0" not in page.body[:2048] or page.body[:2] in (b"\xff\xfe", b"\xfe\xff"):
            return PageText("", decode(page).strip())
    size = f"{'more than ' if page.truncated else ''}{len(page.body)} bytes"
    return PageText("", f"(This is {kind or 'data of no known type'}, {size}; it cannot be read as text.)")
