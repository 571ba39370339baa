"""A call goes by its id: run once, whoever calls; and what becomes of one nobody knows the end of."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from planaria.cortex.durable.question import Question
from planaria.cortex.durable.questions import Questions
from planaria.cortex.errors import StoreFailed
from planaria.cortex.event import Event
from planaria.cortex.journal import Journal
from planaria.cortex.query import Query
from planaria.membrane.gate.gate import Gate, Prepared
from planaria.membrane.gate.unknown import MOST_REPEATS
from planaria.membrane.tool import Context, Done, Failed, tool
from planaria.otp import Pid, child, exit_signal, receive, wait_down
from planaria.testing.memory_store import MemoryStore
from planaria.testing.node import TestNode

runs: list[str] = []


async def effect(context: Context, item: str) -> Done:
    runs.append(item)
    if item == "hang":
        await receive()
    return Done({"item": item}, branch="bought", text=f"Bought {item}.")


@tool(name="shop.buy", branches=("bought", "sold_out"), on_unknown="ask")
async def buy(context: Context, item: str) -> Done:
    """Buy something.

    Args:
        item: what.
    """
    return await effect(context, item)


@tool(name="shop.look", branches=("bought",), idempotent=True)
async def look(context: Context, item: str) -> Done:
    """Look at something.

    Args:
        item: what.
    """
    return await effect(context, item)


@tool(name="shop.break", branches=("bought",))
async def break_(context: Context, item: str) -> Done:
    """Break something.

    Args:
        item: what.
    """
    return await effect(context, item)


class Rig:
    def __init__(self, node: TestNode, store: MemoryStore) -> None:
        self.node = node
        self.store = store
        self.gate = Gate([buy, look, break_])

    def context(self, call_id: str = "call-1") -> Context:
        return Context(
            "agent:scout", Path(), session="s", room="garden", call_id=call_id, subject="person:ada"
        )

    async def call(self, name: str, item: str, **settings: Any) -> Any:
        context = self.context()
        call = partial(self.gate.call, name, {"item": item}, context, ["*"], **settings)
        return await self.node.run(call)

    async def cut_off(self, name: str) -> None:
        """A call whose process is killed in the middle."""
        before = len(runs)
        pid = self.node.spawn(partial(self.gate.call, name, {"item": "hang"}, self.context(), ["*"]))
        while len(runs) == before:
            await self.node.run(_pause)
        await self.node.run(partial(_kill, pid))

    async def events(self, session: str = "s") -> list[Event]:
        return await self.node.run(partial(Journal.read, "journal", Query(session=session)))

    async def question(self) -> Question:
        while not (found := await self.node.run(partial(Questions.pending, "questions"))):
            pass
        return found[0]


async def test_an_outcome_waits_for_the_journal(rig: Rig) -> None:
    async def buy_while_the_disk_fails() -> object:
        prepared = rig.gate.prepare("shop.break", {"item": "cup"}, rig.context(), ["*"])
        await Journal.append("journal", prepared.events)
        rig.store.fault = StoreFailed("the disk is full", "make room")
        return await rig.gate.run(prepared)

    pid = rig.node.spawn(buy_while_the_disk_fails)
    await rig.node.settle()
    assert runs == ["cup"]
    rig.store.fault = None
    await rig.node.advance(1.0)
    await rig.node.run(partial(wait_down, pid))
    assert [event.kind for event in await rig.events()] == ["tool.started", "tool.finished"]


async def _kill(pid: Pid) -> None:
    exit_signal(pid, "kill")
    await wait_down(pid)


async def _pause() -> None:
    pass


@pytest.fixture
async def rig(node: TestNode) -> Rig:
    runs.clear()
    store = MemoryStore()
    await node.start(child(Journal, lambda: store, name="journal"))
    await node.start(child(Questions, name="questions"))
    return Rig(node, store)


async def test_a_call_that_finished_is_answered_from_the_journal(rig: Rig) -> None:
    first = await rig.call("shop.break", "cup")
    assert first == Done({"item": "cup"}, branch="bought", text="Bought cup.")
    assert await rig.call("shop.break", "cup") == first
    assert await rig.call("shop.break", "cup", begun=True) == first
    assert runs == ["cup"]
    assert [event.kind for event in await rig.events()] == ["tool.started", "tool.finished"]


async def test_a_call_that_was_refused_is_refused_again_with_one_event(rig: Rig) -> None:
    first = await rig.call("shop.brake", "cup")
    assert isinstance(first, Failed)
    assert await rig.call("shop.brake", "cup") == first
    assert len(await rig.events()) == 1


async def test_events_of_a_call_carry_the_subject_of_what_led_to_it(rig: Rig) -> None:
    await rig.call("shop.look", "cup")
    assert {event.subject for event in await rig.events()} == {"person:ada"}


async def test_the_same_id_in_another_session_is_another_call(rig: Rig) -> None:
    await rig.call("shop.look", "cup")
    other = Context("agent:other", Path(), session="other", call_id="call-1")
    await rig.node.run(partial(rig.gate.call, "shop.look", {"item": "cup"}, other, ["*"]))
    assert runs == ["cup", "cup"]


async def test_a_first_call_reads_nothing(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise AssertionError("a first call has nothing to look up")

    monkeypatch.setattr(Journal, "find", refuse)
    monkeypatch.setattr(Journal, "read", refuse)
    assert isinstance(await rig.call("shop.look", "cup"), Done)


async def test_two_who_call_at_once_get_one_outcome(rig: Rig) -> None:
    answers: list[object] = []

    async def both() -> None:
        answers.append(await rig.gate.call("shop.break", {"item": "cup"}, rig.context(), ["*"]))

    for pid in [rig.node.spawn(both) for _ in range(5)]:
        await rig.node.run(partial(wait_down, pid))
    assert runs == ["cup"]
    assert len(answers) == 5
    assert all(answer == answers[0] for answer in answers)


async def test_begin_and_end_can_be_written_with_events_of_the_caller(rig: Rig) -> None:
    async def apart() -> tuple[Prepared, Done | Failed]:
        prepared = rig.gate.prepare("shop.look", {"item": "cup"}, rig.context(), ["*"])
        await Journal.append("journal", prepared.events)
        ended = await rig.gate.execute(prepared)
        assert [event.kind for event in ended.events] == ["tool.finished"]
        await Journal.append("journal", ended.events)
        return prepared, ended.outcome

    _, outcome = await rig.node.run(apart)
    assert await rig.call("shop.look", "cup") == outcome
    assert runs == ["cup"]


async def test_one_that_is_refused_when_prepared_has_its_end_as_its_only_event(rig: Rig) -> None:
    async def apart() -> None:
        prepared = rig.gate.prepare("shop.look", {}, rig.context(), ["*"])
        assert [event.kind for event in prepared.events] == ["tool.finished"]
        ended = await rig.gate.execute(prepared)
        assert isinstance(ended.outcome, Failed)
        assert ended.events == ()

    await rig.node.run(apart)


async def test_a_call_that_was_cut_off_fails_and_says_that_nobody_knows(rig: Rig) -> None:
    await rig.cut_off("shop.break")
    failed = await rig.call("shop.break", "hang")
    assert "nobody knows whether it took effect" in failed.error
    assert await rig.call("shop.break", "hang") == failed
    assert runs == ["hang"]
    assert [event.kind for event in await rig.events()] == ["tool.started", "tool.finished"]


async def test_one_that_may_be_repeated_is_repeated_under_its_id_and_noted(rig: Rig) -> None:
    await rig.cut_off("shop.look")
    assert isinstance(await rig.call("shop.look", "cup"), Done)
    kinds = [event.kind for event in await rig.events()]
    assert kinds == ["tool.started", "tool.repeated", "tool.finished"]


async def test_one_that_is_cut_off_again_and_again_is_given_up(rig: Rig) -> None:
    for _ in range(MOST_REPEATS + 1):
        await rig.cut_off("shop.look")
    failed = await rig.call("shop.look", "cup")
    assert "cut off 6 times" in failed.error
    assert len(runs) == MOST_REPEATS + 1


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (
            "it did: order 4711",
            Done(
                "order 4711",
                "bought",
                "The node stopped while this tool ran; ada says that it took effect: order 4711",
            ),
        ),
        ("2", Done({"item": "hang"}, branch="bought", text="Bought hang.")),
        ("give up", Failed("the node stopped while this tool ran, and ada gave it up")),
    ],
)
async def test_a_person_says_what_became_of_it(
    rig: Rig, answer: str, outcome: Done | Failed, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rig.cut_off("shop.buy")
    heard: list[object] = []

    async def resume() -> None:
        heard.append(await rig.gate.call("shop.buy", {"item": "hang"}, rig.context(), ["*"]))

    pid = rig.node.spawn(resume)
    question = await rig.question()
    assert rig.gate.is_waiting("s", "call-1")
    assert 'ran shop.buy with {"item":"hang"}' in question.text
    assert (question.by, question.room, question.subject) == ("agent:scout", "garden", "person:ada")
    # Whoever waits is killed too, and comes again: it is the same question.
    await rig.node.run(partial(_kill, pid))
    monkeypatch.setattr("planaria.membrane.gate.gate._answer", _at_once)
    pid = rig.node.spawn(resume)
    await rig.node.run(partial(Questions.answer, "questions", "#1", answer, by="ada", via="terminal"))
    await rig.node.run(partial(wait_down, pid))
    assert heard == [outcome]
    assert not rig.gate.is_waiting("s", "call-1")
    assert await rig.call("shop.buy", "hang") == outcome
    assert len([event for event in await rig.events("questions") if event.kind == "question.asked"]) == 1


async def _at_once(*args: object) -> tuple[Done, None]:
    return Done({"item": "hang"}, branch="bought", text="Bought hang."), None
