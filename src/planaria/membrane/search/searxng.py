"""SearXNG: a metasearch engine one runs oneself. `GET /search?format=json`, which its settings must allow.

Source: docs.searxng.org, "Search API". It gives a page of results, however many; a dead engine behind it is told
beside them.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from planaria.config.search import SearchSettings
from planaria.config.secret import Secret
from planaria.membrane.search.query import Asking, Dialect, Found, SearchQuery, hits_of, plain

_SAFE = {"off": "0", "moderate": "1", "strict": "2"}
MOST_TROUBLE = 5


def asking(settings: SearchSettings, query: SearchQuery, key: Secret | None) -> Asking:
    """The request; a key is for a gate before the service, as a bearer token."""
    words = {"q": query.text, "format": "json", "pageno": str(query.page), "safesearch": _SAFE[settings.safe]}
    if language := query.language or settings.language:
        words["language"] = language
    if query.recent != "any":
        words["time_range"] = query.recent
    headers = {"Accept": "application/json"}
    if key is not None:
        headers["Authorization"] = f"Bearer {key.reveal()}"
    return Asking(f"{settings.url}/search?{urlencode(words)}", headers)


def found(answer: Any) -> Found:
    """What it found."""
    if not isinstance(answer, Mapping) or not isinstance(answer.get("results"), list):
        raise ValueError("it answers without `results`")
    silent = answer.get("unresponsive_engines")
    trouble = [
        f"{plain(each[0], 40)}: {plain(each[1], 80)}"
        for each in (silent if isinstance(silent, list) else ())
        if isinstance(each, list) and len(each) >= 2
    ]
    hits = hits_of(answer["results"], snippet="content", published=("publishedDate", "pubdate"))
    return Found(hits, "; ".join(trouble[:MOST_TROUBLE]))


def refused(answer: Any) -> str:
    """It says nothing worth repeating beside the status."""
    return plain(answer.get("error"), 200) if isinstance(answer, Mapping) else ""


def hint(status: int) -> str:
    """What to do about a status."""
    match status:
        case 403:
            return "let it answer JSON: `search: formats: [html, json]` in its settings.yml"
        case 429:
            return "its limiter takes this node for a robot: `server: limiter: false` in its settings.yml"
        case 404:
            return "base_url is its root, before /search"
        case _:
            return ""


SEARXNG = Dialect(asking, found, refused, hint)
