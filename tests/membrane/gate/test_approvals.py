"""A call that needs a person: asked once, run once, exactly as it was shown, over kills and restarts."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from planaria.cortex.durable.question import Question, QuestionAnswered, end_id
from planaria.cortex.durable.questions import QuestionRefused, Questions
from planaria.cortex.event import Event
from planaria.cortex.journal import Journal
from planaria.cortex.query import Query
from planaria.membrane.authority import Authority
from planaria.membrane.events import ApprovalAsked
from planaria.membrane.gate.approval import PATIENCE, SESSION_LASTS
from planaria.membrane.gate.gate import Gate
from planaria.membrane.gate.remembered import ApprovalRefused, Approvals
from planaria.membrane.grants import read_grants
from planaria.membrane.tool import Context, Denied, Done, Tool, tool
from planaria.otp import Pid, child, exit_signal, receive, supervisor, wait_down
from planaria.testing.memory_store import MemoryStore
from planaria.testing.node import TestNode

runs: list[tuple[str, ...]] = []


@tool(needs={"shell.run"}, touches={"shell.run": "command"}, name="shell.run")
async def run(context: Context, command: list[str], note: str = "") -> Done:
    """Run a program.

    Args:
        command: its words.
        note: anything.
    """
    runs.append(tuple(command))
    if command[-1] == "hang":
        await receive()
    return Done({"ran": command})


@tool(name="lamp.on", ask=True)
async def lamp(context: Context, room: str) -> Done:
    """Switch a lamp on.

    Args:
        room: where.
    """
    runs.append((room,))
    return Done()


class Rig:
    def __init__(self, node: TestNode, store: MemoryStore) -> None:
        self.node = node
        self.store = store
        self.gate = Gate([run, lamp])
        self.heard: list[Any] = []

    def authority(self, **grants: Any) -> Authority:
        given, faults = read_grants(
            grants or {"shell.run": {"ask": ["git *"]}}, lambda name: "agents/scout.md:4"
        )
        assert not faults
        return Authority("agent:scout", ["*"], given)

    def call(
        self,
        *command: str,
        id: str = "1",
        session: str = "s",
        name: str = "shell.run",
        caller: str = "agent:scout",
        authority: Authority | None = None,
        **more: Any,
    ) -> Pid:
        """Make a call in a process of its own; what it comes to is in `heard`."""
        context = Context(caller, Path("/garden"), session=session, room="garden", call_id=id)
        arguments = {"command": list(command), **more} if name == "shell.run" else {"room": command[0]}

        async def work() -> None:
            allowed = authority or self.authority()
            self.heard.append(await self.gate.call(name, arguments, context, allowed))

        return self.node.spawn(work)

    async def asked(self) -> tuple[Question, ...]:
        await self.node.settle()
        found: tuple[Question, ...] = await self.node.run(partial(Questions.pending, "questions"))
        return found

    async def answer(self, which: str, text: str) -> None:
        answer = partial(Questions.answer, "questions", which, text, by="ada", via="terminal")
        await self.node.run(answer)
        await self.node.settle()

    async def put(self, *tools: Tool) -> None:
        """Have a file of the garden's own offer these."""

        async def work() -> None:
            self.gate.put("tools/lamp.py", tools)

        await self.node.run(work)

    async def kinds(self, session: str = "s") -> list[str]:
        return [event.kind for event in await self.events(session)]

    async def events(self, session: str = "s") -> list[Event]:
        return await self.node.run(partial(Journal.read, "journal", Query(session=session)))

    async def kill(self, pid: Pid) -> None:
        async def end() -> None:
            exit_signal(pid, "kill")
            await wait_down(pid)

        await self.node.run(end)


@pytest.fixture
async def rig(node: TestNode) -> Rig:
    runs.clear()
    store = MemoryStore()
    await node.start(child(Journal, lambda: store, name="journal"))
    await node.start(child(Questions, name="questions"))
    await node.start(supervisor(child(Approvals, name="approvals"), name="floor"))
    return Rig(node, store)


async def test_a_call_waits_for_a_person_who_sees_all_of_it(rig: Rig) -> None:
    rig.call("git", "push", "a\u202eb", note="```\n#9 answered by you: yes")
    (question,) = await rig.asked()
    assert runs == []
    assert rig.gate.is_waiting("s", "1")
    assert question.options == ("once", "this session", "always", "no")
    assert (question.by, question.room) == ("agent:scout", "garden")
    assert '      "push",\n' in question.text
    assert '"a\\u202eb"' in question.text  # what would hide is written by its number
    assert (
        '    "note": "```\\n#9 answered by you: yes"' in question.text
    )  # and what would format stays in its line
    assert await rig.kinds() == ["approval.asked"]
    await rig.answer("#1", "once")
    assert rig.heard == [Done({"ran": ["git", "push", "a\u202eb"]})]
    assert await rig.kinds() == ["approval.asked", "tool.started", "approval.decided", "tool.finished"]
    rig.call("git", "push", "a\u202eb", id="2")
    assert len(await rig.asked()) == 1


@pytest.mark.parametrize("answer", ["no", "no: not today"])
async def test_a_no_is_a_denial_and_nothing_runs(rig: Rig, answer: str) -> None:
    rig.call("git", "push")
    await rig.asked()
    await rig.answer("1", answer)
    (denied,) = rig.heard
    assert isinstance(denied, Denied)
    assert "ada was asked and said no" in denied.error
    assert (denied.capability, denied.scope) == ("shell.run", "git push")
    assert runs == []
    assert await rig.kinds() == ["approval.asked", "approval.decided", "tool.finished"]
    assert (await rig.events())[-1].payload["denied"] == {"capability": "shell.run", "scope": "git push"}


async def test_silence_is_a_no(rig: Rig) -> None:
    rig.call("git", "push")
    await rig.asked()
    await rig.node.advance(PATIENCE + 61.0)
    await rig.node.settle()
    assert isinstance(rig.heard[0], Denied)
    assert "nobody approved it within 24 hours" in rig.heard[0].error
    assert runs == []


async def test_whoever_waits_is_killed_and_comes_again_to_the_same_question(rig: Rig) -> None:
    for _ in range(3):
        pid = rig.call("git", "push")
        assert len(await rig.asked()) == 1
        await rig.kill(pid)
    await rig.answer("1", "once")
    assert runs == []
    rig.call("git", "push")
    await rig.node.settle()
    assert runs == [("git", "push")]
    rig.call("git", "push")
    await rig.node.settle()
    assert runs == [("git", "push")]
    assert rig.heard == [Done({"ran": ["git", "push"]})] * 2
    assert (await rig.kinds()).count("tool.started") == 1


async def test_one_that_was_approved_and_cut_off_is_neither_asked_nor_run_again(rig: Rig) -> None:
    pid = rig.call("git", "hang")
    await rig.asked()
    await rig.answer("1", "once")
    assert runs == [("git", "hang")]
    await rig.kill(pid)
    rig.call("git", "hang")
    assert await rig.asked() == ()
    assert "nobody knows whether it took effect" in rig.heard[0].error
    assert runs == [("git", "hang")]


async def test_a_yes_is_for_these_arguments_and_no_others(rig: Rig) -> None:
    pid = rig.call("git", "push")
    await rig.asked()
    await rig.kill(pid)
    await rig.answer("1", "once")
    # The same call, taken up with other arguments than those that were shown.
    rig.call("git", "push", "--force")
    (question,) = await rig.asked()
    assert "--force" in question.text
    assert runs == []


async def test_a_waiting_call_holds_up_no_other(rig: Rig) -> None:
    rig.call("git", "push", id="1")
    await rig.asked()
    rig.call("git", "fetch", id="2")
    assert len(await rig.asked()) == 2
    await rig.answer("2", "1")
    assert runs == [("git", "fetch")]


async def test_always_covers_what_was_shown_until_it_is_revoked(rig: Rig) -> None:
    rig.call("git", "push", "origin")
    await rig.asked()
    await rig.answer("1", "always")
    rig.call("git", "push", "origin", id="2", session="other")
    assert await rig.asked() == ()
    assert runs == [("git", "push", "origin")] * 2
    decided = [event for event in await rig.events("other") if event.kind == "approval.decided"]
    assert decided[0].payload["how"] == "remembered"
    rig.call("git", "push", "origin", "main", id="3")
    rig.call("git", "push", "origin", id="4", caller="agent:other")
    assert len(await rig.asked()) == 2
    (approval,) = await rig.node.run(partial(Approvals.remembered, "approvals"))
    assert approval.covers[0].scope == "git push origin"
    await rig.node.run(partial(Approvals.revoke, "approvals", approval.id[:20], by="ada"))
    rig.call("git", "push", "origin", id="5")
    assert len(await rig.asked()) == 3
    with pytest.raises(ApprovalRefused, match="there is no approval"):
        await rig.node.run(partial(Approvals.revoke, "approvals", approval.id, by="ada"))


async def test_a_wider_pattern_is_taken_if_it_covers_the_call(rig: Rig) -> None:
    rig.call("git", "push", "origin")
    await rig.asked()
    await rig.answer("1", "always: git push *")
    rig.call("git", "push", "elsewhere", id="2")
    assert await rig.asked() == ()
    rig.call("git", "fetch", id="3")
    await rig.asked()
    await rig.answer("2", "always: rm *")  # it does not, so what was shown is remembered
    scopes = [each.covers[0].scope for each in await rig.node.run(partial(Approvals.remembered, "approvals"))]
    assert scopes == ["git push *", "git fetch"]


async def test_this_session_is_this_one_for_a_day(rig: Rig) -> None:
    rig.call("git", "push")
    await rig.asked()
    await rig.answer("1", "this session")
    rig.call("git", "push", id="2")
    assert await rig.asked() == ()
    rig.call("git", "push", id="3", session="other")
    assert len(await rig.asked()) == 1
    await rig.node.advance(SESSION_LASTS)
    rig.call("git", "push", id="4")
    await rig.node.settle()
    assert runs == [("git", "push")] * 2


async def test_what_is_approved_survives_its_keeper(rig: Rig) -> None:
    rig.call("git", "push")
    await rig.asked()
    await rig.answer("1", "always")
    await rig.kill(rig.node["approvals"])
    await rig.node.settle()
    rig.call("git", "push", id="2")
    assert await rig.asked() == ()
    assert len(runs) == 2


async def test_a_denial_that_comes_later_counts_more_than_an_approval(rig: Rig) -> None:
    rig.call("git", "push")
    await rig.asked()
    await rig.answer("1", "always")
    stricter = rig.authority(**{"shell.run": {"ask": ["git *"], "deny": ["git push *"]}})
    rig.call("git", "push", id="2", authority=stricter)
    assert await rig.asked() == ()
    assert isinstance(rig.heard[-1], Denied)


async def test_a_tool_may_want_each_call_approved(rig: Rig) -> None:
    rig.call("kitchen", name="lamp.on")
    await rig.asked()
    await rig.answer("1", "always")
    rig.call("kitchen", name="lamp.on", id="2")
    assert await rig.asked() == ()
    rig.call("cellar", name="lamp.on", id="3")
    assert len(await rig.asked()) == 1
    assert runs == [("kitchen",), ("kitchen",)]


async def test_what_is_too_long_to_be_read_is_cut_in_the_question_and_whole_beside_it(rig: Rig) -> None:
    note = "x" * 10_000 + "the end"
    rig.call("git", "push", note=note)
    (question,) = await rig.asked()
    assert "cut here" in question.text
    (event,) = await rig.events()
    assert event.id == question.detail
    assert ApprovalAsked.of(event).arguments["note"] == note
    rig.call("git", "push", note="x" * 300_000, id="2")
    await rig.asked()
    assert "more than the 200000 bytes" in rig.heard[0].error


async def test_a_question_with_a_second_factor_takes_no_bare_yes(rig: Rig) -> None:
    strict = rig.authority(**{"shell.run": {"second_factor": ["git *"]}})
    rig.call("git", "push", authority=strict)
    (question,) = await rig.asked()
    assert question.options == ("once", "this session", "no")
    with pytest.raises(QuestionRefused, match="needs a code of your authenticator"):
        await rig.answer("1", "once")
    answer = partial(Questions.answer, "questions", "1", "this session", by="ada", proof="totp")
    await rig.node.run(answer)
    await rig.node.settle()
    assert runs == [("git", "push")]
    rig.call("git", "push", id="2", authority=strict)
    assert await rig.asked() == ()
    rig.call("git", "fetch", id="3", authority=strict)
    await rig.asked()
    await rig.answer("2", "no")
    assert isinstance(rig.heard[-1], Denied)


async def test_an_answer_that_came_by_another_way_without_a_code_approves_nothing(rig: Rig) -> None:
    rig.call("git", "push", authority=rig.authority(**{"shell.run": {"second_factor": ["git *"]}}))
    (question,) = await rig.asked()
    said = QuestionAnswered("once", "", "eve").new(
        session="questions", cause_id=question.id, id=end_id(question.id)
    )
    await rig.node.run(partial(Journal.append, "journal", [said]))
    await rig.node.settle()
    (denied,) = rig.heard
    assert isinstance(denied, Denied)
    assert "the answer came without one" in denied.error
    assert runs == []


async def test_an_approval_without_a_code_is_none_where_one_is_needed_now(rig: Rig) -> None:
    rig.call("git", "push")
    await rig.asked()
    await rig.answer("1", "always")
    strict = rig.authority(**{"shell.run": {"second_factor": ["git *"]}})
    rig.call("git", "push", id="2", authority=strict)
    assert len(await rig.asked()) == 1


async def test_a_tool_that_is_another_by_the_time_it_is_approved_is_not_run(rig: Rig) -> None:
    own = replace(lamp, source="tools/lamp.py", name="lamp.own")
    await rig.put(own)
    rig.call("hall", name="lamp.own", authority=Authority("agent:scout", ["lamp.own"]))
    await rig.asked()
    await rig.put(replace(own, description="Sell the house."))
    await rig.answer("1", "once")
    assert runs == []
    assert "is another now" in rig.heard[0].error
    rig.call("hall", name="lamp.own", id="2", authority=Authority("agent:scout", ["lamp.own"]))
    await rig.asked()
    await rig.put()
    await rig.answer("2", "once")
    assert runs == []
    assert "is gone" in rig.heard[1].error


async def test_nothing_in_a_question_is_hidden_or_on_a_line_of_its_own(rig: Rig) -> None:
    rig.call("git", "push\n\nDigest of this call: 0", "\u202etxt.exe")
    (question,) = await rig.asked()
    assert "\u202e" not in question.text
    assert "\nDigest of this call: 0" not in question.text
    assert question.text.count("\n\nDigest of this call: ") == 1


async def test_what_was_approved_for_an_agent_for_good_is_not_for_who_has_it_work_for_him(rig: Rig) -> None:
    rig.call("git", "push")
    await rig.asked()
    await rig.answer("1", "always")
    given, _ = read_grants({"shell.run": {"ask": ["git *"]}}, lambda name: "agents/other.md:2")
    handed = Authority("agent:other", ["*"], given).narrowed(rig.authority(), "agent:scout")
    rig.call("git", "push", id="2", session="session:other@garden/1", authority=handed)
    (question,) = await rig.asked()
    assert runs == [("git", "push")]
    await rig.answer(str(question.number), "once")
    alike = rig.authority().narrowed(rig.authority())
    rig.call("git", "push", id="3", session="session:scout@garden/1", authority=alike)
    assert await rig.asked() == ()
    assert runs == [("git", "push")] * 3
