"""Retention: what is old goes, what a node still needs stays, and the chain holds."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from planaria.config.settings import RetentionSettings
from planaria.cortex.errors import StoreFull
from planaria.cortex.event import Event, NewEvent
from planaria.cortex.journal import Journal
from planaria.cortex.query import Query
from planaria.cortex.upkeep.pruner import EVERY, FIRST, Pruned, Pruner, prune
from planaria.cortex.upkeep.retention import CLASSES, Policy, class_of, policy_of
from planaria.cortex.upkeep.verify import verify
from planaria.otp import child, wall_time
from planaria.rooms.transcript import Transcript
from planaria.testing.memory_store import MemoryStore
from planaria.testing.node import TestNode

DAY = 86_400.0
ROOM, SESSION = "room:garden", "session:scout@garden"


class World:
    def __init__(self, node: TestNode) -> None:
        self.node = node
        self.store = MemoryStore()

    async def start(self) -> "World":
        await self.node.start(child(Journal, lambda: self.store, name="journal"))
        return self

    async def add(self, kind: str, payload: Mapping[str, Any] | None = None, **fields: Any) -> Event:
        event = NewEvent(kind, dict(payload or {"text": kind}), **fields)
        (written,) = await self.node.run(partial(Journal.append, "journal", [event]))
        return written

    async def age(self, days: float) -> None:
        await self.node.advance(days * DAY)

    async def prune(self, **ages: str) -> Pruned:
        policy = policy_of(RetentionSettings(**ages))

        async def run() -> Pruned:
            return await prune("journal", policy, wall_time(), dry=False)

        return await self.node.run(run)

    async def states(self, *kinds: str) -> dict[str, str]:
        events = await self.node.run(partial(Journal.read, "journal", Query(kinds=kinds)))
        return {f"{event.kind} {event.seq}": event.state for event in events}

    async def pruned(self) -> set[str]:
        return {name for name, state in (await self.states()).items() if state == "pruned"}


@pytest.fixture
async def world(node: TestNode) -> World:
    return await World(node).start()


async def test_by_default_everything_is_kept_for_ever(world: World) -> None:
    assert policy_of(RetentionSettings()) == Policy({})
    for _ in range(2):
        await world.add("tool.finished", session="a")
    await world.age(5000)
    assert (await world.prune()).events == 0
    assert await world.pruned() == set()


async def test_what_is_older_than_its_class_allows_loses_its_payload_and_the_chain_holds(
    world: World,
) -> None:
    old = await world.add("tool.finished", {"result": "x" * 5000}, session="a")
    await world.age(60)
    young = await world.add("tool.finished", session="a")
    await world.add("tool.finished", session="a")
    await world.age(40)
    found = await world.prune(tools="90d")
    assert (found.events, found.classes["tools"].events, found.contents) == (1, 1, 1)
    assert await world.pruned() == {f"tool.finished {old.seq}"}
    assert (await world.states())[f"tool.finished {young.seq}"] == "whole"
    assert (await verify(world.store)).breaks == ()


async def test_looking_changes_nothing_and_says_the_same(world: World) -> None:
    for _ in range(3):
        await world.add("tool.finished", session="a")
    await world.age(100)
    policy = policy_of(RetentionSettings(tools="90d"))

    async def look() -> Pruned:
        return await prune("journal", policy, wall_time(), dry=True)

    looked = await world.node.run(look)
    assert await world.pruned() == set()
    assert (looked.events, looked.kept) == (2, 1)
    assert (await world.prune(tools="90d")).events == 2
    assert (await world.prune(tools="90d")).events == 0


async def test_each_class_has_its_own_age(world: World) -> None:
    for kind in ("tool.finished", "room.message", "own.thing", "process.crashed"):
        for _ in range(2):
            await world.add(kind, {"author": "ada"}, session=kind)
    await world.age(10)
    assert set((await world.prune(tools="1w", other="9d", node="2w")).classes) == {"tools", "other"}
    await world.age(10)
    assert set((await world.prune(tools="1w", node="2w", conversations="2y")).classes) == {"node"}


async def test_the_newest_of_its_kind_in_a_session_stays(world: World) -> None:
    first = await world.add("own.seen", session="a")
    last = await world.add("own.seen", session="a")
    other = await world.add("own.seen", session="b")
    await world.age(100)
    await world.prune(other="1d")
    assert await world.pruned() == {f"own.seen {first.seq}"}
    assert {last.seq, other.seq} == {2, 3}


@pytest.mark.parametrize(
    "kind",
    [
        "room.opened",
        "room.joined",
        "feed.fetched",
        "workflow.schedule.set",
        "workflow.checkpoint",
        "work.submitted",
    ],
)
async def test_what_state_is_rebuilt_from_is_never_touched(world: World, kind: str) -> None:
    for _ in range(3):
        await world.add(kind, session="a")
    await world.age(5000)
    ages = dict.fromkeys(("conversations", "models", "tools", "runs", "node", "other"), "1d")
    await world.prune(**ages)
    assert await world.pruned() == set()


async def ask(world: World, answered: bool) -> set[str]:
    """A message to scout and its turn; two of each kind, so that no rule about the newest keeps them."""
    names: set[str] = set()
    for trace in ("t1", "t2"):
        message = await world.add(
            "room.message", {"author": "ada", "to": ["scout"]}, session=ROOM, trace_id=trace
        )
        started = await world.add("turn.started", {"message": message.id}, session=SESSION, trace_id=trace)
        tool = await world.add("tool.finished", {}, session=SESSION, trace_id=trace)
        names |= {f"{event.kind} {event.seq}" for event in (message, started, tool)}
        if answered:
            answer = {"author": "scout", "text": "yes"}
            await world.add("room.message", answer, session=ROOM, trace_id=trace, cause_id=message.id)
            await world.add("turn.finished", {}, session=SESSION, trace_id=trace)
    for kind, session in (("room.message", ROOM), ("tool.finished", SESSION), ("turn.started", SESSION)):
        await world.add(kind, {"author": "eve"}, session=session, trace_id="later")
    await world.add("turn.finished", {}, session=SESSION, trace_id="later")
    await world.age(400)
    return names


ALL = {"conversations": "1y", "models": "1y", "tools": "1y"}


async def test_a_message_nobody_has_answered_stays_with_all_that_belongs_to_it(world: World) -> None:
    await ask(world, answered=False)
    found = await world.prune(**ALL)
    assert await world.pruned() == set()
    assert found.kept >= 6


async def test_an_answered_message_goes_with_all_that_belongs_to_it(world: World) -> None:
    names = await ask(world, answered=True)
    await world.prune(**ALL)
    assert names <= await world.pruned()


async def test_a_message_to_somebody_who_left_or_that_was_given_up_is_over(world: World) -> None:
    for trace in ("t1", "t2"):
        message = await world.add(
            "room.message", {"author": "ada", "to": ["scout"]}, session=ROOM, trace_id=trace
        )
        if trace == "t2":
            await world.add("dead.lettered", {}, session="dead", trace_id=trace, cause_id=message.id)
            continue
        await world.add("room.left", {"agent": "scout"}, session=ROOM)
    await world.add("room.message", {"author": "ada"}, session=ROOM)
    await world.age(400)
    assert (await world.prune(**ALL)).events == 2


async def test_a_message_that_was_given_up_and_delivered_again_waits_again(world: World) -> None:
    message = await world.add("room.message", {"author": "ada", "to": ["scout"]}, session=ROOM, trace_id="t")
    given_up = {"session": "dead", "trace_id": "t", "cause_id": message.id}
    await world.add("dead.lettered", {}, **given_up)
    again = {"message": message.id, "agent": "scout", "attempt": 2}
    await world.add("room.redelivered", again, session=ROOM, trace_id="t", cause_id=message.id)
    await world.add("room.message", {"author": "eve"}, session=ROOM)
    await world.age(400)
    assert (await world.prune(**ALL)).events == 0
    await world.add("dead.lettered", {}, **given_up)
    assert (await world.prune(**ALL)).events == 1


MAY_HAPPEN = (
    "ask",
    "ask two",
    "answer",
    "give up",
    "again",
    "begin turn",
    "end turn",
    "tool",
    "leave",
    "join",
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    done=st.lists(st.tuples(st.sampled_from(MAY_HAPPEN), st.integers(0, 3), st.booleans()), max_size=40),
    days=st.integers(0, 3),
)
async def test_nothing_that_a_room_or_an_open_turn_needs_is_ever_taken(
    done: list[tuple[str, int, bool]], days: int
) -> None:
    async with TestNode() as node:
        world = await World(node).start()
        asked: list[Event] = []
        begun: dict[str, Event] = {}
        for what, which, first in done:
            agent, message = f"agent{int(first)}", asked[which % len(asked)] if asked else None
            here: dict[str, Any] = {"session": ROOM}
            if message is not None:
                here |= {"trace_id": message.trace_id, "cause_id": message.id}
            said: dict[str, Any]
            match what:
                case "ask" | "ask two":
                    to = ["agent0", "agent1"] if what == "ask two" else [agent]
                    said = {"author": "ada", "author_kind": "person", "text": "?", "to": to}
                    asked.append(await world.add("room.message", said, version=2, session=ROOM))
                case "answer" if message is not None:
                    said = {"author": agent, "author_kind": "agent", "text": "!", "attempt": 1 + which}
                    await world.add("room.message", said, version=2, **here)
                case "give up" if message is not None:
                    said = {"author": agent, "author_kind": "notice", "text": "no", "attempt": 1 + which}
                    await world.add("room.message", said, version=2, **here)
                    letter = {"target": f"{ROOM}/{message.id}/{agent}", "attempt": 1 + which}
                    await world.add("dead.lettered", letter, **(here | {"session": "dead"}))
                case "again" if message is not None:
                    again = {"message": message.id, "agent": agent, "attempt": 2 + which}
                    await world.add("room.redelivered", again, **here)
                case "begin turn" if message is not None and message.trace_id not in begun:
                    here["session"] = SESSION
                    begun[message.trace_id] = await world.add("turn.started", {"n": 1}, **here)
                case "end turn" if message is not None and message.trace_id in begun:
                    del begun[message.trace_id]
                    await world.add("turn.finished", {"n": 1}, **(here | {"session": SESSION}))
                case "tool" if message is not None:
                    await world.add("tool.finished", {"n": 1}, **(here | {"session": SESSION}))
                case "leave" | "join":
                    await world.add(
                        f"room.{'left' if what == 'leave' else 'joined'}", {"agent": agent}, session=ROOM
                    )
                case _:
                    pass
            await world.age(1)
        await world.age(days)
        before, events = await standing(world)
        await world.prune(**dict.fromkeys(("conversations", "models", "tools"), "1d"))
        after, kept = await standing(world)
        assert after == before
        for old, new in zip(events, kept, strict=False):  # what went is noted at the end
            assert new == old or (new.state, new.payload) == ("pruned", {})
            assert new == old or class_of(old.kind) != "state"
            assert new == old or old.trace_id not in begun
        assert (await verify(world.store)).breaks == ()


async def standing(world: World) -> tuple[object, list[Event]]:
    """Who is in the room and what waits for whom, with the words that wait; and all events."""
    events = await world.node.run(partial(Journal.read, "journal"))
    transcript = Transcript("garden")
    for event in events:
        transcript.take(event)
    waiting = [
        (agent, each.message.id, each.message.text, each.attempt)
        for agent in ("agent0", "agent1")
        for each in transcript.deliveries(agent)
    ]
    return (transcript.members, waiting), events


async def test_a_turn_that_has_not_ended_stays(world: World) -> None:
    for _ in range(2):
        await world.add("turn.started", {}, session=SESSION, trace_id="open")
    await world.add("turn.finished", {}, session=SESSION, trace_id="open")
    await world.add("turn.started", {}, session=SESSION, trace_id="other")
    await world.age(400)
    assert (await world.prune(models="1y")).events == 0


async def test_a_run_stays_until_it_is_over_and_a_checkpoint_has_taken_it_in(world: World) -> None:
    async def run(name: str, over: bool) -> None:
        await world.add("workflow.run.started", {"run": name}, session=f"run:{name}", trace_id=name)
        for _ in range(2):
            await world.add("workflow.step.finished", {}, session=f"run:{name}", trace_id=name)
        # So that the rule about the newest of a session keeps none of them.
        await world.add("workflow.run.started", {"run": name}, session=f"run:{name}", trace_id=f"{name}2")
        if over:
            await world.add("workflow.run.finished", {"run": name}, session=f"run:{name}", trace_id=name)

    await run("going", over=False)
    await run("done", over=True)
    await world.age(400)
    steps = set(await world.states("workflow.step.finished"))
    await world.prune(runs="1y")
    pruned = await world.pruned()
    assert len(pruned & steps) == 1  # one of the finished run's; the newest of each session stays
    assert not any(name.startswith("workflow.run.started") for name in pruned)
    await world.add("workflow.checkpoint", {"upto": 100}, session="workflows")
    await world.prune(runs="1y")
    assert [name for name in await world.pruned() if name.startswith("workflow.run.started")] == [
        "workflow.run.started 5"
    ]


async def test_a_node_prunes_each_day_and_says_what_went(world: World) -> None:
    for _ in range(3):
        await world.add("tool.finished", session="a")
    await world.age(10)
    await world.node.start(child(Pruner, policy_of(RetentionSettings(tools="1w")), name="pruner"))
    await world.node.advance(FIRST - 1)
    assert await world.pruned() == set()
    await world.node.advance(2.0)
    assert len(await world.pruned()) == 2
    (told,) = await world.node.run(partial(Journal.read, "journal", Query(kinds=("journal.pruned",))))
    assert (told.payload["events"], told.payload["classes"]) == (2, {"tools": 2})
    await world.add("tool.finished", session="a")
    await world.age(8)
    assert len(await world.pruned()) == 3
    assert EVERY == DAY


async def test_while_the_journal_is_away_the_pruner_waits_and_tries_again(world: World) -> None:
    for _ in range(3):
        await world.add("tool.finished", session="a")
    await world.age(10)
    await world.node.start(child(Pruner, policy_of(RetentionSettings(tools="1w")), name="pruner"))
    world.store.fault = StoreFull("full", "make room")
    await world.node.advance(FIRST + 60.0)
    world.store.fault = None
    await world.node.advance(700.0)
    assert len(await world.pruned()) == 2


def test_every_pattern_is_reached_and_an_unknown_kind_is_other() -> None:
    assert class_of("something.new") == "other"
    for place, (pattern, cls) in enumerate(CLASSES):
        kind = pattern.replace("*", "x")
        assert class_of(kind) == cls, f"{pattern} at {place} is hidden by one before it"
