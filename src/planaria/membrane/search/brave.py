"""The Brave Search API: `GET /res/v1/web/search` with a key. At most 20 results a page, ten pages.

Source: api-dashboard.search.brave.com, "Web Search API" and "Rate limiting". A second without a call frees the common
limit of one call a second; `X-RateLimit-Reset` has the seconds for each limit, the shortest first.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from planaria.config.search import SearchSettings
from planaria.config.secret import Secret
from planaria.membrane.search.query import MOST, Asking, Dialect, Found, SearchQuery, hits_of, plain

MOST_PAGES = 10
_RECENT = {"day": "pd", "week": "pw", "month": "pm", "year": "py"}


def asking(settings: SearchSettings, query: SearchQuery, key: Secret | None) -> Asking:
    """The request."""
    words = {
        "q": query.text,
        "count": str(min(query.limit, MOST)),
        "offset": str(min(query.page, MOST_PAGES) - 1),
        "safesearch": settings.safe,
        "text_decorations": "false",
        "result_filter": "web",
    }
    if language := query.language or settings.language:
        words["search_lang"] = language.partition("-")[0].lower()
    if query.recent != "any":
        words["freshness"] = _RECENT[query.recent]
    headers = {"Accept": "application/json"}
    if key is not None:
        headers["X-Subscription-Token"] = key.reveal()
    return Asking(f"{settings.url}/res/v1/web/search?{urlencode(words)}", headers)


def found(answer: Any) -> Found:
    """What it found. Without any result it leaves `web` out."""
    if not isinstance(answer, Mapping) or answer.get("type") != "search":
        raise ValueError("it answers no `search`")
    web = answer.get("web")
    rows = web.get("results") if isinstance(web, Mapping) else []
    return Found(hits_of(rows, snippet="description", published=("page_age", "age")))


def refused(answer: Any) -> str:
    """The code and the words of an error."""
    error = answer.get("error") if isinstance(answer, Mapping) else None
    if not isinstance(error, Mapping):
        return ""
    return ": ".join(part for part in (plain(error.get("code"), 60), plain(error.get("detail"), 200)) if part)


def hint(status: int) -> str:
    """What to do about a status."""
    if status in (401, 403, 422):
        return "see whether the key is right: `planaria tools key web.search`, or the variable in key_env"
    return ""


BRAVE = Dialect(asking, found, refused, hint)
