"""`kill -9` at any moment: what was acknowledged is there, and nothing is there by half."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

from planaria.cortex.codec.reading import read_events
from planaria.cortex.stores.sqlite.store import SqliteStore

ROOT = Path(__file__).parents[2]
EVENTS = 3


def write_and_kill(path: Path, chance: random.Random) -> dict[str, int]:
    """Let the program append, kill it after a random number of answers; gives the acknowledged appends."""
    writer = subprocess.Popen(
        [sys.executable, "-m", "tests.cortex.journal_writer", str(path), "8", str(EVENTS)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    with writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        lines = [writer.stdout.readline() for _ in range(chance.randrange(0, 200))]
        # Not in step with its answers: it is somewhere within a commit.
        for _ in range(chance.randrange(0, 40_000)):
            pass
        writer.kill()
        lines += writer.stdout.readlines()
    acknowledged = {}
    for line in lines:
        place, name = line.split()
        acknowledged[name] = int(place)
    return acknowledged


@pytest.mark.subprocess
async def test_after_kill_9_every_acknowledged_append_is_there_and_none_by_half(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    chance = random.Random(9)
    acknowledged: dict[str, int] = {}
    unacknowledged = 0
    for _ in range(8):
        acknowledged |= write_and_kill(path, chance)
        store = SqliteStore(path)
        await store.open()
        events = await read_events(store)
        await store.close()
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        found: dict[str, list[int]] = {}
        for event in events:
            name, number = event.payload["text"].split()
            assert int(number) == len(found.setdefault(name, [])), "events of one append out of order"
            found[name].append(event.seq)
        for name, places in found.items():
            assert places == list(range(places[0], places[0] + EVENTS)), f"append {name} is there by half"
        for name, place in acknowledged.items():
            assert found.get(name, [None])[0] == place, f"acknowledged append {name} is lost"
        unacknowledged = len(found) - len(acknowledged)
    assert len(acknowledged) > 100
    # Written but killed before the answer went out: allowed, and rare enough to mean the kills came mid-work.
    assert 0 <= unacknowledged <= 8 * 8
