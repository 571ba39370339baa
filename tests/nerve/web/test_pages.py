"""The pages: what they show, and that nothing somebody wrote is taken for HTML."""

from pathlib import Path

import pytest

from planaria.cortex.event import NewEvent
from planaria.cortex.journal import Journal
from planaria.records.errors import Problem
from planaria.records.index import Index
from planaria.records.library import Library
from planaria.records.record import Record
from planaria.records.scan import load
from tests.nerve.web.garden import FakeRoom, read_until, visiting

EVIL = '"><script>alert(1)</script>'


def assert_harmless(html: str) -> None:
    assert "<script>" not in html
    assert "alert(1)" in html


async def test_the_overview_draws_the_tree_and_the_offline_notice(tmp_path):
    async with visiting(tmp_path) as visit:
        html = (await visit.get("/")).text
    for text in ("garden is well", "room:garden", "journal", "Working offline.", "All is well"):
        assert text in html


async def test_a_broken_file_is_the_first_thing_seen(tmp_path):
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "scout.md").write_text("---\nclass: [agent\n---\n")
    async with visiting(tmp_path) as visit:
        await visit.get("/notes")  # answered after the first scan
        html = (await visit.get("/problems")).text
    assert "agents/scout.md:" in html
    assert "One thing needs you" in html


async def test_a_title_of_a_note_is_text(tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "evil.md").write_text(f"# {EVIL}\n\n{EVIL}\n")
    async with visiting(tmp_path) as visit:
        for path in ("/notes", "/notes/evil", "/notes?q=alert"):
            assert_harmless((await visit.get(path)).text)


async def test_chat_is_text(tmp_path):
    async with visiting(tmp_path) as visit:
        await visit.post("/rooms/garden", text=EVIL, client_id="1")
        assert_harmless((await visit.get("/rooms/garden")).text)


async def test_a_process_name_is_text(tmp_path):
    name = f"session:{EVIL}@garden"
    async with visiting(tmp_path, agent_name=name) as visit:
        for path in ("/", f"/processes/{visit.node[name].id}"):
            assert_harmless((await visit.get(path)).text)


async def test_a_search_and_a_filter_are_text(tmp_path):
    async with visiting(tmp_path) as visit:
        for path in ("/notes?q=", "/journal?session=", "/journal?trace="):
            assert_harmless((await visit.client.get(visit.url + path + EVIL)).text)


async def test_an_event_is_text(tmp_path):
    async with visiting(tmp_path) as visit:
        await Journal.append(visit.node["journal"], [NewEvent("tool.finished", {"text": EVIL}, session=EVIL)])
        assert_harmless((await visit.get("/journal")).text)


async def test_a_note_shows_its_links_both_ways(tmp_path):
    (tmp_path / "notes" / "beds").mkdir(parents=True)
    (tmp_path / "notes" / "beds" / "tomato.md").write_text("# Tomato\n\nSee [[worm]] and [[nothing]].\n")
    (tmp_path / "notes" / "worm.md").write_text("# Worm\n\nIt regrows.\n")
    async with visiting(tmp_path) as visit:
        assert (await visit.get("/notes/tomato")).headers["location"] == "/notes/beds/tomato"
        html = (await visit.get("/notes/beds/tomato")).text
        assert 'href="/notes/worm"' in html and 'class="missing"' in html
        assert "Tomato" in (await visit.get("/notes/worm")).text


async def test_many_notes_are_listed_page_by_page(tmp_path):
    (tmp_path / "notes").mkdir()
    for number in range(250):
        (tmp_path / "notes" / f"n{number:03}.md").write_text(f"# Note {number:03}\n")
    async with visiting(tmp_path) as visit:
        first, third = [(await visit.get(f"/notes?page={number}")).text for number in ("x", 3)]
        assert "Note 000" in first and "Note 099" in first and "Note 100" not in first
        assert "1 to 100 of 250" in first and "/live/notes?page=1" in first and 'rel="prev"' not in first
        assert "Note 249" in third and "Note 199" not in third
        assert 'href="/notes?page=2"' in third and 'rel="next"' not in third
        assert "The list ends before" in (await visit.get("/notes?page=9")).text


async def test_no_page_of_notes_reads_all_notes(tmp_path, monkeypatch):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.md").write_text("# Anemone\n\n[[b]] [[c]]\n")
    (tmp_path / "notes" / "b.md").write_text("# Barnacle\n")
    async with visiting(tmp_path) as visit:
        await Index.notes(visit.node["index"])  # both servers have read what is there
        await Library.list(visit.node["library"], "notes")
        read: list[str] = []

        def reading(garden: Path, path: str) -> Record:
            read.append(path)
            return load(garden, path)

        monkeypatch.setattr("planaria.records.library.load", reading)
        assert "Barnacle" in (await visit.get("/notes")).text
        assert "Anemone" in (await visit.get("/notes/b")).text
        assert "Barnacle" in (await visit.get("/notes/b")).text
        assert read == ["notes/b.md", "notes/b.md"]


async def test_a_broken_note_says_what_is_wrong_with_it(tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "bad.md").write_text("---\na: [\n---\n")
    async with visiting(tmp_path) as visit:
        answer = await visit.get("/notes/bad")
    assert answer.status_code == 404
    assert "notes/bad.md:" in answer.text


async def test_the_list_of_notes_follows_what_is_written(tmp_path):
    async with visiting(tmp_path) as visit, visit.stream("/live/notes?page=1") as stream:
        await read_until(stream, "There are no notes yet")
        await Library.write(visit.node["library"], "notes/new.md", None, "# Nautilus")
        await read_until(stream, "Nautilus")


async def test_a_problem_that_is_not_utf_8_breaks_no_page(tmp_path):
    async with visiting(tmp_path) as visit:
        Library.report(visit.node["library"], Problem("workflows/\udcff.py", 1, "no \udcff", "Rename it."))
        await visit.post("/rooms/garden", text="hello", client_id="1")
        for path in ("/", "/problems", "/rooms/garden"):
            assert (await visit.get(path)).status_code == 200
        assert "workflows/\\udcff.py" in (await visit.get("/problems")).text


async def test_a_name_or_a_text_turns_nothing_around_it(tmp_path):
    turning = "\x1b[31mevil\u202e\x9b"
    async with visiting(tmp_path) as visit, visit.stream("/live/rooms/garden") as stream:
        await read_until(stream, "#transcript")
        room = visit.node["room:garden"]
        await FakeRoom.post(room, turning, f"hello\x00 {turning}\n\tthere")
        live = await read_until(stream, "hello")
        for html in (live, (await visit.get("/rooms/garden")).text):
            assert "<b><bdi>[31mevil\u202e</bdi></b>" in html
            assert not set(html) & {"\x00", "\x1b", "\x9b"}
        css = (await visit.get("/static/planaria.css")).text
        assert ".said > .text, .list .title, .list .sub { unicode-bidi: isolate; }" in css


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("/nowhere", "no such page"),
        ("/notes/none", "no note"),
        ("/rooms/none", "no room"),
        ("/processes/jurnal", "did you mean &#39;journal&#39;?"),
    ],
)
async def test_what_is_not_there_is_told_plainly(tmp_path, path, word):
    async with visiting(tmp_path) as visit:
        answer = await visit.get(path)
    assert answer.status_code == 404
    assert word in answer.text


async def test_a_server_that_is_down_is_told_plainly(tmp_path):
    async with visiting(tmp_path) as visit:
        answer = await visit.get("/workflows")  # this node has none
    assert answer.status_code == 503
    assert "tries again by itself" in answer.text
    assert "workflows" in answer.text


async def test_a_message_that_cannot_be_sent_keeps_its_words(tmp_path):
    async with visiting(tmp_path) as visit:
        answer = await visit.post("/rooms/none", text="my long thought", client_id="7")
    assert answer.status_code == 422
    assert 'value="my long thought"' in answer.text and 'value="7"' in answer.text


async def test_an_upload_or_a_huge_form_is_refused(tmp_path):
    async with visiting(tmp_path) as visit:
        huge = await visit.post("/rooms/garden", text="x" * 200_000, client_id="1")
        assert huge.status_code == 413
        upload = await visit.client.post(
            visit.url + "/rooms/garden", files={"file": b"x"}, headers=visit.origin
        )
        assert upload.status_code == 415


async def test_a_process_page_shows_state_and_ties(tmp_path):
    async with visiting(tmp_path) as visit:
        html = (await visit.get("/processes/session:scout@garden")).text
    for text in ("mood", "calm", "agents", "Kill", "traps exits"):
        assert text in html
