"""The garden's notes: the list, the search, one note with its links."""

from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import quote

import msgspec
from markupsafe import Markup
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from planaria.nerve.show import clip
from planaria.nerve.web.live import LiveResponse
from planaria.nerve.web.markdown import note_links, to_html
from planaria.nerve.web.parts import Part
from planaria.nerve.web.site import Site
from planaria.records.fulltext import MARKS
from planaria.records.index import Index
from planaria.records.library import Library
from planaria.records.record import Record

MOST = 300
"""Notes on the list; the search finds the others."""


class NoteLine(msgspec.Struct, frozen=True):
    """A note in a list. `pieces` are (is a match, text)."""

    href: str
    title: str
    folder: str
    pieces: tuple[tuple[bool, str], ...]


class NotePage(msgspec.Struct, frozen=True):
    """One note, at its own address."""

    href: str
    title: str
    path: str
    html: Markup
    front: tuple[tuple[str, str], ...]
    backlinks: tuple[NoteLine, ...]


def routes(site: Site) -> list[Route]:
    """`/notes`, its search, and each note."""

    async def show_list(request: Request) -> Response:
        query = request.query_params.get("q", "").strip()
        values = {"query": query, "notes": await find_notes(site, query)}
        return await site.page("notes.html", "notes", None if query else "/live/notes", values)

    async def show_note(request: Request) -> Response:
        page = await read_note(site, request.path_params["name"])
        if page.href != "/notes/" + quote(request.path_params["name"]):
            # Relative links in the note are read from its own place.
            return RedirectResponse(page.href)
        return await site.page("note.html", "notes", None, {"note": page})

    async def live(request: Request) -> Response:
        return LiveResponse(site, request, NotesFeed(site))

    return [
        Route("/notes", show_list),
        Route("/live/notes", live),
        Route("/notes/{name:path}", show_note),
    ]


class NotesFeed:
    """The list, looked at again when a record changes."""

    topics: Sequence[str] = ("records",)

    def __init__(self, site: Site) -> None:
        self.site = site
        self.notes: tuple[NoteLine, ...] | None = None

    async def parts(self) -> list[Part]:
        """The whole list."""
        if self.notes is None:
            self.notes = await find_notes(self.site, "")
        return [Part("notes", "_notes.html", {"notes": self.notes, "query": ""}, self.notes)]

    def take(self, messages: Sequence[object]) -> list[str]:
        """Some record changed: look again."""
        if messages:
            self.notes = None
        return []


async def find_notes(site: Site, query: str) -> tuple[NoteLine, ...]:
    """All notes by path, or those that match, best first."""
    if query:
        hits = await Index.search(site.pid("index"), query, limit=50)
        return tuple(_line(hit.path, hit.title, tuple(_pieces(hit.snippet))) for hit in hits)
    records = await Library.list(site.pid("library"), "notes")
    return tuple(
        _line(record.path, record.title, ((False, _opening(record.body)),)) for record in list(records)[:MOST]
    )


async def read_note(site: Site, name: str) -> NotePage:
    """One note by its name, `folder/name`, or by the last part of it if only one note ends so.

    Raises:
        HTTPException: 404 if there is none, with what to do.
    """
    library = site.pid("library")
    records = {_name(record.path): record for record in await Library.list(library, "notes")}
    found = resolve(name, records)
    if found is None:
        raise HTTPException(404, f"There is no note {name!r}. Write it as notes/{name}.md in the garden.")
    record = records[found]
    linked = [other for key, other in records.items() if key != found and _links_to(other, found, records)]
    return NotePage(
        href="/notes/" + quote(found),
        title=record.title,
        path=record.path,
        html=to_html(_without_title(record), lambda link: resolve(link, records) is not None),
        front=tuple((key, _value(value)) for key, value in record.front.items() if key != "title"),
        backlinks=tuple(_line(other.path, other.title, ()) for other in linked),
    )


def resolve(link: str, names: Iterable[str]) -> str | None:
    """The note a link means: its full name, or the only one whose last part it is."""
    wanted = link.partition("#")[0].strip().removeprefix("notes/").removesuffix(".md")
    if wanted in set(names):
        return wanted
    ending = [name for name in names if name.rpartition("/")[2] == wanted]
    return ending[0] if len(ending) == 1 else None


def _links_to(record: Record, name: str, names: Iterable[str]) -> bool:
    return any(resolve(link, names) == name for link in note_links(record.body))


def _line(path: str, title: str, pieces: tuple[tuple[bool, str], ...]) -> NoteLine:
    name = _name(path)
    return NoteLine("/notes/" + quote(name), title, name.rpartition("/")[0], pieces)


def _name(path: str) -> str:
    return path.removeprefix("notes/").removesuffix(".md")


def _pieces(snippet: str) -> Iterator[tuple[bool, str]]:
    """A snippet as (is a match, text)."""
    for number, piece in enumerate(snippet.split(MARKS[0])):
        inside, _, after = piece.partition(MARKS[1]) if number else ("", "", piece)
        if inside:
            yield True, inside
        if after:
            yield False, after


def _opening(body: str) -> str:
    """The first words below the headings."""
    lines = (line.strip() for line in body.splitlines())
    return clip(" ".join(line for line in lines if line and not line.startswith(("#", "```", "---"))), 180)


def _without_title(record: Record) -> str:
    """The body without a first heading that the page shows as its title already."""
    first, _, rest = record.body.lstrip().partition("\n")
    return rest if first.startswith("# ") and first[2:].strip() == record.title else record.body


def _value(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(_value(item) for item in value)
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
