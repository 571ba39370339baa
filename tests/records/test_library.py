import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from planaria.otp import Node, Pid, child
from planaria.records.errors import Problem
from planaria.records.library import TOPIC, Library
from planaria.records.record import Record
from planaria.records.scan import CHANGED, RecordChanged, Written, load


@pytest.fixture
def garden(tmp_path: Path) -> Path:
    for folder in ("agents", "notes/deep", "workflows", "skills/draw", ".planaria", "other"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "planaria.toml").write_text("")
    (tmp_path / "SOUL.md").write_text("# Who I am\n")
    (tmp_path / "agents" / "scout.md").write_text("---\nclass: agent\nmodel: light\n---\nYou look around.\n")
    (tmp_path / "agents" / "bad.md").write_text("---\nclass: agent\nclass: agent\n---\n")
    (tmp_path / "notes" / "deep" / "a.md").write_text("# A\n")
    (tmp_path / "skills" / "draw" / "SKILL.md").write_text("---\nname: draw\n---\n")
    (tmp_path / "other" / "x.md").write_text("no record")
    (tmp_path / "notes" / ".#a.md").write_text("an editor's lock")
    return tmp_path


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    async with Node("test") as node:
        yield node


@pytest.fixture
async def library(node: Node, garden: Path) -> Pid:
    library = await node.start(child(Library, garden, name="library"))
    await Library.list(library, "notes")  # the last to be read
    return library


async def until_told(node: Node, library: Pid, *paths: str) -> list[RecordChanged]:
    """What is broadcast while the library looks at these paths again, in order."""
    async with node.open_port() as port:
        node.subscribe(TOPIC, port.pid)
        for path in paths:
            Library.changed(library, path)
        await Library.list(library, "notes")  # goes through the same lane, so it is answered after
        told: list[Any] = []
        while True:
            try:
                told.append(await port.receive(timeout=0))
            except TimeoutError:
                return told


async def test_all_kinds_are_found_with_their_names(library: Pid) -> None:
    assert [record.path for record in await Library.list(library, "agents")] == ["agents/scout.md"]
    assert [record.body for record in await Library.list(library, "notes")] == ["# A\n"]
    assert await Library.names(library, "agents") == ["bad", "scout"]
    assert await Library.names(library, "notes") == ["deep/a"]
    assert await Library.names(library, "skills") == ["draw"]
    assert await Library.names(library, "garden") == ["SOUL"]


async def test_every_record_is_told_once_at_start(node: Node, garden: Path) -> None:
    async with node.open_port() as port:
        node.subscribe(TOPIC, port.pid)
        library = await node.start(child(Library, garden, name="library"))
        await Library.list(library, "notes")
        told = {(await port.receive(timeout=5)).path for _ in range(5)}
    assert told == {"SOUL.md", "agents/scout.md", "agents/bad.md", "notes/deep/a.md", "skills/draw/SKILL.md"}


async def test_a_broken_record_is_a_problem_and_the_rest_works(library: Pid) -> None:
    await Library.list(library, "agents")
    (problem,) = await Library.problems(library)
    assert (problem.path, problem.line) == ("agents/bad.md", 3)


async def test_a_record_that_breaks_keeps_its_last_good_version(
    node: Node, library: Pid, garden: Path
) -> None:
    await Library.list(library, "agents")
    (garden / "agents" / "scout.md").write_text("---\nmodel: [\n---\n")
    (change,) = await until_told(node, library, "agents/scout.md")
    assert change.error is not None
    assert change.record is not None
    assert change.record.front["model"] == "light"
    assert [record.front["model"] for record in await Library.list(library, "agents")] == ["light"]
    (garden / "agents" / "scout.md").write_text("---\nmodel: heavy\n---\n")
    (change,) = await until_told(node, library, "agents/scout.md")
    assert change.error is None
    assert len(await Library.problems(library)) == 1


async def test_a_change_that_changes_nothing_is_not_told(node: Node, library: Pid) -> None:
    await Library.list(library, "agents")
    assert await until_told(node, library, "agents/scout.md", "agents", "agents/bad.md") == []


async def test_a_record_that_goes_away_is_told_and_forgotten(node: Node, library: Pid, garden: Path) -> None:
    await Library.list(library, "agents")
    (garden / "agents" / "scout.md").unlink()
    assert await until_told(node, library, "agents/scout.md") == [
        RecordChanged("agents", "scout", "agents/scout.md", None, None)
    ]
    assert await Library.names(library, "agents") == ["bad"]


async def test_a_folder_that_is_renamed_takes_its_notes_along(node: Node, library: Pid, garden: Path) -> None:
    await Library.list(library, "notes")
    (garden / "notes" / "deep").rename(garden / "notes" / "new")
    told = await until_told(node, library, "notes/deep", "notes/new")
    assert [(change.path, change.record is None) for change in told] == [
        ("notes/deep/a.md", True),
        ("notes/new/a.md", False),
    ]


async def test_a_write_is_on_disk_and_told_when_it_is_answered(
    node: Node, library: Pid, garden: Path
) -> None:
    async with node.open_port() as port:
        await Library.list(library, "notes")
        node.subscribe(TOPIC, port.pid)
        written = await Library.write(library, "notes/new/b.md", {"title": "B"}, "text\n")
        assert isinstance(written, Written)
        assert written.outcome == "created"
        assert (garden / "notes/new/b.md").read_text() == "---\ntitle: B\n---\ntext\n"
        assert (await port.receive(timeout=5)).path == "notes/new/b.md"
    assert await until_told(node, library, "notes/new/b.md") == []


async def test_a_write_says_whether_anything_changed(library: Pid) -> None:
    for outcome in ("created", "unchanged"):
        written = await Library.write(library, "notes/b.md", {"a": 1}, "text")
        assert isinstance(written, Written)
        assert written.outcome == outcome
    written = await Library.write(library, "notes/b.md", None, "other")
    assert isinstance(written, Written)
    assert written.outcome == "updated"
    assert written.record.front == {"a": 1}


async def test_a_body_made_from_another_than_the_file_has_is_not_written(library: Pid, garden: Path) -> None:
    await Library.write(library, "notes/c.md", {}, "one\n")
    (garden / "notes" / "c.md").write_text("one, and more by hand\n")
    for path, before in (("notes/c.md", "one\n"), ("notes/none.md", "one\n")):
        answer = await Library.write(library, path, {}, "two\n", instead_of=before)
        assert isinstance(answer, Problem) and answer.problem == CHANGED
    found = await Library.read(library, "notes/c.md")
    assert isinstance(found, Record)
    assert isinstance(await Library.write(library, "notes/c.md", {}, "two\n", instead_of=found.body), Written)


async def test_front_matter_can_be_laid_over_and_text_added_below(library: Pid, garden: Path) -> None:
    await Library.write(library, "notes/b.md", {"a": 1, "b": 2}, "one\n")
    await Library.write(library, "notes/b.md", {"b": None, "c": 3}, "two\n", merge=True, append=True)
    assert (garden / "notes/b.md").read_text() == "---\na: 1\nc: 3\n---\none\n\ntwo\n"


async def test_windows_line_ends_are_kept(library: Pid, garden: Path) -> None:
    (garden / "notes/b.md").write_bytes(b"---\r\na: 1\r\n---\r\nold\r\n")
    await Library.write(library, "notes/b.md", None, "new\n")
    assert (garden / "notes/b.md").read_bytes() == b"---\r\na: 1\r\n---\r\nnew\r\n"


@pytest.mark.parametrize(
    "path",
    ["../x.md", "/tmp/x.md", "planaria.toml", ".planaria/x.md", "notes/x.txt", "other/x.md", "notes/.x.md"],
)
async def test_a_write_elsewhere_is_refused(library: Pid, path: str) -> None:
    assert isinstance(await Library.write(library, path, None, "x"), Problem)


async def test_reading_shows_the_file_as_it_is_now(library: Pid, garden: Path) -> None:
    (garden / "notes" / "deep" / "a.md").write_text("changed")
    record = await Library.read(library, "notes/deep/a.md")
    assert isinstance(record, Record)
    assert record.body == "changed"


async def test_a_missing_or_forbidden_file_is_an_answer(library: Pid) -> None:
    for path in ("notes/none.md", "../x", ".planaria/journal.db"):
        assert isinstance(await Library.read(library, path), Problem)


async def test_other_floors_report_problems_and_a_change_clears_them(
    node: Node, library: Pid, garden: Path
) -> None:
    await Library.list(library, "agents")
    problem = Problem("agents/scout.md", 3, "no model 'light'", "Use 'local'.")
    Library.report(library, problem)
    Library.report(library, problem)
    assert problem in await Library.problems(library)
    assert len(await Library.problems(library)) == 2
    (garden / "agents" / "scout.md").write_text("---\nmodel: local\n---\n")
    await until_told(node, library, "agents/scout.md")
    assert len(await Library.problems(library)) == 1
    Library.report(library, problem)
    Library.clear(library, "agents/scout.md")
    assert len(await Library.problems(library)) == 1


async def test_a_link_that_leads_out_is_a_problem_not_a_record(
    node: Node, library: Pid, garden: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    secret = tmp_path_factory.mktemp("elsewhere") / "secret.md"
    secret.write_text("secret")
    await Library.list(library, "agents")
    (garden / "agents" / "spy.md").symlink_to(secret)
    (change,) = await until_told(node, library, "agents/spy.md")
    assert change.record is None
    assert change.error is not None
    assert "out of the garden" in change.error.problem


async def test_a_file_name_that_is_no_text_is_a_problem_that_can_be_shown(node: Node, garden: Path) -> None:
    for name in (b"\xff.md", b"a\x1b[31m\nb.md", "\u202etxt.md".encode()):
        Path(os.fsdecode(os.fsencode(garden / "notes") + b"/" + name)).write_text("x")
    library = await node.start(child(Library, garden, name="library"))
    await Library.list(library, "notes")
    shown = [str(each) for each in await Library.problems(library) if each.path.startswith("notes/")]
    assert len(shown) == 3
    assert all(each.isprintable() and each.encode("utf-8") for each in shown)
    assert any("\\udcff.md" in each for each in shown)


async def test_the_few_records_are_there_before_the_many_notes_are_read(
    node: Node, garden: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()

    def slow(garden: Path, path: str) -> Record:
        if path.startswith("notes/"):
            assert go_on.wait(10)
        return load(garden, path)

    monkeypatch.setattr("planaria.records.scan.load", slow)
    library = await node.start(child(Library, garden, name="library"))
    try:
        assert [record.path for record in await Library.list(library, "agents")] == ["agents/scout.md"]
        assert [record.path for record in await Library.list(library, "garden")] == ["SOUL.md"]
        assert await Library.names(library, "notes") == []
    finally:
        go_on.set()
    assert [record.path for record in await Library.list(library, "notes")] == ["notes/deep/a.md"]
