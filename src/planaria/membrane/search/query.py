"""What a search service is asked and what it answers, whichever it is. All of an answer is a stranger's text."""

import html
import re
from collections.abc import Callable, Mapping
from typing import Any, Literal
from urllib.parse import quote, urlsplit

import msgspec

from planaria.config.search import SearchSettings
from planaria.config.secret import Secret
from planaria.membrane.web.outside import visible

MOST = 20
"""Results of one call."""
LONGEST_QUERY = 400
LONGEST_TITLE, LONGEST_SNIPPET, LONGEST_URL = 200, 600, 1_000
"""Characters that are kept. A result with a longer address is left out: half an address leads elsewhere."""
_IN_URLS = "%:/?#[]@!$&'()*+,;=-._~"
_TAG = re.compile(r"<[^<>]{0,200}>")

type Recent = Literal["any", "day", "week", "month", "year"]


class SearchQuery(msgspec.Struct, frozen=True):
    """One question.

    Attributes:
        limit: results, 1 to 20.
        page: from 1.
        recent: only what is no older.
        language: such as `de`; empty: any, or as the settings say.
    """

    text: str
    limit: int = 10
    page: int = 1
    recent: Recent = "any"
    language: str = ""


class Hit(msgspec.Struct, frozen=True):
    """One result: plain text without mark-up and what cannot be seen, cut to its bounds."""

    title: str
    url: str
    snippet: str = ""
    published: str = ""


class Found(msgspec.Struct, frozen=True):
    """An answer. `trouble`: what the service itself could not ask, in its words."""

    hits: tuple[Hit, ...]
    trouble: str = ""


class Asking(msgspec.Struct, frozen=True):
    """The request that puts a question to a service."""

    url: str
    headers: dict[str, str]


class Dialect(msgspec.Struct, frozen=True):
    """How one service is spoken to.

    Attributes:
        asking: the request.
        found: what a good answer says; a `ValueError` says what is wrong with it.
        refused: what the service says in an answer that is an error, in a few words; empty: nothing.
        hint: what a person can do about a status; empty: nothing is known.
    """

    asking: Callable[[SearchSettings, SearchQuery, Secret | None], Asking]
    found: Callable[[Any], Found]
    refused: Callable[[Any], str]
    hint: Callable[[int], str]


def hits_of(rows: object, limit: int = MOST, *, snippet: str, published: tuple[str, ...]) -> tuple[Hit, ...]:
    """Results from a list of objects; what is no result, leads nowhere or comes twice is left out.

    Args:
        snippet: the key of the text; `title` and `url` are called so everywhere.
        published: keys of a date, the first that is there counts.
    """
    found: dict[str, Hit] = {}
    for row in rows if isinstance(rows, list) else ():
        if len(found) >= limit:
            break
        if not isinstance(row, Mapping):
            continue
        url = row.get("url")
        if not isinstance(url, str) or not leads_somewhere(url := quote(url, safe=_IN_URLS)) or url in found:
            continue
        date = next((row[key] for key in published if row.get(key)), "")
        found[url] = Hit(
            plain(row.get("title"), LONGEST_TITLE) or "(no title)",
            url,
            plain(row.get(snippet), LONGEST_SNIPPET),
            plain(date, 40),
        )
    return tuple(found.values())


def plain(text: object, limit: int) -> str:
    """A text in one line: no mark-up, nothing hidden, at most so long; empty for what is no text."""
    if not isinstance(text, str):
        return ""
    line = " ".join(visible(html.unescape(_TAG.sub("", text[: limit * 8]))).split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def leads_somewhere(url: str) -> bool:
    """Whether this is an address on the web, its host written plainly."""
    if len(url) > LONGEST_URL:
        return False
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    plain_host = bool(parts.hostname) and not set(parts.netloc) & set("@%")
    return parts.scheme in ("http", "https") and plain_host
