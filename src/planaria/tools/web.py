"""Tools for pages on the web: fetch one and read it as Markdown.

Bounded in size, time and redirects; addresses of this machine and its network are refused (`WebRules`). What a page
says is marked as from outside wherever a model reads it.
"""

import re

from bs4 import BeautifulSoup
from markdownify import MarkdownConverter

from planaria.membrane.outbound import FetchFailed, Page, WebRules, decode
from planaria.membrane.outbound import fetch as fetch_page
from planaria.membrane.outside import outside
from planaria.membrane.tool import Context, Done, Failed, tool
from planaria.otp import run_blocking

MAX_MARKUP = 1_000_000  # characters of HTML that are converted; the rest is left out
_SILENT = ("script", "style", "noscript", "template", "svg", "iframe", "object", "head")
_TEXT = frozenset({"application/json", "application/xml", "application/javascript", "application/yaml", ""})
_RETRY = frozenset({408, 425, 429, 500, 502, 503, 504})


@tool(needs={"http"}, branches=("ok", "empty"), idempotent=True)
async def fetch(context: Context, url: str, max_chars: int = 15_000) -> Done | Failed:
    """Fetch a web page and read it as Markdown text.

    Only public http and https addresses. Pictures, sound and archives are described, not read.

    Args:
        url: absolute, http or https.
        max_chars: longer text is cut here.
    """
    rules = context.find(WebRules) or WebRules()
    try:
        page = await fetch_page(
            url, rules, {"Accept": "text/html, text/*;q=0.9, application/json, */*;q=0.5"}
        )
    except FetchFailed as error:
        return Failed(error.message, retry=error.retry)
    if page.status >= 400:
        return Failed(f"{url} answered {page.status}", retry=page.status in _RETRY)
    title, text = await run_blocking(readable, page)
    cut = page.truncated or len(text) > max_chars
    text = text[: max(max_chars, 0)]
    value = {"url": page.url, "title": title, "type": page.media_type, "text": text, "cut": cut}
    shown = "\n\n".join(
        part for part in (f"# {title}" if title else "", text, "[cut here]" if cut else "") if part
    )
    return Done(value, branch="ok" if text else "empty", text=outside(shown or "(nothing to read)", page.url))


def readable(page: Page) -> tuple[str, str]:
    """Title and text of a page: HTML as Markdown, other text as it is, anything else in a sentence. Blocking."""
    kind = page.media_type
    looks_html = page.body.lstrip()[:15].lower().startswith((b"<!doctype html", b"<html"))
    if kind in ("text/html", "application/xhtml+xml") or (kind in ("", "text/plain") and looks_html):
        return html_to_text(decode(page))
    if kind.startswith("text/") or kind in _TEXT or kind.endswith(("+json", "+xml")):
        if b"\0" not in page.body[:2048] or page.body[:2] in (b"\xff\xfe", b"\xfe\xff"):
            return "", decode(page).strip()
    size = f"{'more than ' if page.truncated else ''}{len(page.body)} bytes"
    return "", f"(This is {kind or 'data of no known type'}, {size}; it cannot be read as text.)"


def html_to_text(markup: str) -> tuple[str, str]:
    """Title and readable Markdown of an HTML document; scripts, styles and what is never shown are dropped."""
    soup = BeautifulSoup(markup[:MAX_MARKUP], "html.parser")
    title = " ".join(soup.title.get_text().split()) if soup.title else ""
    for unseen in soup(_SILENT):
        unseen.decompose()
    try:
        text = MarkdownConverter(heading_style="ATX", strip=["img"]).convert_soup(soup)
    except RecursionError:  # nested thousands deep: no page a person wrote
        text = soup.get_text("\n")
    return title, re.sub(r"\n[ \t]*(\n[ \t]*)+", "\n\n", text).strip()
