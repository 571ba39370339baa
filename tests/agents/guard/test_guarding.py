"""A session whose turn goes nowhere is ended with a reason, and the next process does otherwise."""

from typing import Any

import pytest

from planaria.agents.guard.halting import Target
from planaria.agents.guard.handoff import OWN
from planaria.agents.past.source import StoredSource
from planaria.agents.stop import stop
from planaria.agents.turn.guard_events import RestartChosen, SessionHandedOff, SessionTripped, TurnGuided
from planaria.cortex.durable.letters import DeadLettered
from planaria.cortex.durable.questions import Questions
from planaria.cortex.event import Event
from planaria.membrane.errors import AuthenticationFailed, OutOfCredit, Overloaded
from planaria.membrane.provider import TextDelta, Usage
from planaria.membrane.tool import Context, Done, Failed, tool
from planaria.otp import child
from planaria.otp.sys import suspend
from planaria.testing.models import Call, Calls, Fail, Say, ScriptedProvider
from planaria.testing.node import TestNode
from planaria.tools.session import result
from tests.agents.support import SCOUT, SESSION, EndlessProvider, World, again, once
from tests.agents.test_divergence import assert_replayed_as_it_was, killer

SAME = Call("work.again", {"what": "moss"})


@tool(name="work.poll", idempotent=True, polling=True)
async def poll(context: Context) -> Done | Failed:
    """See how far it is."""
    return Done("still running")


@tool(name="work.read", idempotent=True)
async def read(context: Context, what: str = "") -> Done | Failed:
    """Read a lot.

    Args:
        what: a word.
    """
    return Done(" ".join(f"{what}{n}" for n in range(900)))


@pytest.fixture
def world(world: World) -> World:
    world.tools = (once, again, poll, read, result)
    return world


def script(world: World, *lines: object) -> ScriptedProvider:
    assert isinstance(world.provider, ScriptedProvider)
    world.provider.add(*lines)  # type: ignore[arg-type]
    return world.provider


def record(world: World, front: str) -> None:
    (world.garden / "agents" / "scout.md").write_text(SCOUT.replace("class: agent", f"class: agent\n{front}"))


async def start_asking(world: World) -> None:
    await world.start()
    await world.node.start(child(Questions, name="questions"))


async def chosen(world: World) -> list[RestartChosen]:
    return [RestartChosen.of(event) for event in await world.events(RestartChosen.kind)]


def system(provider: ScriptedProvider, request: int = -1) -> str:
    return provider.requests[request].messages[0].content


# --- loops -----------------------------------------------------------------------------------------------------------


async def test_a_loop_ends_the_process_and_the_next_one_is_told_why(world: World):
    provider = script(world, SAME, SAME, SAME, "I know enough.")
    await world.start()
    before = world.node[SESSION]
    await world.post()
    assert await world.until_answered() == ["I know enough."]
    assert world.node[SESSION] is not before
    assert world.book.count("again") == 3
    (seen,) = [SessionTripped.of(event) for event in await world.events(SessionTripped.kind)]
    assert (seen.cause, seen.number, seen.step, seen.evidence["kind"]) == ("loop", 1, 3, "repeat")
    (choice,) = await chosen(world)
    assert (choice.mode, choice.why) == ("amend", "restart 1 of 3 for loop")
    assert "# Corrections" not in system(provider, 2)
    assert seen.words in system(provider)
    # All that was done is still shown: only an instruction was added.
    assert len(provider.requests[-1].messages) == len(provider.requests[2].messages) + 2


async def test_finding_and_choice_are_written_before_the_process_ends(world: World):
    script(world, SAME, SAME, SAME, "done")
    await world.start()
    first = world.node[SESSION]
    order: list[tuple[bool, bool]] = []

    def trap(when: str, number: int, kind: str) -> None:
        if when == "after" and not order and world.store.has(SessionTripped.kind):
            order.append((world.store.has(RestartChosen.kind, mode="amend"), first.alive))

    world.store.trap = trap
    await world.post()
    await world.until_answered()
    assert order == [(True, True)]
    assert not first.alive


async def test_what_does_not_help_escalates_to_a_fresh_start_and_then_to_a_person(world: World):
    provider = script(world, *[SAME] * 9, "Thanks.")
    await start_asking(world)
    await world.post("find moss")
    await world.node.advance(5.0)
    assert [choice.mode for choice in await chosen(world)] == ["amend", "fresh", "ask"]
    (note,) = [SessionHandedOff.of(event) for event in await world.events(SessionHandedOff.kind)]
    assert note.by == "mechanical"
    assert "ada said: find moss" in note.text
    assert (note.since, len(note.references)) == (6, 6)
    fresh = provider.requests[6].messages
    assert [message.role for message in fresh] == ["system", "user"]
    assert "## Goal" in fresh[0].content
    (question,) = await world.run(Questions.pending, "questions")
    assert "scout was interrupted over the message 'find moss'" in question.text
    assert (await world.view()).status == "waiting"
    await world.run(Questions.answer, "questions", question.id, "go on: look in the notes", by="ada")
    assert await world.until_answered() == ["Thanks."]
    assert "ada says: look in the notes" in system(provider)
    assert len(provider.requests) == 10


@pytest.mark.parametrize("killed", [False, True])
async def test_a_person_may_end_it(world: World, killed: bool):
    record(world, "restart: [{on: loop, do: ask}]")
    script(world, *[SAME] * 3)
    await start_asking(world)
    await world.post()
    await world.node.advance(2.0)
    if killed:  # the question goes on being the same one
        await world.kill(SESSION)
        await world.node.advance(2.0)
    (question,) = await world.run(Questions.pending, "questions")
    await world.run(Questions.answer, "questions", question.id, "stop: never mind", by="ada")
    assert await world.until_answered() == ["I stopped: ada ended this: never mind"]
    assert len(await world.events(TurnGuided.kind)) == 1


async def test_nobody_who_answers_is_an_end_too(world: World):
    record(world, "restart: [{on: loop, do: ask}]")
    script(world, *[SAME] * 3)
    await start_asking(world)
    await world.post()
    await world.node.advance(2.0)
    await world.node.advance(90_000.0)
    assert await world.until_answered() == ["I stopped: nobody said how to go on"]


async def test_a_fresh_start_said_by_a_person_leaves_what_was_done(world: World):
    record(world, "restart: [{on: loop, do: ask}]")
    provider = script(world, *[SAME] * 3, "done")
    await start_asking(world)
    await world.post()
    await world.node.advance(2.0)
    (question,) = await world.run(Questions.pending, "questions")
    await world.run(Questions.answer, "questions", question.id, "start afresh", by="ada")
    assert await world.until_answered() == ["done"]
    assert [message.role for message in provider.requests[-1].messages] == ["system", "user"]
    assert "work.again" in system(provider)


async def test_the_record_says_what_is_done_and_how_often(world: World):
    record(world, 'restart: [{on: loop, do: amend, say: "Answer now.", limit: 1}]')
    provider = script(world, *[SAME] * 6)
    await world.start()
    await world.post()
    (told,) = await world.until_answered()
    assert told.startswith("I stopped: It called work.again 3 times in a row")
    assert told.endswith("1 restarts for loop were allowed, and are used up.")
    assert "Answer now." in system(provider)
    assert [choice.mode for choice in await chosen(world)] == ["amend", "give_up"]
    (letter,) = await world.events(DeadLettered.kind, session=None)
    assert letter.payload["evidence"]["turn"]


async def test_guards_that_are_off_let_it_run(world: World):
    record(world, "guards: off\nmax_steps: 7")
    script(world, *[SAME] * 7, "I give up.")
    await world.start()
    await world.post()
    assert await world.until_answered() == ["I give up."]
    assert await world.events(SessionTripped.kind) == []


async def test_polling_is_no_loop(world: World):
    script(world, *[Call("work.poll")] * 8, "It is done.")
    await world.start()
    await world.post()
    assert await world.until_answered() == ["It is done."]
    assert await world.events(SessionTripped.kind) == []


async def test_the_guard_forgets_a_turn_when_the_next_begins(world: World):
    script(world, SAME, SAME, "one", SAME, SAME, "two")
    await world.start()
    await world.post()
    await world.until_answered()
    await world.post()
    assert await world.until_answered(2) == ["one", "two"]
    assert await world.events(SessionTripped.kind) == []


async def test_a_killed_guard_takes_its_session_with_it_and_the_turn_goes_on(world: World):
    world.book.held = {"once"}
    script(world, Call("work.once"), "done")
    await world.start()
    session = world.node[SESSION]
    await world.post()
    await world.node.settle()
    await world.kill("guard:scout@garden")
    assert not session.alive
    world.book.release()
    assert await world.until_answered() == ["done"]


# --- too much at once, too long, an answer that spins ----------------------------------------------------------------


async def test_a_guard_that_hangs_is_restarted_and_the_turn_goes_on(world: World):
    provider = script(world, *[Call("work.read", {"what": f"w{n}"}) for n in range(4)], "done")
    await world.start()
    await world.run(suspend, "guard:scout@garden")
    await world.post()
    await world.node.advance(9.0)
    assert len(provider.requests) == 3
    assert await world.until_answered() == ["done"]
    assert len(provider.requests) == 5


async def test_of_too_many_calls_none_is_made(world: World):
    many = Calls(tuple(Call("work.once", {"what": str(n)}) for n in range(40)))
    provider = script(world, many, Call("work.once", {"what": "one"}), "done")
    await world.start()
    await world.post()
    assert await world.until_answered() == ["done"]
    assert world.book.count("once") == 1
    assert "It wanted 40 tools in one step; 32 are allowed." in system(provider)
    assert len(await world.events("tool.started")) == 1
    told = [message for message in provider.requests[1].messages if message.role == "tool"]
    assert {message.content for message in told} == {"This was not run: the turn was interrupted before it."}


async def test_a_turn_that_comes_to_nothing_in_time_is_ended(world: World):
    world.models.provider = endless = EndlessProvider()
    await world.start()
    await world.post()
    await world.node.advance(500.0)
    assert await world.events(SessionTripped.kind) == []
    await world.node.advance(400.0)
    (seen,) = [SessionTripped.of(event) for event in await world.events(SessionTripped.kind)]
    assert (seen.cause, seen.evidence["kind"]) == ("stall", "time")
    assert (endless.begun, endless.left) == (2, 1)  # the stream was closed, and another begun


async def test_waiting_for_a_person_is_no_stall(world: World):
    record(world, "restart: [{on: loop, do: ask}]")
    script(world, *[SAME] * 3)
    await start_asking(world)
    await world.post()
    await world.node.advance(2.0)
    await world.node.advance(5000.0)
    assert len(await world.events(SessionTripped.kind)) == 1


async def test_an_answer_that_spins_is_none(world: World):
    spinning = Say("", pieces=("Well. ", *["I will now do it. "] * 600))
    provider = script(world, spinning, "Done.")
    await world.start()
    await world.post()
    assert await world.until_answered() == ["Done."]
    (failure,) = await world.events("model.failed")
    assert "repeated 'I will now do it.' over and over" in failure.payload["error"]
    assert len(provider.requests) == 2


# --- another model, a failure ----------------------------------------------------------------------------------------


async def test_a_model_that_fails_is_left_if_the_record_says_so(world: World):
    record(world, "restart: [{on: provider, do: reroute, limit: 1}]")
    script(world, Fail(AuthenticationFailed("no key")), Fail(AuthenticationFailed("no key")))
    await world.start()
    await world.post()
    (told,) = await world.until_answered()
    assert told.startswith("I stopped: No model answered: no key.")
    choices = await chosen(world)
    assert [(choice.mode, choice.exclude) for choice in choices] == [
        ("reroute", "scripted/scripted"),
        ("give_up", ""),
    ]


async def test_without_a_rule_a_failure_is_said_as_ever(world: World):
    script(world, Fail(AuthenticationFailed("no key")))
    await world.start()
    await world.post()
    assert await world.until_answered() == ["I could not answer: no key"]
    assert await world.events(SessionTripped.kind) == []


# --- the context is full ---------------------------------------------------------------------------------------------

NOTE = "## Goal\nhello\n\n## State\nI have read a and b, both are long lists.\n\n## Open ends\nAnswer."


async def test_a_full_context_is_handed_on_by_the_agent_itself(world: World):
    record(world, "guards: {context: 0.015}")
    provider = script(
        world, Call("work.read", {"what": "a"}), Call("work.read", {"what": "b"}), NOTE, "Both are lists."
    )
    await world.start()
    before = world.node[SESSION]
    await world.post()
    assert await world.until_answered() == ["Both are lists."]
    assert world.node[SESSION] is not before
    (event,) = await world.events(SessionHandedOff.kind)
    note = SessionHandedOff.of(event)
    assert (note.by, note.text, note.since, note.model) == ("model", f"{OWN}\n\n{NOTE}", 2, "scripted")
    assert note.cost_micro == 10 * 2 + 5 * 3
    asked = provider.requests[2].messages[-1].content
    assert "You called work.read" in asked
    assert note.references[0] in asked
    assert [message.role for message in provider.requests[3].messages] == ["system", "user"]
    assert f"{OWN}\n\n{NOTE}" in system(provider)  # what it repeats of a page is not for it to obey
    (seen,) = [SessionTripped.of(event) for event in await world.events(SessionTripped.kind)]
    assert (seen.cause, seen.evidence["assumed"], seen.evidence["window"]) == ("context", True, 128_000)
    assert "as its size is not known" in seen.words
    # Nothing is destroyed: what the note stands for is in the journal, and can be read again.
    assert len(await world.events("tool.finished")) == 2
    offered = [[tool.name for tool in request.tools] for request in provider.requests]
    assert "session.result" not in offered[1]
    assert "session.result" in offered[3]


async def test_if_no_model_writes_the_note_it_is_put_together(world: World):
    record(world, "guards: {context: 0.01}")
    provider = script(world, Call("work.read", {"what": "a"}), Fail(OutOfCredit("no credit")), "done")
    await world.start()
    await world.post()
    assert await world.until_answered() == ["done"]
    (note,) = [SessionHandedOff.of(event) for event in await world.events(SessionHandedOff.kind)]
    assert (note.by, note.problem) == ("mechanical", "no credit")
    assert "work.read" in system(provider)


async def test_a_note_that_fails_once_is_asked_for_again_and_all_of_it_is_on_the_bill(world: World):
    record(world, "guards: {context: 0.01}")
    busy = Overloaded("busy")
    busy.usage = Usage(1000, 0)
    script(world, Call("work.read", {"what": "a"}), Fail(busy), NOTE, "done")
    await world.start()
    await world.post()
    assert await world.until_answered() == ["done"]
    (note,) = [SessionHandedOff.of(event) for event in await world.events(SessionHandedOff.kind)]
    assert (note.by, note.text, note.usage.input_tokens) == ("model", f"{OWN}\n\n{NOTE}", 1010)
    assert note.cost_micro == 1010 * 2 + 5 * 3


async def test_other_sessions_go_on_while_one_hands_off(world: World):
    record(world, "guards: {context: 0.01}")
    (world.garden / "agents" / "keeper.md").write_text(SCOUT)
    endless = EndlessProvider(TextDelta("…"))
    lines = iter([Call("work.read", {"what": "a"})])
    scripted = ScriptedProvider([lambda request: next(lines), "from keeper"])

    class Both:
        name = "scripted"

        def stream(self, request: Any) -> Any:
            return (
                endless.stream(request) if "hand-off" in request.idempotency_key else scripted.stream(request)
            )

    world.models.provider = Both()  # type: ignore[assignment]
    await world.start()
    await world.post("@scout hello")
    await world.node.advance(1.0)
    assert endless.begun == 1
    await world.post("@keeper hello")
    await world.node.advance(1.0)
    assert await world.answers() == ["from keeper"]


@pytest.mark.parametrize("how", ["/stop", "stop", "stop, and all is killed"])
async def test_a_stop_ends_the_writing_of_a_note_and_nothing_goes_on_with_it(world: World, how: str):
    record(world, "guards: {context: 0.01}")
    endless = EndlessProvider(TextDelta("## Goal"))
    scripted = ScriptedProvider([Call("work.read", {"what": "a"})])

    class Both:
        name = "scripted"

        def stream(self, request: Any) -> Any:
            noting = "hand-off" in request.idempotency_key
            return (endless if noting else scripted).stream(request)

    world.models.provider = Both()  # type: ignore[assignment]
    await world.start()
    await world.post()
    await world.node.advance(1.0)
    assert (endless.begun, endless.left) == (1, 0)
    if how == "/stop":
        await world.post("/stop")
    else:
        await world.run(stop, Target("all"), by="ada")
    assert endless.left == 1
    if how.endswith("killed"):
        await world.kill("journal")
    assert await world.until_answered() == ["(stopped by ada)"]
    await world.node.advance(120.0)
    assert (endless.begun, len(scripted.requests)) == (1, 1)
    assert await world.events(SessionHandedOff.kind, RestartChosen.kind) == []
    (end,) = await world.events("turn.finished")
    assert end.payload["outcome"] == "stopped"


# --- any kill --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["before", "after"])
@pytest.mark.parametrize("number", range(22))
async def test_whatever_is_killed_between_these_events_nothing_is_lost_or_doubled(
    node: TestNode, world: World, number: int, mode: str
):
    def line(request: Any) -> Any:
        # A model answers what it is shown: a call that is made again gets the same answer.
        return "done" if "## Goal" in request.messages[0].content else SAME

    world.models.provider = world.provider = ScriptedProvider([line] * 40)
    await world.start()
    world.store.trap = killer([(number, SESSION, mode)])
    await world.post()
    assert await world.until_answered() == ["done"]
    world.store.trap = None
    trips = [SessionTripped.of(event) for event in await world.events(SessionTripped.kind)]
    assert [trip.number for trip in trips] == [1, 2]
    assert [choice.mode for choice in await chosen(world)] == ["amend", "fresh"]
    (end,) = await world.events("turn.finished")
    assert end.payload["outcome"] == "answered"
    assert await dead(world) == []
    await assert_replayed_as_it_was(StoredSource(await world.events(session=None)), world.provider.requests)


async def dead(world: World) -> list[Event]:
    return await world.events(DeadLettered.kind, session=None)
