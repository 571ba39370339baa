"""Tools for the garden's notes: search, read and write the Markdown files under `notes/`.

Through the library and the index, so paths are checked, writes are atomic, and everybody sees a change at once.
"""

from collections.abc import Mapping
from typing import Any, Literal

from planaria.membrane.authority import Allowed
from planaria.membrane.capability import Touch
from planaria.membrane.gate.check import place_of
from planaria.membrane.tool import Context, Done, Failed, tool
from planaria.records.errors import Problem, RecordError
from planaria.records.fulltext import marked
from planaria.records.index import Index
from planaria.records.library import Library
from planaria.records.record import Record, parse_record


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
        return Done(
            value, text=f"---\n{answer.front_text}---\n{answer.body}" if answer.front else answer.body
        )
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
    """Write a note. The front matter it has is kept; keys given are set.

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
    answer = await Library.write("library", place, keys, given.body, merge=True, append=mode == "append")
    if isinstance(answer, Problem):
        return Failed(str(answer))
    value = {"path": answer.record.path, "title": answer.record.title}
    return Done(value, branch=answer.outcome, text=f"{answer.outcome}: {answer.record.path}")


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
