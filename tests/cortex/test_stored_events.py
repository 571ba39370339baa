"""Every kind our code writes has a class; every payload that was ever stored can be read by the class of today."""

import ast
import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from planaria.cortex.event import Event
from planaria.cortex.event_type import EventMismatch

ROOT = Path(__file__).parents[2]
MEND = "run `python scripts/make_events.py` and commit what it writes"


def _script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_events", ROOT / "scripts" / "make_events.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SCRIPT: Any = _script()
TYPES = SCRIPT.types()
SAMPLES = SCRIPT.samples()


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: f"{sample.kind}-{sample.version}")
def test_a_stored_payload_is_read_as_it_always_was(sample):
    found = SCRIPT.read(TYPES[sample.kind], sample)
    assert _known(found, sample.reads_as) == sample.reads_as


def _known(found: Any, stored: Any) -> Any:
    """What was read, without the fields that came after it was stored, at any depth."""
    if isinstance(found, dict) and isinstance(stored, dict):
        return {name: _known(found.get(name, "(gone)"), value) for name, value in stored.items()}
    if isinstance(found, list) and isinstance(stored, list) and len(found) == len(stored):
        return [_known(*pair) for pair in zip(found, stored, strict=True)]
    return found


def test_every_kind_has_a_stored_payload_of_each_version():
    there = {(sample.kind, sample.version) for sample in SAMPLES}
    wanted = {(kind, version) for kind, cls in TYPES.items() for version in range(1, cls.version + 1)}
    assert wanted - there == set(), MEND


def test_the_table_of_events_is_true():
    assert SCRIPT.DOC.read_text(encoding="utf-8") == SCRIPT.document(), MEND


def test_every_class_says_what_happened():
    assert [cls for cls in TYPES.values() if not (cls.__doc__ or "").strip()] == []


def test_our_own_code_writes_events_through_their_classes():
    found = []
    for file in sorted((ROOT / "src").rglob("*.py")):
        if file.name in ("event.py", "event_type.py"):
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == "NewEvent":
                found.append(f"{file.relative_to(ROOT)}:{node.lineno}: give this event a class")
    assert found == []


@pytest.mark.parametrize("kind", sorted(TYPES))
def test_an_event_that_is_gone_or_of_a_later_program_is_refused_in_words(kind):
    cls = TYPES[kind]

    def event(version: int = 1, state: Any = "whole") -> Event:
        return Event(1, "id", 0.0, "t", None, "n", "p", "s", kind, {}, version, "", state)

    for gone in ("erased", "pruned"):
        with pytest.raises(EventMismatch, match=gone):
            cls.of(event(state=gone))
    with pytest.raises(EventMismatch, match="this program knows"):
        cls.of(event(cls.version + 1))


def test_a_message_of_the_first_version_is_brought_up():
    old = {
        "author": "ada",
        "author_kind": "person",
        "text": "hi",
        "to": [],
        "client_id": "ada\0from-my-phone",
    }
    sample = SCRIPT.Sample("room.message", 1, old, {})
    assert SCRIPT.read(TYPES["room.message"], sample)["client_id"] == "from-my-phone"
