"""`planaria journal`: with a running node and with a stopped garden, as a person would use it."""

import json
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from planaria.cli.journal.door import open_door
from planaria.config.settings import load_settings
from planaria.cortex.event import NewEvent
from planaria.cortex.journal import Journal
from planaria.cortex.redact import Redactor
from planaria.cortex.upkeep.alone import journal_alone
from planaria.otp import Node
from planaria.otp.blocking_node import BlockingNode
from tests.postgres import Postgres

LONG = "moss " * 1000


class Kept:
    """A garden that no node runs, with events in its journal."""

    def __init__(self, garden: Any) -> None:
        self.garden = garden
        self.file: Path = garden.path / ".planaria" / "journal.db"

    def add(self, *events: NewEvent) -> None:
        path = self.garden.path
        with BlockingNode(Node("garden")) as node:
            node.start(journal_alone(load_settings(path), path, {}, Redactor()))
            for event in events:
                node.run(Journal.append, "journal", [event])

    def run(self, *words: str, code: int = 0, **kwargs: Any) -> str:
        result = self.garden.run("journal", *words, **kwargs)
        assert result.exit_code == code, result.output
        return str(result.output)

    def json(self, *words: str, code: int = 0) -> Any:
        return json.loads(self.run(*words, "--json", code=code))

    def tamper(self, sql: str) -> None:
        connection = sqlite3.connect(self.file)
        triggers = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall()
        for (name,) in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute(sql)
        connection.commit()
        connection.close()


def said(text: str, author: str) -> NewEvent:
    return NewEvent("own.said", {"author": author, "text": text}, session="own", subject=f"person:{author}")


@pytest.fixture
def kept(garden) -> Kept:
    kept = Kept(garden)
    kept.add(
        said("hello", "ada"), said(LONG, "eve"), said("bye", "ada"), NewEvent("own.done", {}, session="b")
    )
    return kept


def test_a_stopped_garden_s_journal_is_read(kept: Kept) -> None:
    assert [event["kind"] for event in kept.json("tail")] == ["own.said"] * 3 + ["own.done"]
    event = kept.json("show", "2")
    assert event["payload"]["text"] == LONG
    assert kept.json("show", event["id"]) == event
    assert [row["name"] for row in kept.json("sessions")] == ["b", "own"]
    assert "no event '99'" in kept.run("show", "99", code=6)
    assert "hello" in kept.run("tail")


def test_a_running_node_s_journal_is_read_and_checked(live) -> None:
    live.run("chat", "-m", "hello", "--as", "ada")
    place = live.json("journal", "tail", "--kind", "room.message")[0]["seq"]
    assert live.json("journal", "show", str(place))["payload"]["text"] == "hello"
    assert "room:garden" in [row["name"] for row in live.json("journal", "sessions", "room:")]
    assert live.json("journal", "verify")["breaks"] == []
    assert live.json("journal", "verify", "room:garden")["sessions"] == 1
    assert live.run("journal", "verify", "room:nowhere").exit_code == 6
    assert live.json("journal", "check")["problems"] == []
    assert live.json("journal", "prune")["events"] == 0


@pytest.mark.parametrize("words", [("restore", "x.db"), ("import", "x.jsonl"), ("compact",)])
def test_what_changes_the_past_needs_a_stopped_node(live, words: tuple[str, ...]) -> None:
    result = live.run("journal", *words)
    assert result.exit_code == 5
    assert "planaria stop" in result.output


def test_tampering_is_named_and_is_the_exit_code(kept: Kept) -> None:
    assert "whole: 4 events in 2 sessions" in kept.run("verify")
    kept.tamper("UPDATE events SET at = 1.0 WHERE seq = 2")
    output = kept.run("verify", code=1)
    assert "own: event" in output
    assert "at 2 was changed" in output
    assert kept.json("verify", code=1)["breaks"][0]["what"] == "changed"


def test_a_cut_end_shows_against_remembered_heads(kept: Kept, tmp_path: Path) -> None:
    heads = tmp_path / "heads.json"
    assert "heads written" in kept.run("verify", "--head", str(heads))
    kept.add(said("more", "ada"))
    assert "compared with" in kept.run("verify", "--head", str(heads))
    old = heads.read_text()
    copy = tmp_path / "copy.db"
    kept.run("backup", str(copy))
    kept.add(said("evidence", "eve"))
    kept.run("verify", "--head", str(heads))
    kept.run("restore", str(copy), "--force")
    assert "it went on to 6" in kept.run("verify", "--head", str(heads), code=1)
    heads.write_text(old)
    kept.run("verify", "--head", str(heads))
    heads.write_text("[]")
    assert "holds no heads" in kept.run("verify", "--head", str(heads), code=6)


def test_a_backup_is_restored_over_nothing_and_over_what_is_there_only_by_force(
    kept: Kept, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.db"
    kept.run("backup", str(copy))
    assert "is there already" in kept.run("backup", str(copy), code=6)
    kept.add(said("later", "ada"))
    assert "has 5 events" in kept.run("restore", str(copy), code=6)
    done = kept.json("restore", str(copy), "--force")
    assert (done["events"], done["breaks"]) == (4, [])
    assert len(kept.json("tail")) == 4
    Path(done["aside"]).rename(kept.file)
    assert len(kept.json("tail")) == 5
    kept.file.unlink()
    assert kept.json("restore", str(copy))["events"] == 4


def test_what_is_no_backup_is_refused_and_the_journal_stays(kept: Kept, tmp_path: Path) -> None:
    nonsense = tmp_path / "nonsense.db"
    nonsense.write_bytes(b"no database at all, and long enough to be looked at" * 100)
    assert "is damaged" in kept.run("restore", str(nonsense), "--force", code=6)
    assert "there is no file" in kept.run("restore", str(tmp_path / "none.db"), "--force", code=6)
    copy = tmp_path / "copy.db"
    kept.run("backup", str(copy))
    kept.tamper("UPDATE events SET at = 1.0 WHERE seq = 2")
    bad = tmp_path / "bad.db"
    kept.run("backup", str(bad))
    kept.file.unlink()
    assert "was tampered with" in kept.run("restore", str(bad), code=6)
    assert kept.json("restore", str(copy))["events"] == 4
    assert not list(kept.file.parent.glob("*.restoring*"))


def texts(kept: Kept) -> list[str]:
    return [
        event["payload"].get("text", event.get("state")) for event in kept.json("tail", "--session", "own")
    ]


def test_a_copy_that_cannot_be_made_or_is_none_of_this_garden_is_named_in_plain_words(
    kept: Kept, tmp_path: Path
) -> None:
    nowhere = tmp_path / "none" / "copy.db"
    assert f"{nowhere}.part cannot be made: No such file" in kept.run("backup", str(nowhere), code=6)
    kept.run("export", str(tmp_path / "events.jsonl"))
    refused = kept.run("restore", str(tmp_path / "events.jsonl"), "--force", code=6)
    assert "events.jsonl is damaged, or is no backup" in refused
    assert "planaria journal import" in refused
    kept.run("backup", str(tmp_path / "copy.db"))
    key = kept.file.with_name("journal.key")
    key.write_bytes(bytes(reversed(key.read_bytes())))
    refused = kept.run("restore", str(tmp_path / "copy.db"), "--force", code=6)
    assert "copy.db was made with another master key" in refused


def test_a_garden_moves_into_a_database_by_a_backup_and_back(
    kept: Kept, tmp_path: Path, postgres: Postgres
) -> None:
    events = kept.run("export", "-")
    kept.run("backup", str(tmp_path / "file.db"))
    settings = kept.garden.path / "planaria.toml"
    before = settings.read_text()
    settings.write_text(f'{before}\n[journal]\ndatabase = "{postgres.url()}"\n')
    assert kept.json("restore", str(tmp_path / "file.db"))["events"] == 4
    assert "whole" in kept.run("verify")
    assert kept.run("export", "-").splitlines()[1:] == events.splitlines()[1:]
    kept.run("backup", str(tmp_path / "database.db"))
    refused = kept.run("restore", str(tmp_path / "database.db"), code=6)
    assert "has 4 events" in refused
    done = kept.run("restore", str(tmp_path / "database.db"), "--force")
    assert "the journal it replaced is the schema planaria_before_" in done
    settings.write_text(before)
    assert kept.json("restore", str(tmp_path / "database.db"), "--force")["events"] == 4
    assert "whole" in kept.run("verify")
    assert kept.run("export", "-").splitlines()[1:] == events.splitlines()[1:]


def test_an_erased_person_stays_erased_through_backup_restore_and_import(kept: Kept, tmp_path: Path) -> None:
    copy, text = tmp_path / "copy.db", tmp_path / "all.jsonl"
    kept.run("backup", str(copy))
    kept.run("export", str(text))
    assert "2 of 2 events of person:ada can be read" in kept.run("erase", "person:ada", code=1, input="n\n")
    assert texts(kept) == ["hello", LONG, "bye"]
    assert "erased: 2 events" in kept.run("erase", "person:ada", "--yes")
    assert texts(kept) == ["erased", LONG, "erased"]
    assert kept.json("verify")["breaks"] == []
    assert "was destroyed before" in kept.run("erase", "person:ada", "--yes")
    assert kept.json("restore", str(copy), "--force")["erased"] == ["person:ada"]
    assert texts(kept) == ["erased", LONG, "erased"]
    assert kept.json("import", str(text)) == {"added": 0, "present": 4, "withheld": 0}
    kept.add(said("here again", "ada"))
    assert texts(kept) == ["erased", LONG, "erased", "here again"]
    assert "nothing of 'person:eva'" in kept.run("erase", "person:eva", "--yes", code=6)


def test_an_export_is_imported_as_it_was_and_a_second_time_adds_nothing(kept: Kept, tmp_path: Path) -> None:
    first, again = tmp_path / "first.jsonl", tmp_path / "again.jsonl"
    assert kept.json("export", str(first))["events"] == 4
    assert "is there already" in kept.run("export", str(first), code=6)
    kept.file.rename(tmp_path / "old.db")
    assert kept.json("import", str(first)) == {"added": 4, "present": 0, "withheld": 0}
    assert kept.json("import", str(first)) == {"added": 0, "present": 4, "withheld": 0}
    kept.run("export", str(again))
    assert first.read_text().splitlines()[1:] == again.read_text().splitlines()[1:]
    assert LONG.encode() not in kept.file.read_bytes()
    assert kept.json("verify")["breaks"] == []


def test_what_names_places_names_the_new_ones_after_an_import(kept: Kept, tmp_path: Path) -> None:
    """In a process of its own, which has loaded what the command loads and nothing else."""
    forked = NewEvent("room.forked", {"from_room": "own", "until_seq": 3}, session="room:branch")
    talk = {"talk": {"first": 1, "last": 3}, "turn": "t", "step": 0, "provider": "p", "model": "m"}
    kept.add(forked, NewEvent("model.requested", talk, session="session:a@own", version=2))
    text = tmp_path / "all.jsonl"
    kept.run("export", str(text))
    kept.file.rename(tmp_path / "old.db")
    kept.add(*[NewEvent("test", {}, session="other")] * 10)
    command = [sys.executable, "-m", "planaria.cli", "journal", "import", str(text), "--garden"]
    subprocess.run([*command, str(kept.garden.path)], check=True, capture_output=True)
    payloads = {event["kind"]: event["payload"] for event in kept.json("tail", "-n", "20")}
    assert payloads["room.forked"]["until_seq"] == 13
    assert payloads["model.requested"]["talk"] == {"first": 11, "last": 13}


def test_an_export_of_sessions_and_times_and_to_standard_output(kept: Kept) -> None:
    lines = kept.run("export", "b", "-").splitlines()
    assert [json.loads(line).get("session") for line in lines] == [None, "b", None]
    assert len(kept.run("export", "own", "b", "-").splitlines()) == 6
    assert len(kept.run("export", "-", "--until", "2001-01-01").splitlines()) == 2
    assert len(kept.run("export", "-", "--since", "2001-01-01").splitlines()) == 6
    assert "is no time" in kept.run("export", "-", "--since", "soon", code=2)


def test_a_file_that_does_not_fit_adds_nothing_and_is_named_with_its_line(kept: Kept, tmp_path: Path) -> None:
    text = tmp_path / "all.jsonl"
    kept.run("export", str(text))
    kept.file.rename(tmp_path / "old.db")
    lines = text.read_text().splitlines(keepends=True)
    text.write_text("".join(lines[:-1]))
    assert f"{text}:6: the file ends after 4 events" in kept.run("import", str(text), code=1)
    text.write_text("".join([*lines[:2], "{broken\n", *lines[3:]]))
    assert f"{text}:3: no event" in kept.run("import", str(text), code=1)
    assert not kept.file.exists()
    text.write_text("".join(lines))
    kept.run("import", str(text))
    text.write_text("".join(lines).replace('"hello"', '"goodbye"'))
    assert f"{text}:2: event" in kept.run("import", str(text), code=1)


def test_an_import_that_stops_in_the_middle_adds_nothing(kept: Kept, tmp_path: Path) -> None:
    text, many = tmp_path / "all.jsonl", [NewEvent("own.done", {"n": n}, session="b") for n in range(300)]
    kept.add(*many)
    kept.run("export", str(text))
    heading, *lines, end = text.read_text().splitlines(keepends=True)
    lines[2] = lines[2].replace('"id":"', '"id":"new-')
    lines[280] = lines[280].replace('"n":', '"m":')
    text.write_text("".join([heading, *lines, end]))
    assert f"{text}:282: event" in kept.run("import", str(text), code=1)
    assert kept.json("tail", "-n", "1")[0]["seq"] == 304
    assert sorted(file.name for file in kept.file.parent.glob("journal.db*")) == ["journal.db"]


def test_compacting_says_what_it_saved(kept: Kept) -> None:
    sizes = kept.json("compact")
    assert sizes["after"] <= sizes["before"]
    assert len(kept.json("tail")) == 4


def test_retention_is_shown_first_and_done_with_yes(kept: Kept) -> None:
    (kept.garden.path / "planaria.toml").write_text('[journal.retention]\nother = "1d"\n')
    kept.file.unlink()
    kept.add(*(NewEvent("own.noted", {"text": text}, session="own") for text in ("one", LONG, "three")))
    assert kept.json("prune")["events"] == 0
    kept.tamper("UPDATE events SET at = at - 864000")  # which breaks the chain, and nothing else
    looked = kept.json("prune")
    assert (looked["dry"], looked["events"], looked["kept"]) == (True, 2, 1)
    assert "would lose their content" in kept.run("prune")
    assert texts(kept) == ["one", LONG, "three"]
    done = kept.json("prune", "--yes")
    assert (done["events"], done["contents"]) == (2, 1)
    assert texts(kept) == ["pruned", "pruned", "three"]


def test_while_a_command_has_the_journal_no_node_may_start(kept: Kept) -> None:
    with open_door(kept.garden.path):
        assert kept.garden.run("up").exit_code == 5
    assert "sound" in kept.run("check")
