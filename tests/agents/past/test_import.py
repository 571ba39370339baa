"""A run that is imported into another journal, where its events have other places, is what it was."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from planaria.agents.past.compare import compare_runs
from planaria.agents.past.replay import ledger_of, run_of
from planaria.agents.past.source import StoredSource
from planaria.cortex.codec.keyring import Keyring
from planaria.cortex.codec.prepare import draft_of
from planaria.cortex.codec.reading import events_from
from planaria.cortex.event import Event
from planaria.cortex.query import Query
from planaria.cortex.redact import Redactor
from planaria.cortex.upkeep.adoption import adopt
from planaria.nerve.methods.sessions import Forking, fork
from planaria.testing.memory_store import MemoryStore
from planaria.testing.models import Call, ScriptedProvider
from planaria.workflows.events import Checkpoint
from tests.agents.support import SESSION, World

BRANCH = "session:scout@garden-fork-1"
NO_USE: Any = None


@pytest.fixture
async def events(world: World) -> list[Event]:
    """Two turns and a branch of the second at its answer."""
    assert isinstance(world.provider, ScriptedProvider)
    world.provider.add(Call("work.once", {"what": "x"}), "Done.", "Welcome.", "Otherwise.")
    await world.start()
    for number, text in enumerate(("do it", "thank you"), start=1):
        await world.post(text)
        await world.until_answered(number)
    await world.run(fork, Forking("scout", 5), NO_USE, NO_USE)
    await world.node.advance(10.0)
    return await world.events(session=None)


async def filled(count: int) -> MemoryStore:
    """A store with so many events of others."""
    store = MemoryStore()
    await store.open()
    for number in range(count):
        other = Event(0, f"other{number}", 1.0, "t", None, "n", "p", "other", "test", {})
        await store.append([[draft_of(other, b"{}", None)]])
    return store


async def imported(store: MemoryStore, events: Sequence[Event]) -> list[Event]:
    keyring, redactor = Keyring(store, None), Redactor({})
    await adopt(store, keyring, redactor, "run.jsonl", enumerate(events, start=2))
    return [
        event
        for event in await events_from(store, keyring, await store.read(Query()))
        if event.session != "other"
    ]


async def told(events: Sequence[Event], session: str) -> Any:
    """The run without the places its events have."""
    source = StoredSource(events)
    run = await run_of(source, session, await ledger_of(source, session))
    return run, [msgspec.structs.replace(each.step, seq=0) for each in run.steps]


@pytest.mark.parametrize("others", [0, 1, 7, 300])
@pytest.mark.parametrize("whole", [True, False])
async def test_prompts_and_branches_are_exact_after_an_import(events: list[Event], others: int, whole: bool):
    wanted = {SESSION, BRANCH, "room:garden", "room:garden-fork-1", "forks"}
    file = [event for event in events if whole or event.session in wanted]
    store = await filled(others)
    found = await imported(store, file)
    assert [event.id for event in found] == [event.id for event in file]
    if whole and not others:
        assert found == events
    for session in (SESSION, BRANCH):
        before, steps = await told(events, session)
        after, anew = await told(found, session)
        assert anew == steps
        assert all(step.prompt in ("", "exact") for step in anew)
        assert compare_runs(before, after).first is None
    assert await imported(store, file) == found  # a second time adds nothing


async def test_a_part_that_was_imported_before_is_known_in_the_whole(events: list[Event]):
    store = await filled(3)
    await imported(store, [event for event in events if event.session == SESSION])
    found = await imported(store, events)
    assert len(found) == len(events)


async def test_many_events_of_a_whole_export_keep_their_places(events: list[Event]):
    store = await filled(0)
    long = list(events)
    while len(long) < 450:  # more than a commit
        long += [
            msgspec.structs.replace(event, seq=len(long) + n, id=f"{event.id}-{len(long)}")
            for n, event in enumerate(events, start=1)
        ]
    assert await imported(store, long) == long


async def test_a_checkpoint_of_another_journal_covers_nothing_here(events: list[Event]):
    saved = Checkpoint(5, {}, {}, {}, {}, {}).new(session="workflows")
    checkpoint = Event(
        len(events) + 1, "cp", 1.0, "t", None, "n", "p", "workflows", saved.kind, dict(saved.payload)
    )
    assert (await imported(await filled(9), [*events, checkpoint]))[-1].payload["upto"] == 0
    assert (await imported(await filled(0), [*events, checkpoint]))[-1].payload["upto"] == 5
