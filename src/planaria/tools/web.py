"""Tools for pages on the web: fetch one and read it as Markdown.

Bounded in size, time and redirects; addresses of this machine and its network are refused (`WebRules`). What a page
says is marked as from outside wherever a model reads it.
"""

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
