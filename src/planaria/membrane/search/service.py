"""The search service of a node: one guarded request for each question, its answer bounded and checked.

What is configured may be in this machine's own network, at that host and port and nowhere else; the key goes there
alone, and no redirect is followed to another host.
"""

import math
from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import urlsplit

import msgspec

from planaria.config.search import UNSET, SearchSettings
from planaria.config.secret import Secret
from planaria.config.settings import Settings
from planaria.cortex.secrets import Secrets
from planaria.membrane.search.brave import BRAVE
from planaria.membrane.search.query import Dialect, Found, SearchQuery
from planaria.membrane.search.searxng import SEARXNG
from planaria.membrane.web.outbound import FetchFailed, Page, WebRules, fetch
from planaria.membrane.web.outside import visible

TOOL = "web.search"
DIALECTS: Mapping[str, Dialect] = {"searxng": SEARXNG, "brave": BRAVE}
LARGEST = 2_000_000
"""Bytes of an answer."""
_RETRY = frozenset({408, 425, 429, 500, 502, 503, 504})

type Key = Callable[[], Awaitable[Secret | None]]


class SearchService(msgspec.Struct, frozen=True):
    """What `web.search` asks; a service of its context.

    Attributes:
        key: looks the key up, for each question, so that a new one counts at once.
    """

    settings: SearchSettings
    key: Key


def service_of(settings: Settings, environ: Mapping[str, str], secrets: Secrets) -> SearchService:
    """The service of a node, with the key from the variable that is named, else the one sealed in the garden."""
    search = settings.search

    async def key() -> Secret | None:
        found = environ.get(search.key_env or "", "")
        return Secret(found) if found.strip() else await secrets.get(key_name(search))

    return SearchService(search, key)


def key_name(settings: SearchSettings) -> str:
    """What the sealed key goes by: with the address it may be sent to, so that another one does not get it."""
    return f"search:{settings.service}@{settings.url}"


def lacking(settings: Settings) -> dict[str, str]:
    """Tools that this node cannot offer, with what to write; for the gate."""
    return {} if settings.search.service else {TOOL: UNSET}


async def search(service: SearchService, query: SearchQuery, rules: WebRules) -> Found:
    """Ask.

    Raises:
        FetchFailed: the service did not answer, refused, or what it says cannot be read.
    """
    settings = service.settings
    if settings.service is None:
        raise FetchFailed(UNSET)
    dialect = DIALECTS[settings.service]
    key = await service.key()
    if key is None and settings.service == "brave":
        raise FetchFailed(
            "there is no key for Brave Search: set the variable in key_env, or `planaria tools key web.search`"
        )
    asking = dialect.asking(settings, query, key)
    bounds = msgspec.structs.replace(
        rules, private=rules.private | _place(settings.url), max_bytes=LARGEST, seconds=settings.seconds
    )
    host = urlsplit(settings.url).hostname

    def leave(url: str) -> str:
        return "" if urlsplit(url).hostname == host else "a search service is not followed to another host"

    try:
        page = await fetch(asking.url, bounds, asking.headers, leave)
    except FetchFailed as error:
        raise FetchFailed(_named(settings, error.message, key), retry=error.retry) from error
    if page.status != 200:
        raise _refusal(settings, dialect, page, key)
    if page.truncated:
        raise FetchFailed(_named(settings, f"it answers more than {LARGEST} bytes", key))
    try:
        found = dialect.found(msgspec.json.decode(page.body))
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        said = str(error)[:200]
        raise FetchFailed(_named(settings, f"its answer is not what it should be: {said}", key)) from error
    return msgspec.structs.replace(found, hits=found.hits[: query.limit])


def _refusal(settings: SearchSettings, dialect: Dialect, page: Page, key: Secret | None) -> FetchFailed:
    try:
        said = dialect.refused(msgspec.json.decode(page.body))
    except (msgspec.DecodeError, RecursionError):
        said = ""
    parts = [f"it answered {page.status}" + (f" ({said})" if said else "")]
    if page.status == 429 and (wait := _wait(page)):
        parts.append(f"try again in {wait} s")
    if hint := dialect.hint(page.status):
        parts.append(hint)
    return FetchFailed(_named(settings, "; ".join(parts), key), retry=page.status in _RETRY)


def _named(settings: SearchSettings, words: str, key: Secret | None) -> str:
    """Words about a service, with its name before them, and its key in none of them."""
    said = f"the search service {settings.service} ({settings.url}): {visible(words)}"
    return said if key is None else key.scrub(said)


def _wait(page: Page) -> int:
    """Seconds until it may be asked again; 0: it does not say."""
    for name in ("retry-after", "x-ratelimit-reset"):
        text = page.headers.get(name, "").partition(",")[0].strip()
        if text.isascii() and text.isdecimal() and len(text) < 8:
            return math.ceil(int(text))
    return 0


def _place(url: str) -> frozenset[tuple[str, int]]:
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return frozenset({((parts.hostname or "").removesuffix("."), port)})
