#!/usr/bin/env python3
"""Write `docs/events.md` from the types of events, and add samples of new ones to `tests/cortex/stored_events.jsonl`.

Run by hand, `python scripts/make_events.py`, after a kind of event or a version of one was added. A line that is in the
file of samples stands for a journal somewhere: it is never changed and never removed.
"""

import importlib
import inspect
import json
import pkgutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, TypeAliasType, Union, get_args, get_origin

import msgspec

import planaria
from planaria.cortex.event import Event
from planaria.cortex.event_type import EventType, event_types

ROOT = Path(__file__).parent.parent
DOC = ROOT / "docs" / "events.md"
SAMPLES = ROOT / "tests" / "cortex" / "stored_events.jsonl"

HEAD = """\
# Events

Everything the journal may hold: one class for each kind of event. The table is made from the classes by `python
scripts/make_events.py`; a test keeps it true.

An event has a header, the same for all ([The journal](journal.md)), and a payload, whose fields stand here. A
field with a default may be missing. `version` counts the shapes a payload has had: a program reads all up to its
own, and each class knows the way up from the one before (`upcast`). Fields it does not know are passed over, so a
program can read what a later one has only added to. A payload may be gone: `erased` with its person's key, or
`pruned` by retention; the header stands, and whatever is folded from events goes on without.

Tools and programs of your own may write kinds of their own, with a class (`EventType`) or without (`NewEvent`). To
add a kind here: write the class, run the script, commit the lines it adds to `tests/cortex/stored_events.jsonl`.
Those lines are payloads as they are stored in some journal; every later program is tested on them.
"""


class Sample(msgspec.Struct):
    """A payload as it is stored, and what of it every later program must read."""

    kind: str
    version: int
    payload: dict[str, Any]
    reads_as: dict[str, Any]

    def event(self) -> Event:
        """As the journal gives it."""
        return Event(
            1, "id", 0.0, "trace", None, "node", "process", "session", self.kind, self.payload, self.version
        )


def types() -> dict[str, type[EventType]]:
    """The kinds our own code writes, by name; imports every module to find them."""
    for module in pkgutil.walk_packages(planaria.__path__, "planaria."):
        if not module.name.startswith(("planaria.cli.", "planaria.testing.")):
            importlib.import_module(module.name)
    return {kind: cls for kind, cls in event_types().items() if cls.__module__.startswith("planaria.")}


def document() -> str:
    """The text of `docs/events.md`."""
    parts = [HEAD]
    found = types()
    for name in sorted({cls.__module__ for cls in found.values()}):
        about = inspect.getdoc(sys.modules[name]) or ""
        parts.append(f"## `{name}`\n\n{about.split(chr(10) * 2)[0]}\n")
        parts.append(
            "| kind | version | payload | what happened |\n|---|---|---|---|\n" + "".join(rows(name, found))
        )
    return "\n".join(parts)


def rows(module: str, found: dict[str, type[EventType]]) -> Iterator[str]:
    """The kinds of one module as lines of a table."""
    for kind, cls in found.items():
        if cls.__module__ == module:
            about = " ".join((inspect.getdoc(cls) or "").split("\n\n")[0].split())
            fields = ", ".join(f"`{field}`" for field in fields_of(cls)) or "-"
            yield f"| `{kind}` | {cls.version} | {escaped(fields)} | {escaped(about)} |\n"


def fields_of(cls: type[EventType]) -> Iterator[str]:
    """The fields of a payload with their types: `text: str`; those that may be missing with `= default`."""
    for field in msgspec.structs.fields(cls):
        default = field.default
        if field.default_factory is not msgspec.NODEFAULT:
            default = field.default_factory()
        said = "" if default is msgspec.NODEFAULT else f" = {json.dumps(msgspec.to_builtins(default))}"
        yield f"{field.encode_name}: {name_of(field.type)}{said}"


def name_of(kind: Any) -> str:
    """A type as one writes it."""
    if isinstance(kind, TypeAliasType):
        return name_of(kind.__value__)
    origin, inner = get_origin(kind), get_args(kind)
    if kind is type(None):
        return "None"
    if origin is Annotated:
        return name_of(inner[0])
    if origin is Literal:
        return " | ".join(json.dumps(each) for each in inner)
    if origin in (Union, UnionType):
        return " | ".join(name_of(each) for each in inner)
    if origin is not None:
        return f"{name_of(origin)}[{', '.join('...' if each is ... else name_of(each) for each in inner)}]"
    return getattr(kind, "__name__", str(kind))


def escaped(text: str) -> str:
    """Text for a cell of a table."""
    return text.replace("|", "\\|")


def samples() -> list[Sample]:
    """The samples there are."""
    lines = SAMPLES.read_text(encoding="utf-8").splitlines() if SAMPLES.exists() else []
    return [msgspec.json.decode(line, type=Sample) for line in lines]


def missing(known: list[Sample]) -> list[Sample]:
    """A made-up sample of each kind's present version that has none."""
    there = {(sample.kind, sample.version) for sample in known}
    made = []
    for kind, cls in types().items():
        if (kind, cls.version) not in there:
            fields = {f.encode_name: example(f.type, f.encode_name) for f in msgspec.structs.fields(cls)}
            made.append(Sample(kind, cls.version, fields, read(cls, Sample(kind, cls.version, fields, {}))))
    return made


def read(cls: type[EventType], sample: Sample) -> dict[str, Any]:
    """What a class reads of a sample, as plain data."""
    found: dict[str, Any] = msgspec.json.decode(
        msgspec.json.encode(msgspec.structs.asdict(cls.of(sample.event())))
    )
    return found


def example(kind: Any, name: str) -> Any:
    """A value of a type that is not its default."""
    if isinstance(kind, TypeAliasType):
        return example(kind.__value__, name)
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return example(inner[0], name)
    if origin is Literal:
        return inner[-1]
    if origin in (Union, UnionType):
        return example(next(each for each in inner if each is not type(None)), name)
    if origin is dict:
        return {"key": example(inner[1], name)}
    if origin in (list, tuple):
        return [example(inner[0], name)]
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return {f.encode_name: example(f.type, f.encode_name) for f in msgspec.structs.fields(kind)}
    values: dict[Any, Any] = {
        str: f"some {name}",
        int: 7,
        float: 2.5,
        bool: True,
        dict: {"key": 1},
        list: [1],
    }
    return values.get(kind, f"any {name}")


def line_of(sample: Sample) -> str:
    """A sample as it stands in the file."""
    return msgspec.json.encode(sample).decode() + "\n"


def main() -> None:
    """Write both files."""
    known = samples()
    made = missing(known)
    with SAMPLES.open("a", encoding="utf-8") as file:
        file.writelines(line_of(sample) for sample in made)
    DOC.write_text(document(), encoding="utf-8")
    sys.stdout.write(f"{DOC.name}: {len(types())} kinds; {SAMPLES.name}: {len(made)} samples added\n")


if __name__ == "__main__":
    main()
