from collections.abc import AsyncIterator
from pathlib import Path

import apsw
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from planaria.otp import Node, Pid, child, supervisor
from planaria.records.fulltext import VERSION, FullText, NoteList, Ties, marked
from planaria.records.index import Index, IndexRebuilt
from planaria.records.library import Library
from planaria.records.scan import load


@pytest.fixture
def garden(tmp_path: Path) -> Path:
    (tmp_path / "notes" / "deep").mkdir(parents=True)
    (tmp_path / "notes" / "worm.md").write_text(
        "---\ntitle: Flatworms\n---\nPlanarians are regenerating animals.\n"
    )
    (tmp_path / "notes" / "deep" / "cafe.md").write_text("# Coffee\n\nThe café near the worm museum.\n")
    (tmp_path / "notes" / "zh.md").write_text("# 机器\n我喜欢机器学习和蠕虫\n")
    (tmp_path / "notes" / "broken.md").write_text("---\na: [\n---\na zebra\n")
    (tmp_path / "SOUL.md").write_text("not a note, though it says worm")
    return tmp_path


@pytest.fixture
def store(garden: Path) -> FullText:
    store = FullText(garden, garden / ".planaria" / "index.db")
    store.open()
    store.sync()
    return store


@pytest.fixture
async def node(garden: Path) -> AsyncIterator[Node]:
    async with Node("test") as node:
        tree = supervisor(
            child(Library, garden, name="library"), child(Index, garden, name="index"), name="records"
        )
        await node.start(tree)
        await Library.list(node["library"], "notes")
        yield node


def spoil(file: Path) -> None:
    """Overwrite all pages but the first, and commit once from outside, so that no page cache hides it."""
    other = apsw.Connection(str(file))
    other.execute("pragma wal_checkpoint(truncate)")
    with file.open("r+b") as pages:
        pages.seek(4096)
        pages.write(b"x" * (file.stat().st_size - 4096))
    other.pragma("user_version", VERSION)
    other.close()


def found(store: FullText, query: str) -> list[str]:
    return [hit.path for hit in store.search(query, 10)]


def test_a_word_is_found_in_its_other_forms_and_without_accents(store: FullText) -> None:
    assert found(store, "regenerate animal") == ["notes/worm.md"]
    assert found(store, "CAFE") == ["notes/deep/cafe.md"]


def test_a_match_in_the_title_comes_first(store: FullText) -> None:
    store.file.parent.parent.joinpath("notes/long.md").write_text("flatworms " * 5)
    store.sync()
    assert found(store, "flatworms")[0] == "notes/worm.md"


def test_the_beginning_of_a_word_and_a_part_of_one_are_found(store: FullText) -> None:
    assert found(store, "planar") == ["notes/worm.md"]
    assert found(store, "enerat") == ["notes/worm.md"]


def test_languages_without_spaces_are_searched(store: FullText) -> None:
    assert found(store, "机器学习") == ["notes/zh.md"]
    assert found(store, "学习") == ["notes/zh.md"]


def test_notes_with_all_words_come_before_notes_with_some(store: FullText) -> None:
    assert found(store, "worm museum")[0] == "notes/deep/cafe.md"
    assert sorted(found(store, "museum regenerating")) == ["notes/deep/cafe.md", "notes/worm.md"]


def test_a_phrase_is_kept_together(store: FullText) -> None:
    assert found(store, '"regenerating animals"') == ["notes/worm.md"]
    assert found(store, '"animals regenerating"') == []


def test_the_snippet_marks_the_match(store: FullText) -> None:
    (hit,) = store.search("regenerate", 10)
    assert hit.title == "Flatworms"
    assert marked(hit.snippet).strip() == "Planarians are **regenerating** animals."


def test_a_note_with_broken_front_matter_is_still_found(store: FullText) -> None:
    assert found(store, "zebra") == ["notes/broken.md"]


@given(
    query=st.text(max_size=40)
    | st.sampled_from(['"', "a AND", "NEAR(", "title:x", "-", "*", "^a", 'a" OR "b', "{a}"])
)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
def test_nothing_a_person_types_is_an_error(store: FullText, query: str) -> None:
    store.search(query, 3)


def test_a_note_is_read_again_only_if_it_changed(store: FullText) -> None:
    assert store.sync() == 0
    (store.garden / "notes" / "worm.md").write_text("nothing here")
    (store.garden / "notes" / "zh.md").unlink()
    assert store.sync() == 1
    assert found(store, "regenerate") == found(store, "机器学习") == []


@pytest.mark.parametrize("content", [b"", b"not a database " * 400])
def test_a_missing_or_corrupt_database_is_made_anew(garden: Path, content: bytes) -> None:
    (garden / ".planaria").mkdir()
    (garden / ".planaria" / "index.db").write_bytes(content)
    store = FullText(garden, garden / ".planaria" / "index.db")
    assert store.open() is bool(content)
    assert store.sync() == 4
    assert found(store, "regenerate") == ["notes/worm.md"]


async def test_the_index_follows_what_the_library_tells(node: Node) -> None:
    await Library.write(node["library"], "notes/new.md", None, "a brand new armadillo")
    (hit,) = await Index.search(node["index"], "armadillos")
    assert hit.path == "notes/new.md"
    await Library.write(node["library"], "notes/new.md", None, "a pangolin now")
    assert await Index.search(node["index"], "armadillos") == []


async def test_what_changed_while_nobody_ran_is_found_at_the_next_start(garden: Path) -> None:
    async with Node("first") as node:
        first: Pid = await node.start(child(Index, garden, name="index"))
        assert await Index.search(first, "okapi") == []
    (garden / "notes" / "while-away.md").write_text("okapi")
    async with Node("again") as node:
        index: Pid = await node.start(child(Index, garden, name="index"))
        assert [hit.path for hit in await Index.search(index, "okapi")] == ["notes/while-away.md"]


async def test_a_database_that_breaks_in_use_is_made_anew_and_told(node: Node, garden: Path) -> None:
    await Index.search(node["index"], "worm")
    async with node.open_port() as port:
        node.subscribe("index", port.pid)
        spoil(garden / ".planaria" / "index.db")
        (hit,) = await Index.search(node["index"], "museum")
        assert hit.path == "notes/deep/cafe.md"
        assert isinstance(await port.receive(timeout=5), IndexRebuilt)


def limit_pages(store: FullText) -> None:
    """As on a full disk: not one more page."""
    assert store._db is not None
    store._db.pragma("max_page_count", store._db.pragma("page_count"))


async def test_on_a_full_disk_the_index_goes_on_in_memory_and_says_so(node: Node, garden: Path) -> None:
    assert await Index.search(node["index"], "worm")
    async with node.open_port() as port:
        node.subscribe("index", port.pid)
        store = node.state(node["index"])["store"]
        assert isinstance(store, FullText)
        limit_pages(store)
        for number in range(20):
            (garden / "notes" / f"n{number}.md").write_text("quokka " * 500)
            Library.changed(node["library"], f"notes/n{number}.md")
        assert isinstance(await port.receive(10), IndexRebuilt)
    assert len(await Index.search(node["index"], "quokka", limit=50)) == 20
    assert await Index.search(node["index"], "worm")
    problems = await Library.problems(node["library"])
    assert ["kept in memory" in each.problem for each in problems if each.path.endswith("index.db")] == [True]


def test_a_place_that_cannot_be_written_is_no_obstacle(garden: Path) -> None:
    (garden / ".planaria" / "index.db").mkdir(parents=True)
    store = FullText(garden, garden / ".planaria" / "index.db")
    assert store.open()
    store.sync()
    assert store.in_memory
    assert "notes/worm.md" in found(store, "worm")


def linked(store: FullText, name: str) -> list[str]:
    ties = store.ties(name, 100)
    assert ties is not None
    return [entry.path for entry in ties.linked_from]


def write(garden: Path, **notes: str) -> None:
    for name, body in notes.items():
        (garden / "notes" / f"{name}.md").write_text(body)


def test_the_list_has_all_notes_by_path_piece_by_piece(store: FullText) -> None:
    first = store.page(0, 3)
    assert first.total == 4
    assert [entry.path for entry in first.notes] == ["notes/broken.md", "notes/deep/cafe.md", "notes/worm.md"]
    assert first.notes[2].title == "Flatworms"
    assert first.notes[2].opening.startswith("Planarians are")
    assert [entry.path for entry in store.page(3, 3).notes] == ["notes/zh.md"]


def test_a_note_knows_who_links_to_it_by_full_name_and_by_its_last_part(store: FullText) -> None:
    write(store.garden, a="[[deep/cafe]]", b="[[cafe|there]] and [[notes/zh.md]]", c="`[[cafe]]`")
    store.sync()
    assert linked(store, "deep/cafe") == linked(store, "cafe") == ["notes/a.md", "notes/b.md"]
    assert linked(store, "zh") == ["notes/b.md"]


def test_a_last_part_that_several_notes_have_means_none_of_them(store: FullText) -> None:
    (store.garden / "notes" / "other").mkdir()
    write(store.garden, a="[[cafe]]", **{"other/cafe": "[[deep/cafe]]"})
    store.sync()
    assert store.ties("cafe", 100) is None
    assert linked(store, "deep/cafe") == ["notes/other/cafe.md"]
    assert linked(store, "other/cafe") == []
    write(store.garden, cafe="a note of just this name")
    store.sync()
    assert linked(store, "cafe") == ["notes/a.md"]


def test_a_link_to_nothing_is_missing_until_there_is_something(store: FullText) -> None:
    write(store.garden, a="[[later]] [[worm]] [[cafe]]")
    store.sync()
    assert store.ties("a", 100) == Ties("a", "notes/a.md", frozenset({"later"}), ())
    write(store.garden, later="[[a]] and [[later]]")
    store.sync()
    assert store.ties("a", 100) == Ties("a", "notes/a.md", frozenset(), store.page(3, 1).notes)
    assert linked(store, "later") == ["notes/a.md"]


def test_links_go_with_their_note(store: FullText) -> None:
    write(store.garden, a="[[worm]]", b="[[worm]]")
    store.sync()
    write(store.garden, a="[[zh]] now")
    (store.garden / "notes" / "b.md").unlink()
    store.sync()
    assert linked(store, "worm") == []
    assert linked(store, "zh") == ["notes/a.md"]


def test_an_index_of_an_older_version_is_made_anew(store: FullText) -> None:
    store.close()
    older = apsw.Connection(str(store.file))
    older.execute("drop table links")
    older.pragma("user_version", VERSION - 1)
    older.close()
    store.open()
    store.sync()
    assert linked(store, "worm") == []


def test_what_is_told_again_unchanged_is_no_news(store: FullText) -> None:
    worm = load(store.garden, "notes/worm.md")
    assert store.apply({worm.path: worm}) == 0
    (store.garden / worm.path).write_text("something else")
    assert store.apply({worm.path: load(store.garden, worm.path)}) == 1


async def test_ties_and_list_follow_what_the_library_tells(node: Node) -> None:
    await Library.write(node["library"], "notes/new.md", None, "see [[worm]]")
    ties = await Index.ties(node["index"], "notes/worm.md")
    assert ties is not None and [entry.path for entry in ties.linked_from] == ["notes/new.md"]
    for number in range(30):
        await Library.write(node["library"], f"notes/n{number}.md", None, "[[worm]]")
        found: NoteList = await Index.notes(node["index"])
        assert found.total == 6 + number
    assert await Index.ties(node["index"], "nowhere") is None
