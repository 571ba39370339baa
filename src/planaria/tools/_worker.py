"""The worker that reads pages and feeds: one job on standard input, one reading on standard output, then the end.

Started by `_apart.py`, with limits on memory and processor time. Plain blocking code; no process of ours runs here.
"""

import hashlib
import io
import re
import resource
import sys
import time
from typing import Any

import feedparser
import msgspec
from bs4 import BeautifulSoup, Tag
from bs4.element import PreformattedString
from markdownify import MarkdownConverter

from planaria.tools._apart import (
    MEMORY,
    SECONDS,
    FeedJob,
    FeedText,
    Item,
    PageJob,
    PageText,
    Reading,
    Unreadable,
)

MAX_MARKUP = 1_000_000  # characters of HTML that are converted; the rest is left out
MAX_TEXT = 500_000
MAX_ITEMS = 500
MAX_SUMMARY = 2_000
_UNSEEN = re.compile(
    r"(?:^|;)(?:display:none|visibility:(?:hidden|collapse)|opacity:0*\.?0+(?:;|$|%|!)|content-visibility:hidden"
    r"|font(?:-size)?:0(?:\.0+)?(?:px|r?em|pt|%)?(?:;|$|!)|(?:max-)?(?:height|width):0(?:px)?(?:;|$|!)"
    r"|clip(?:-path)?:(?:rect\(0|inset\((?:50|100)%|circle\(0)"
    r"|(?:text-indent|left|top|right|margin-left|margin-top):-\d{3,}|color:transparent"
    r"|transform:(?:scale\(0|translate[xy]?\(-\d{3,}))"
)
"""Ways to say in an element's own style that it is not to be seen. A style sheet can say it too, and is not read."""
_SILENT = ("script", "style", "noscript", "template", "svg", "iframe", "object", "head")


def read(job: PageJob | FeedJob) -> Reading:
    """Do one job."""
    if isinstance(job, PageJob):
        return page_text(job.markup)
    return feed_text(job)


def page_text(markup: str) -> PageText:
    """Title and readable Markdown of an HTML document; scripts, styles and what is never shown are dropped."""
    soup = BeautifulSoup(markup[:MAX_MARKUP], "html.parser")
    title = " ".join(soup.title.get_text().split()) if soup.title else ""
    for unseen in (*soup(_SILENT), *soup(_hidden)):
        unseen.decompose()
    for remark in soup(string=lambda text: isinstance(text, PreformattedString)):
        remark.extract()
    try:
        text = MarkdownConverter(heading_style="ATX", strip=["img"]).convert_soup(soup)
    except RecursionError:  # nested thousands deep: no page a person wrote
        text = soup.get_text("\n")
    return PageText(title[:500], re.sub(r"\n[ \t]*(\n[ \t]*)+", "\n\n", text).strip()[:MAX_TEXT])


def _hidden(tag: Tag) -> bool:
    """Whether a person who opens the page does not see this: said of it in the page itself."""
    given = tag.attrs
    if "hidden" in given or given.get("aria-hidden") == "true" or given.get("type") == "hidden":
        return True
    style = re.sub(r"\s|/\*.*?\*/", "", str(given.get("style", ""))).lower()
    return bool(style and _UNSEEN.search(style))


def feed_text(job: FeedJob) -> FeedText | Unreadable:
    """Title and items of a feed, newest first as far as they are dated."""
    headers = {"content-type": job.media_type} if job.media_type else {}
    try:
        feed = feedparser.parse(io.BytesIO(job.body), response_headers=headers)
    except (ValueError, LookupError, RecursionError, AssertionError) as error:
        return Unreadable(f"{job.url} cannot be read as a feed: {type(error).__name__}: {error}")
    if not feed.get("version") and not feed.entries:
        why = f" ({feed.bozo_exception})" if feed.get("bozo") and feed.get("bozo_exception") else ""
        return Unreadable(f"{job.url} is no RSS or Atom feed{why}")
    items = [_item(entry) for entry in feed.entries[:MAX_ITEMS]]
    unique = list({item.id: item for item in reversed(items)}.values())[::-1]
    unique.sort(key=lambda item: item.published, reverse=True)
    return FeedText(_line(feed.feed.get("title", "")), unique)


def _item(entry: Any) -> Item:
    title, link = _line(entry.get("title", "")), str(entry.get("link", ""))[:2000]
    given = str(entry.get("id", "") or link)
    content = entry.get("content") or ()
    markup = str(entry.get("summary", "") or (content[0].get("value", "") if content else ""))
    summary = page_text(markup).text if "<" in markup or "&" in markup else markup.strip()
    # Long ids are hashed: the journal remembers many of them.
    short = (
        given
        if 0 < len(given) <= 200
        else hashlib.sha256(f"{given}\n{title}\n{summary}".encode()).hexdigest()
    )
    when = entry.get("published_parsed") or entry.get("updated_parsed")
    return Item(short, title, link, _iso(when), summary[:MAX_SUMMARY])


def _iso(when: Any) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", when) if isinstance(when, time.struct_time) else ""


def _line(text: object) -> str:
    return " ".join(str(text).split())[:500]


def main() -> None:
    """Read a job, answer, end."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (int(SECONDS), int(SECONDS) + 1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    job = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=PageJob | FeedJob)
    sys.stdout.buffer.write(msgspec.msgpack.encode(read(job)))


if __name__ == "__main__":
    main()
