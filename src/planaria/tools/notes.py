"""Tools for the garden's notes: search, read and write the Markdown files under `notes/`.

Through the library and the index, so paths are checked, writes are atomic, and everybody sees a change at once.
A note that an agent or a workflow has written to says so (`written_by`), until a person takes that line away. It may
hold what they read elsewhere, so it is marked as from outside where a model reads it; what people wrote is not.
"""

from collections.abc import Mapping
from typing import Any, Literal

from planaria.membrane.authority import Allowed
from planaria.membrane.capability import Touch
from planaria.membrane.gate.check import place_of
from planaria.membrane.tool import Context, Done, Failed, tool
from planaria.membrane.web.outside import RETOLD, outside
from planaria.records.errors import Problem, RecordError
from planaria.records.fulltext import marked
from planaria.records.index import Index
from planaria.records.library import Library
from planaria.records.record import Record, parse_record

WRITTEN_BY = "written_by"
"""The key of front matter that says which caller wrote to a note, if it was no person."""


def _whole(arguments: Mapping[str, Any]) -> tuple[Touch, ...]:
    return (Touch("records.read", "notes"),)


def _read(arguments: Mapping[str, Any]) -> tuple[Touch, ...]:
    return (Touch("records.read", note_path(str(arguments["path"]))),)


def _written(arguments: Mapping[str, Any]) -> tuple[Touch, ...]:
    return (Touch("records.write", note_path(str(arguments["path"]))),)


@tool(needs={"records.read"}, touches=_whole, branches=("found", "nothing"), idempotent=True)
async def search(context: Context, query: str, limit: int = 10) -> Done | Failed:
    """Search the notes by their words.

    Args:
        query: words to find, in any form; a "phrase in quotation marks" is kept together.
        limit: at most this many notes.
    """
    hits = [hit for hit in await Index.search("index", query, limit) if _may_read(context, hit.path)]
    value = [
        {"path": hit.path, "title": hit.title, "snippet": marked(hit.snippet, "", ""), "score": hit.score}
        for hit in hits
    ]
    if not hits:
        return Done(value, branch="nothing", text=f"No note matches {query!r}.")
    text = "\n".join(f"- {hit.path} ({hit.title}): {' '.join(marked(hit.snippet).split())}" for hit in hits)
    authors = sorted({author for hit in hits if (author := await _author_at(hit.path))})
    if authors:
        text = outside(text, f"notes, some written by {', '.join(authors)}", RETOLD)
    return Done(value, branch="found", text=text)


@tool(needs={"records.read"}, touches=_read, branches=("ok", "missing"), idempotent=True)
async def read(context: Context, path: str) -> Done | Failed:
    """Read one note.

    Args:
        path: such as `notes/reading/april.md`; `reading/april` means the same.
    """
    place = note_path(path)
    answer = await Library.read("library", place)
    if isinstance(answer, Record):
        value = {"path": place, "title": answer.title, "front": answer.front, "body": answer.body}
        text = f"---\n{answer.front_text}---\n{answer.body}" if answer.front else answer.body
        if author := author_of(answer):
            text = outside(text, f"{place}, written by {author}", RETOLD)
        return Done(value, text=text)
    if answer.problem == "there is no such file":
        return Done({"path": place}, branch="missing", text=f"There is no note {place}.")
    return Failed(str(answer))


@tool(needs={"records.write"}, touches=_written, branches=("created", "updated", "unchanged"))
async def write(
    context: Context,
    path: str,
    text: str,
    front: dict[str, Any] | None = None,
    mode: Literal["replace", "append"] = "replace",
) -> Done | Failed:
    """Write a note. The front matter it has is kept; keys given are set. It will say that you wrote to it.

    Args:
        path: such as `notes/reading/april.md`; folders are made as needed.
        text: Markdown, the note's body.
        front: front matter keys to set; null removes a key.
        mode: `replace` the body, or `append` to it.
    """
    place = note_path(path)
    try:
        given = parse_record(place, text)  # models like to write front matter into the text
    except RecordError as error:
        return Failed(f"the text begins with front matter that cannot be read: {error}")
    keys = {**given.front, **(front or {})}
    keys.pop(WRITTEN_BY, None)
    if not context.caller.startswith("person:"):
        keys[WRITTEN_BY] = context.caller
    answer = await Library.write("library", place, keys, given.body, merge=True, append=mode == "append")
    if isinstance(answer, Problem):
        return Failed(str(answer))
    value = {"path": answer.record.path, "title": answer.record.title}
    return Done(value, branch=answer.outcome, text=f"{answer.outcome}: {answer.record.path}")


def author_of(record: Record) -> str:
    """The agent, workflow or program that has written to a note; empty: people alone, as far as it says."""
    author = record.front.get(WRITTEN_BY)
    return author if isinstance(author, str) and ":" in author and not author.startswith("person:") else ""


async def _author_at(path: str) -> str:
    found = await Library.read("library", path)
    return author_of(found) if isinstance(found, Record) else ""


def _may_read(context: Context, path: str) -> bool:
    """Whether a note that was found may be shown: `notes` as a whole says nothing of what is denied in it."""
    if context.authority is None:
        return True
    verdict = context.authority.check(Touch("records.read", path), place_of(context))
    return isinstance(verdict, Allowed)


def note_path(path: str) -> str:
    """The file a model means: under `notes/`, ending in `.md`. Whether it may be touched the library decides."""
    place = path if path.startswith(("notes/", "/")) else f"notes/{path}"
    return place if place.endswith(".md") else f"{place}.md"
