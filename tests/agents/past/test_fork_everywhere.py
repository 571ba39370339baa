"""A branch at any step of a run, with any change, under any kill: what was before stands, nothing is made twice."""

from typing import Any

import pytest

from planaria.agents.past.compare import begin_at, compare_runs
from planaria.agents.past.replay import ledger_of, prompt_of, replay, run_of
from planaria.agents.past.seed import trace_of_turn
from planaria.agents.past.source import StoredSource
from planaria.agents.turn.turn import take
from planaria.membrane.errors import Overloaded
from planaria.membrane.provider import ModelRequest
from planaria.nerve.methods.sessions import Forking, fork
from planaria.nerve.protocol import ControlError
from planaria.otp import exit_signal, whereis
from planaria.testing.models import Call, Calls, Fail, ScriptedProvider
from tests.agents.support import SESSION, World

BRANCH = "session:scout@garden-fork-1"
STEPS = 7
"""1 message, 2 two calls, 3 one call, 4 answer; 5 message, 6 one call, 7 answer."""
NO_USE: Any = None


@pytest.fixture
async def talked(world: World) -> World:
    assert isinstance(world.provider, ScriptedProvider)
    world.provider.add(
        Fail(Overloaded("busy")),
        Calls((Call("work.once", {"what": "this"}), Call("work.again", {"what": "that"}))),
        Call("work.once", {"what": "more"}),
        "All done.",
        Call("work.again", {"what": "last"}),
        "You are welcome.",
    )
    await world.start()
    await world.post("do it")
    await world.until_answered()
    await world.post("thank you")
    await world.until_answered(2)
    return world


def anew(request: ModelRequest) -> Call | str:
    """A model that calls a tool once and then answers."""
    called = sum(message.role == "tool" for message in request.messages)
    return Call("work.once", {"what": f"anew {called}"}) if called < 3 else "Anew."


async def branch(world: World, at: int, session: str = "scout@garden", **given: Any) -> None:
    assert isinstance(world.provider, ScriptedProvider)
    world.provider.add(*[anew] * 20)
    await world.run(fork, Forking(session, at, **given), NO_USE, NO_USE)
    await world.node.advance(60.0)


async def judge(world: World, at: int, source_session: str = SESSION, branch: str = BRANCH) -> None:
    """The branch is whole, its prompts are those that were sent, and no call was made twice."""
    assert isinstance(world.provider, ScriptedProvider)
    source = StoredSource(await world.events(session=None))
    before, view = await replay(source, source_session), await replay(source, branch)
    assert view.steps[-1].outcome == "answered", view.steps[-1]
    assert all(step.prompt in ("", "exact") and not step.problems for step in view.steps)
    kept = [step for step in view.steps if step.kept]
    first = next(step.number for step in before.steps if step.turn == before.steps[at - 1].turn)
    was = before.steps[first : first + len(kept)]
    assert [step.text for step in kept][:-1] == [step.text for step in was][:-1]
    # Money: what the branch was charged, and nothing of what it keeps.
    own = await world.events("model.responded", session=branch)
    assert view.totals.cost_micro == sum(event.payload["cost_micro"] for event in own)
    assert all(step.cost_micro == 0 and step.input_tokens == 0 for step in kept)
    run = await run_of(source, branch, await ledger_of(source, branch))
    assert run.totals == view.totals
    calls = [call for _, call in world.book.runs]
    assert len(calls) == len(set(calls))
    sent = {request.idempotency_key: request for request in world.provider.requests}
    turn, events = await trace_of_turn(source, branch, view.steps[0].turn)
    for event in events:
        turn = take(turn, event)
        if event.kind == "model.requested":
            request, problems = await prompt_of(source, branch, turn)
            assert request is not None and problems == []
            assert sent[request.idempotency_key] == request


@pytest.mark.parametrize("at", range(1, STEPS + 1))
@pytest.mark.parametrize("change", ["", "text", "calls", "model"])
async def test_a_branch_at_any_step_with_any_change(talked: World, at: int, change: str):
    given: dict[str, Any] = {}
    if change == "text":
        given = {"edit": "Something else."}
    elif change == "calls":
        given = {
            "edit": '{"text": "So:", "tool_calls": [{"name": "work.once", "arguments": {"what": "edited"}}]}'
        }
    elif change == "model":
        given = {"model": "other/large"}
    before = len(talked.book.runs)
    asked = len(talked.provider.requests)  # type: ignore[attr-defined]
    await branch(talked, at, **given)
    await judge(talked, at)
    # Replays of both sides, and comparing them, ask nobody.
    counts = (len(talked.book.runs), len(talked.provider.requests))  # type: ignore[attr-defined]
    assert counts[0] >= before and counts[1] >= asked
    source = StoredSource(await talked.events(session=None))
    one, other = [await run_of(source, name, await ledger_of(source, name)) for name in (SESSION, BRANCH)]
    first, second = begin_at(one, other)
    assert compare_runs(one, other, from_one=first, from_other=second).first is not None
    assert compare_runs(other, other).first is None


@pytest.mark.parametrize(("at", "then"), [(1, 1), (1, 3), (1, -1), (3, 3), (3, -1)])
async def test_a_branch_of_a_branch(talked: World, at: int, then: int):
    await branch(talked, at)
    source = StoredSource(await talked.events(session=None))
    steps = (await replay(source, BRANCH)).steps
    number = then if then > 0 else len(steps)
    assert not steps[number - 1].kept, "that step is the first session's"
    await branch(talked, number, BRANCH)
    await judge(talked, number, BRANCH, "session:scout@garden-fork-2")


VICTIMS = [BRANCH, "tasks:scout@garden-fork-1", "room:garden-fork-1", "journal", "agents", "rooms"]


@pytest.mark.parametrize("victim", VICTIMS)
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_branch_survives_a_kill_at_each_commit(talked: World, victim: str, when: str):
    """One branch for each commit of a branch's life, killed there."""
    at = 3
    for commit in range(40):
        name = f"garden-fork-{commit + 1}"
        here = victim.replace("garden-fork-1", name)
        struck = Struck(when, commit, here)
        talked.store.count, talked.store.trap = 0, struck
        await branch(talked, at)
        talked.store.trap = None
        await judge(talked, at, branch=f"session:scout@{name}")
        if not struck.done:
            return
    raise AssertionError("it never ends")


class Struck:
    """Kills somebody at a commit."""

    def __init__(self, when: str, commit: int, victim: str) -> None:
        self.when, self.commit, self.victim = when, commit, victim
        self.done = False

    def __call__(self, when: str, number: int, kind: str) -> None:
        if (when, number) == (self.when, self.commit) and not self.done:
            self.done = True
            pid = whereis(self.victim)
            if pid is not None:
                exit_signal(pid, "kill")


async def strip(world: World, session: str, *kinds: str) -> None:
    """Prune all events of these kinds."""
    events = await world.events(*kinds, session=session)
    await world.store.strip([event.seq for event in events])


async def test_a_branch_whose_source_was_pruned_before_is_refused(talked: World):
    await strip(talked, SESSION, "model.responded")
    with pytest.raises(ControlError, match="cannot be read"):
        await talked.run(fork, Forking("scout", 4), NO_USE, NO_USE)
    assert await talked.events("session.forked", session=None) == []


async def test_a_branch_whose_source_is_pruned_before_its_first_turn_gives_up_aloud_and_goes_on(
    talked: World,
):
    assert isinstance(talked.provider, ScriptedProvider)
    talked.provider.add(*[anew] * 20)
    struck = False

    def trap(when: str, number: int, kind: str) -> None:
        nonlocal struck
        if kind == "room.message" and when == "after" and not struck:
            struck = True
            pid = whereis(BRANCH)
            assert pid is not None
            exit_signal(pid, "kill")
            stripped.extend(
                event.seq
                for event in talked.store._events
                if event.session == SESSION and event.kind == "model.responded"
            )

    stripped: list[int] = []
    talked.store.trap = trap
    asked = len(talked.provider.requests)
    await talked.run(fork, Forking("scout", 4), NO_USE, NO_USE)
    await talked.store.strip(stripped)
    await talked.node.advance(120.0)
    talked.store.trap = None
    room = "room:garden-fork-1"
    if len(talked.provider.requests) == asked:  # it had not read what it goes on from
        assert "I could not finish this" in (await talked.answers(room))[-1]
        letters = await talked.events("dead.lettered", session=None)
        assert letters[-1].payload["evidence"]["session"] == BRANCH
    await talked.post("and now?", room=room)
    await talked.node.advance(10.0)
    assert (await talked.answers(room))[-1] == "Anew."
