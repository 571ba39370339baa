"""The garden's notes: the list, the search, one note with its links."""

from collections.abc import Iterator, Sequence
from functools import partial
from urllib.parse import quote

import msgspec
from markupsafe import Markup
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from planaria.nerve.show import clip
from planaria.nerve.web.live import LiveResponse
from planaria.nerve.web.markdown import to_html
from planaria.nerve.web.parts import Part
from planaria.nerve.web.site import Site
from planaria.otp import run_blocking
from planaria.records.errors import Problem
from planaria.records.fulltext import MARKS
from planaria.records.index import Index
from planaria.records.library import Library
from planaria.records.links import plain_name
from planaria.records.record import Record

PAGE = 100
"""Notes on one page of the list."""
PATIENCE = 15.0
"""Seconds to wait for index and library: just started over a large garden, they need some."""


class NoteLine(msgspec.Struct, frozen=True):
    """A note in a list. `pieces` are (is a match, text)."""

    href: str
    title: str
    folder: str
    pieces: tuple[tuple[bool, str], ...]


class NotesView(msgspec.Struct, frozen=True):
    """A page of the list, or what a search found."""

    notes: tuple[NoteLine, ...]
    query: str = ""
    total: int = 0
    first: int = 1
    before: str | None = None
    after: str | None = None


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
        query, number = request.query_params.get("q", "").strip(), page_number(request)
        view = await find_notes(site, query) if query else await list_notes(site, number)
        live_url = None if query else f"/live/notes?page={number}"
        return await site.page("notes.html", "notes", live_url, {"view": view})

    async def show_note(request: Request) -> Response:
        page = await read_note(site, request.path_params["name"])
        if page.href != "/notes/" + quote(request.path_params["name"]):
            # Relative links in the note are read from its own place.
            return RedirectResponse(page.href)
        return await site.page("note.html", "notes", None, {"note": page})

    async def live(request: Request) -> Response:
        return LiveResponse(site, request, NotesFeed(site, page_number(request)))

    return [
        Route("/notes", show_list),
        Route("/live/notes", live),
        Route("/notes/{name:path}", show_note),
    ]


class NotesFeed:
    """The list, looked at again when a record changes."""

    topics: Sequence[str] = ("records",)

    def __init__(self, site: Site, number: int) -> None:
        self.site = site
        self.number = number
        self.view: NotesView | None = None

    async def parts(self) -> list[Part]:
        """The whole page of the list."""
        if self.view is None:
            self.view = await list_notes(self.site, self.number)
        return [Part("notes", "_notes.html", {"view": self.view}, self.view)]

    def take(self, messages: Sequence[object]) -> list[str]:
        """Some record changed: look again."""
        if messages:
            self.view = None
        return []


def page_number(request: Request) -> int:
    """Which page of the list is asked for, from 1; nonsense is 1."""
    asked = request.query_params.get("page", "")
    return max(int(asked), 1) if asked.isdecimal() and len(asked) < 8 else 1


async def find_notes(site: Site, query: str) -> NotesView:
    """The notes that match, best first."""
    hits = await Index.search.within(PATIENCE)(site.pid("index"), query, limit=50)
    return NotesView(tuple(_line(hit.path, hit.title, tuple(_pieces(hit.snippet))) for hit in hits), query)


async def list_notes(site: Site, number: int) -> NotesView:
    """One page of all notes, by path."""
    skipped = (number - 1) * PAGE
    found = await Index.notes.within(PATIENCE)(site.pid("index"), skipped, PAGE)
    return NotesView(
        notes=tuple(_line(note.path, note.title, ((False, _opening(note.opening)),)) for note in found.notes),
        total=found.total,
        first=skipped + 1,
        before=f"/notes?page={number - 1}" if number > 1 else None,
        after=f"/notes?page={number + 1}" if found.total > skipped + PAGE else None,
    )


async def read_note(site: Site, name: str) -> NotePage:
    """One note by its name, `folder/name`, or by the last part of it if only one note ends so.

    Raises:
        HTTPException: 404 if there is none or it cannot be read, with what to do.
    """
    ties = await Index.ties.within(PATIENCE)(site.pid("index"), name)
    if ties is None:
        raise HTTPException(404, f"There is no note {name!r}. Write it as notes/{name}.md in the garden.")
    record = await Library.read.within(PATIENCE)(site.pid("library"), ties.path)
    if isinstance(record, Problem):
        raise HTTPException(404, str(record))

    def exists(link: str) -> bool:
        return plain_name(link) not in ties.missing

    return NotePage(
        href="/notes/" + quote(ties.name),
        title=record.title,
        path=record.path,
        # A hostile text takes seconds; in a thread it holds nobody else up.
        html=await run_blocking(partial(to_html, _without_title(record), exists)),
        front=tuple((key, _value(value)) for key, value in record.front.items() if key != "title"),
        backlinks=tuple(_line(note.path, note.title, ()) for note in ties.linked_from),
    )


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
