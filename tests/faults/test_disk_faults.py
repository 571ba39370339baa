"""Faults of the disk below a whole node: nothing is acknowledged falsely, people are told, and it mends itself."""

import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest

from tests.faults.conftest import Garden, until
from tests.faults.disk import SmallDisk

pytestmark = pytest.mark.subprocess

BIG = "z" * 60_000


def fill_until_refused(garden: Garden, disk: SmallDisk) -> str:
    disk.fill()
    for number in range(100):
        if (refusal := garden.post(f"more {number} {BIG}")) is not None:
            return refusal
    raise AssertionError("the disk never was full")


def what_still_works(garden: Garden) -> None:
    """Notes, the tree, what was said: all that needs no new event."""
    assert garden.ask("notes.search", query="planaria")
    assert any(tree["name"] == "node" for tree in garden.ask("tree"))
    assert garden.said() == garden.accepted
    levels = {finding["what"]: finding["level"] for finding in garden.ask("doctor")}
    assert levels["journal"] == "error"
    shown = garden.command("status")
    assert shown.returncode == 0
    assert "goes on by itself" in shown.stderr


def recovers(garden: Garden) -> None:
    """Without anybody's doing, and with all that was accepted."""
    until(lambda: garden.trouble() == "", "a journal that works again")
    until(lambda: garden.post("all is well again") is None, "a room that takes messages again")
    assert garden.said() == garden.accepted

    def told() -> bool:
        kinds = {event["kind"] for event in garden.ask("journal.tail", session="node", limit=200)}
        return kinds >= {"journal.failed", "journal.recovered"}

    until(told, "the account of the outage")
    garden.down()
    garden.up()
    assert garden.said() == garden.accepted


def test_a_full_disk(on_disk: Garden, disk: SmallDisk) -> None:
    on_disk.up()
    assert on_disk.post("before") is None
    refusal = fill_until_refused(on_disk, disk)
    assert "no room left to write" in refusal
    assert "free some disk space" in refusal
    assert "no room left" in on_disk.trouble()
    what_still_works(on_disk)
    disk.free()
    recovers(on_disk)


def test_a_process_that_is_restarted_on_a_full_disk_comes_back(on_disk: Garden, disk: SmallDisk) -> None:
    on_disk.up()
    assert on_disk.post("before") is None
    fill_until_refused(on_disk, disk)
    for victim in ("session:scout@garden", "room:garden", "journal"):
        on_disk.kill(victim)
    disk.free()
    recovers(on_disk)


def test_another_program_that_holds_the_database(garden: Garden) -> None:
    garden.up()
    assert garden.post("before") is None
    other = sqlite3.connect(garden.journal, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    refusal = garden.post("meanwhile")
    assert refusal is not None
    assert "another program holds" in refusal
    assert "another program holds" in garden.trouble()
    what_still_works(garden)
    other.execute("ROLLBACK")
    other.close()
    recovers(garden)


def test_a_file_that_is_gone(garden: Garden) -> None:
    garden.up()
    assert garden.post("before") is None
    aside = garden.journal.with_name("aside.db")
    garden.journal.rename(aside)
    assert "is gone" in (garden.post("meanwhile") or "")
    what_still_works(garden)
    for victim in ("room:garden", "session:scout@garden", "journal"):
        garden.kill(victim)
        until(lambda: "gone" in garden.trouble(), "the word about the file")
    assert garden.runs
    assert not garden.journal.exists(), "a new, empty journal was begun in secret"
    aside.rename(garden.journal)
    recovers(garden)


def test_a_file_that_was_replaced(garden: Garden, tmp_path: Path) -> None:
    garden.up()
    assert garden.post("before") is None
    aside = garden.journal.with_name("aside.db")
    garden.journal.rename(aside)
    shutil.copy(aside, garden.journal)
    assert "was replaced by another file" in (garden.post("meanwhile") or "")
    garden.kill("journal")
    until(lambda: "replaced" in garden.trouble(), "the word about the file")
    assert garden.runs
    aside.rename(garden.journal)
    recovers(garden)


def test_a_file_that_becomes_damaged_while_it_is_used(garden: Garden) -> None:
    garden.up()
    for number in range(30):
        assert garden.post(f"{number} {BIG}") is None
    garden.down()
    good = garden.journal.with_name("good.db")
    shutil.copy(garden.journal, good)
    garden.up()
    data = garden.journal.read_bytes()
    with garden.journal.open("r+b") as file:
        file.seek(8192)
        file.write(b"\xa5" * (len(data) - 8192))
    garden.kill("room:garden")
    until(lambda: "damaged" in garden.trouble(), "the word about the damage")
    assert garden.runs
    assert garden.ask("notes.search", query="planaria")
    assert garden.command("doctor").returncode == 1
    garden.down()
    assert garden.command("journal", "restore", str(good), "--force").returncode == 0
    garden.up()
    assert garden.said() == garden.accepted


def test_files_that_cannot_be_written_any_more(garden: Garden) -> None:
    garden.up()
    assert garden.post("before") is None
    files = [str(garden.journal), f"{garden.journal}-wal"]
    if subprocess.run(["chattr", "+i", *files], capture_output=True, check=False).returncode:
        pytest.skip("files cannot be made immutable here")
    try:
        assert "journal.db" in (garden.post("meanwhile") or "")
        what_still_works(garden)
        garden.kill("journal")
        until(lambda: "journal.db" in garden.trouble(), "the word about the file")
        assert garden.runs
    finally:
        subprocess.run(["chattr", "-i", *files], capture_output=True, check=True)
    recovers(garden)


def test_a_backup_onto_a_full_disk_leaves_nothing_and_the_node_goes_on(
    garden: Garden, disk: SmallDisk
) -> None:
    garden.up()
    assert garden.post("before") is None
    disk.fill()
    done = garden.command("journal", "backup", str(disk.path / "copy.db"))
    assert done.returncode == 6
    assert "no room" in done.stderr
    assert not [file for file in disk.path.iterdir() if "copy" in file.name]
    assert garden.trouble() == ""
    disk.free()
    assert garden.command("journal", "backup", str(disk.path / "copy.db")).returncode == 0
    assert garden.post("after") is None
