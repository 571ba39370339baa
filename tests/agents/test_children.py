"""Children: tasks handed to sessions below one's own, whose results survive whatever is killed."""

import json
from pathlib import Path
from typing import Any

import pytest

from planaria.agents.children import with_household
from planaria.agents.guard.halting import Target
from planaria.agents.kinship import ChildFinished, child_stream
from planaria.agents.later import CHILD, children
from planaria.agents.stop import stop
from planaria.cortex.durable.work import Handler, Work
from planaria.membrane.gate.gate import Gate
from planaria.membrane.provider import ModelRequest
from planaria.membrane.web.outside import RETOLD, outside
from planaria.otp import child, exit_signal, supervisor
from planaria.otp.sys import suspend
from planaria.testing.models import Call, Calls, Line, Say, ScriptedProvider
from planaria.testing.node import TestNode
from planaria.tools.agents import ask, result
from tests.agents.support import SESSION, Book, TrapStore, World, again, once

SCOUT = """---
class: agent
tools: [work.*, agents.*]
grants: {agents.spawn: ["*"]}
---
You are scout.
"""
HELPER = "---\nclass: agent\ntools: [work.again, notes.read]\nrooms: [shed]\n---\nYou help.\n"


class Cast(ScriptedProvider):
    """One model that plays several agents: each has lines of its own, found by the words its instructions have."""

    def __init__(self, **lines: list[Line]) -> None:
        super().__init__()
        self.lines = lines

    async def stream(self, request: ModelRequest) -> Any:
        system = request.messages[0].content
        who = next(name for name in self.lines if f"You are {name}," in system)
        self._script = self.lines[who]
        async for piece in super().stream(request):
            yield piece

    def asked(self, who: str) -> list[ModelRequest]:
        return [r for r in self.requests if f"You are {who}," in r.messages[0].content]


@pytest.fixture
async def family(node: TestNode, tmp_path: Path) -> World:
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "scout.md").write_text(SCOUT)
    (tmp_path / "agents" / "helper.md").write_text(HELPER)
    return World(node, tmp_path, Cast(), TrapStore(), tools=(once, again, ask, result))


def cast(world: World, **lines: list[Line]) -> Cast:
    assert isinstance(world.provider, Cast)
    world.provider.lines = lines
    return world.provider


async def finished(world: World) -> list[ChildFinished]:
    return [ChildFinished.of(event) for event in await world.events("child.finished", session=None)]


async def test_a_child_does_its_task_and_its_parent_is_told(family: World):
    model = cast(
        family,
        scout=[Call("agents.ask", {"agent": "helper", "task": "count the ferns"}), "There are seven."],
        helper=[Call("work.again", {"what": "ferns"}), Say("Seven ferns.")],
    )
    await family.start()
    asked = await family.post("how many ferns?")
    assert await family.until_answered() == ["There are seven."]
    told = model.asked("scout")[1].messages[-1].content
    first, *_ = model.asked("helper")
    assert "working on a task for scout" in first.messages[0].content
    assert [m.content for m in first.messages[1:]] == ["count the ferns"]
    (end,) = await finished(family)
    stream = child_stream(SESSION, f"{asked.id}/0/0")
    assert told == outside("Seven ferns.", stream, RETOLD)  # what the child has read may speak through it
    assert (end.child, end.outcome, end.text, end.steps) == (stream, "answered", "Seven ferns.", 2)
    events = await family.events(session=stream)
    assert (events[0].kind, events[-2].kind, events[-1].kind) == (
        *("child.asked", "child.finished", "turn.finished"),
    )
    assert {event.trace_id for event in events} == {asked.id}
    assert (
        family.node.whereis(stream) is None and family.node.whereis(stream.removeprefix("session:")) is None
    )


async def test_a_child_may_do_no_more_than_its_parent_and_no_more_than_itself(family: World):
    model = cast(
        family,
        scout=[Call("agents.ask", {"agent": "helper", "task": "look"}), "ok"],
        helper=[Call("work.once", {"what": "x"}), "no"],
    )
    await family.start()
    await family.post()
    await family.until_answered()
    first, second = model.asked("helper")
    assert [tool.name for tool in first.tools] == [
        "work.again"
    ]  # notes.read is not scout's, work.once not helper's
    assert second.messages[-1].content.startswith("Denied: the tool 'work.once' is not granted")
    assert family.book.runs == []


async def test_naming_tools_gives_a_child_fewer_and_never_more(family: World):
    helped = {"agent": "helper", "task": "look"}
    model = cast(
        family,
        scout=[
            Calls(
                (
                    Call("agents.ask", {**helped, "tools": ["*"]}),
                    Call("agents.ask", {**helped, "tools": ["x.*"]}),
                )
            ),
            "ok",
        ],
        helper=["a", "b"],
    )
    await family.start()
    await family.post()
    await family.until_answered()
    offered = sorted([tool.name for tool in request.tools] for request in model.asked("helper"))
    assert offered == [[], ["work.again"]]


async def test_several_children_work_side_by_side_and_answer_in_order(family: World):
    calls = tuple(
        Call("agents.ask", {"agent": f"c{n}", "instructions": f"number {n}", "task": f"t{n}"})
        for n in range(3)
    )
    lines: dict[str, list[Line]] = {f"c{n}": [Call("work.once", {}), f"answer {n}"] for n in range(3)}
    model = cast(family, scout=[Calls(calls), "all"], **lines)
    family.book.held = {"once"}
    await family.start()
    await family.post()
    await family.node.settle()
    assert family.book.count("once") == 3
    family.book.release()
    await family.until_answered()
    told = [m.content for m in model.asked("scout")[1].messages if m.role == "tool"]
    assert [text.split("\n")[2] for text in told] == ["answer 0", "answer 1", "answer 2"]


async def test_an_answer_that_does_not_fit_its_schema_is_mended_once(family: World):
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    call = Call("agents.ask", {"agent": "helper", "task": "count", "schema": schema})
    model = cast(family, scout=[call, "seven"], helper=["about seven", '{"n": 7}'])
    await family.start()
    await family.post()
    await family.until_answered()
    first, second = model.asked("helper")
    assert first.response_schema == schema
    assert second.messages[-2].content == "about seven" and second.messages[-1].role == "user"
    (end,) = await finished(family)
    assert (end.outcome, end.value) == ("answered", {"n": 7})
    (done,) = await family.events("tool.finished")
    assert done.payload["outcome"]["value"]["result"] == {"n": 7}


async def test_an_answer_that_never_fits_is_a_failure_with_a_name(family: World):
    call = Call("agents.ask", {"agent": "helper", "task": "count", "schema": {"type": "object"}})
    model = cast(family, scout=[call, "none"], helper=["seven", "still seven"])
    await family.start()
    await family.post()
    await family.until_answered()
    (end,) = await finished(family)
    assert end.outcome == "invalid"
    assert "(invalid)" in model.asked("scout")[1].messages[-1].content


async def test_a_schema_that_cannot_be_checked_is_one_that_nothing_fits(family: World):
    schema = {"type": "object", "properties": {"n": {"$ref": "https://example.org/n.json"}}}
    call = Call("agents.ask", {"agent": "helper", "task": "count", "schema": schema})
    model = cast(family, scout=[call, "never mind"], helper=[Say('{"n": 1}'), Say('{"n": 2}')])
    await family.start()
    await family.post()
    assert await family.until_answered() == ["never mind"]
    assert len(model.asked("helper")) == 2
    (end,) = await finished(family)
    assert (end.outcome, "points outside itself" in end.text) == ("invalid", True)


@pytest.mark.parametrize("kill", ["session:scout@garden", "scout@garden", "CHILD", "tasks"])
async def test_a_killed_family_goes_on_and_nothing_is_asked_twice(family: World, kill: str):
    model = cast(
        family,
        scout=[Call("agents.ask", {"agent": "helper", "task": "look"}), "done"],
        helper=[Call("work.again", {"what": "x"}), "found it"],
    )
    family.book.held = {"again"}
    await family.start()
    asked = await family.post()
    await family.node.settle()
    stream = child_stream(SESSION, f"{asked.id}/0/0")
    assert family.book.count("again") == 1
    family.book.held = set()
    name = {"CHILD": stream, "tasks": f"tasks:{stream.removeprefix('session:')}"}.get(kill, kill)
    await family.kill(name)
    family.book.release()
    assert await family.until_answered() == ["done"]
    assert (len(model.asked("scout")), len(model.asked("helper"))) == (2, 2)
    (end,) = await finished(family)
    assert end.text == "found it"


async def test_a_result_that_was_written_before_the_parent_heard_of_it_is_not_lost(family: World):
    model = cast(
        family,
        scout=[Call("agents.ask", {"agent": "helper", "task": "look"}), "done"],
        helper=["found it"],
    )
    killed: list[str] = []

    def trap(when: str, number: int, kind: str) -> None:
        if not killed and family.store.has("child.finished"):
            killed.append(kind)
            exit_signal(family.node[SESSION], "kill")

    await family.start()
    family.store.trap = trap
    await family.post()
    assert await family.until_answered() == ["done"]
    assert killed
    assert len(model.asked("helper")) == 1
    assert model.asked("scout")[-1].messages[-1].content.split("\n")[2] == "found it"


async def test_depth_is_limited(family: World):
    def deeper(request: ModelRequest) -> Call | str:
        told = request.messages[-1]
        if told.role == "tool":
            return told.content
        return Call("agents.ask", {"agent": "deep", "instructions": "go on", "task": "deeper"})

    cast(family, scout=[deeper] * 2, deep=[deeper] * 6)
    await family.start()
    await family.post()
    (text,) = await family.until_answered()
    assert "children may stand 3 below one another" in text
    assert len(await finished(family)) == 3


async def test_what_cannot_be_asked_is_said(family: World):
    calls = Calls(
        (
            Call("agents.ask", {"agent": "nobody", "task": "x"}),
            Call("agents.ask", {"agent": "helper", "task": " "}),
            Call("agents.ask", {"agent": "helper", "task": "x", "schema": {"type": "nonsense"}}),
            Call("agents.ask", {"agent": "helper", "task": "x", "budget": {"euros": 1.0}}),
            Call("agents.ask", {"agent": "helper", "task": "x", "budget": {"tokens": 0.5}}),
            # What was approved for helper for good must not be had by taking its name.
            Call("agents.ask", {"agent": "helper", "task": "x", "instructions": "Do as I say."}),
            Call("agents.ask", {"agent": "you", "task": "x", "instructions": "Do as I say."}),
        )
    )
    model = cast(family, scout=[calls, "ok"])
    await family.start()
    await family.post()
    await family.until_answered()
    told = [m.content for m in model.asked("scout")[1].messages if m.role == "tool"]
    assert "agents: helper, scout" in told[0]
    assert "a task has 1 to" in told[1]
    assert "no JSON schema" in told[2]
    assert "a budget has usd, tokens, calls, seconds, not 'euros'" in told[3]
    assert "tokens is 0.5; it must be a whole number" in told[4]
    assert "the name 'helper' is taken" in told[5]
    assert "the name 'you' is taken" in told[6]


async def test_a_child_has_a_budget_of_its_own(family: World):
    call = Call("agents.ask", {"agent": "helper", "task": "look", "budget": {"calls": 2}})
    many: list[Line] = [*[Call("work.again", {"what": str(n)}) for n in range(2)], "this much"]
    model = cast(family, scout=[call, "ok"], helper=many)
    await family.start()
    await family.post()
    await family.until_answered()
    assert model.asked("helper")[-1].tool_choice == "none"
    assert (await finished(family))[0].text == "this much"


async def test_a_child_can_be_replayed(family: World):
    from planaria.agents.past.replay import replay
    from planaria.agents.past.source import StoredSource
    from planaria.agents.past.stored import sessions_of

    cast(family, scout=[Call("agents.ask", {"agent": "helper", "task": "look"}), "done"], helper=["found it"])
    await family.start()
    asked = await family.post()
    await family.until_answered()
    stream = child_stream(SESSION, f"{asked.id}/0/0")
    events = await family.events(session=None)
    assert sessions_of(events) == [SESSION]
    view = await replay(StoredSource(events), stream)
    assert [(step.kind, step.text, step.prompt) for step in view.steps] == [
        ("message", "look", ""),
        ("answer", "found it", "exact"),
    ]
    assert json.dumps(view.state.value) if view.state else False


async def test_a_child_that_nobody_waits_for_says_its_result_in_the_room(family: World):
    call = Call("agents.ask", {"agent": "helper", "task": "look", "wait": False})
    model = cast(
        family,
        scout=[call, "They are at it.", "Found it, they say."],
        helper=[Call("work.again", {"what": "x"}), "found it"],
    )
    family.book.held = {"again"}
    services = with_household(family.garden, Gate(family.tools), {Book: family.book})
    handlers = {CHILD: Handler(children(services))}
    tree = supervisor(
        family.tree(),
        child(Work, handlers, name="work"),
        name="all",
        strategy="rest_for_one",
        max_restarts=100,
    )
    await family.node.start(tree)
    await family.node.advance(0.5)
    await family.post("go")
    assert await family.until_answered() == ["They are at it."]
    family.book.held = set()
    await family.kill("agents")
    await family.kill("work")
    await family.kill("scout@garden")
    family.book.release()
    await family.node.advance(60.0)
    said = await family.said()
    assert [m.text for m in said if m.author == "scout"] == ["They are at it.", "Found it, they say."]
    (told,) = [m for m in said if m.author == "helper"]
    assert told.text.endswith("has finished:\n\nfound it") and told.to == ("scout",)
    assert len(model.asked("helper")) == 2


@pytest.mark.parametrize(
    ("path", "record"),
    [
        ("agents/scout.md", SCOUT.replace("tools: [work.*, ", "tools: [work.once, ")),
        ("agents/helper.md", HELPER.replace("work.again, ", "")),
    ],
)
@pytest.mark.parametrize("killed", [False, True])
async def test_what_is_taken_from_a_child_or_its_parent_while_it_works_is_taken_from_it(
    family: World, path: str, record: str, killed: bool
):
    cast(
        family,
        scout=[Call("agents.ask", {"agent": "helper", "task": "look"}), "ok", "ok"],
        helper=[Call("work.again", {"what": "x"}), Call("work.again", {"what": "y"}), "no", "no"],
    )
    family.book.held = {"again"}
    await family.start()
    asked = await family.post()
    await family.node.settle()
    assert family.book.count("again") == 1
    stream = child_stream(SESSION, f"{asked.id}/0/0")
    await family.save(path, record)
    if killed:
        await family.kill(stream)
        await family.node.advance(1.0)
    family.book.release()
    await family.until_answered()
    ends = [event.payload for event in await family.events("tool.finished", session=stream)]
    assert len(ends) == 2 and ends[1]["denied"]["scope"] == "work.again"
    assert {call for _, call in family.book.runs} == {ends[0]["call_id"]}


async def test_an_interrupt_leaves_alone_what_another_turn_has_set_to_work(family: World):
    call = Call("agents.ask", {"agent": "helper", "task": "look", "wait": False})
    cast(
        family,
        scout=[call, "They are at it.", Call("work.once", {}), "Yes?", "Found it, they say."],
        helper=[Call("work.again", {"what": "x"}), "found it"],
    )
    family.book.held = {"again", "once"}
    services = with_household(family.garden, Gate(family.tools), {Book: family.book})
    work = child(Work, {CHILD: Handler(children(services))}, name="work")
    await family.node.start(supervisor(family.tree(), work, name="all", strategy="rest_for_one"))
    await family.node.advance(0.5)
    await family.post("go")
    assert await family.until_answered() == ["They are at it."]
    await family.post("and now this")
    await family.node.settle()
    await family.post("/interrupt stop that")
    await family.node.advance(5.0)
    family.book.release()
    await family.node.advance(60.0)
    (end,) = await finished(family)
    assert (end.outcome, end.text) == ("answered", "found it")


async def test_children_end_with_the_turn_that_is_stopped(family: World):
    cast(
        family,
        scout=[Call("agents.ask", {"agent": "helper", "task": "look"}), "?"],
        helper=[Call("work.again", {"what": "x"}), "found it"],
    )
    family.book.held = {"again"}
    await family.start()
    asked = await family.post()
    await family.node.settle()
    stream = child_stream(SESSION, f"{asked.id}/0/0")
    assert family.node.whereis(stream) is not None
    await family.post("/stop enough")
    await family.node.advance(5.0)
    assert family.node.whereis(stream) is None
    (end,) = await finished(family)
    assert end.outcome == "stopped"


async def at_work(world: World, *, at_once: int = 16) -> None:
    """Start all, with the queue that runs children nobody waits for."""
    services = with_household(world.garden, Gate(world.tools), {Book: world.book})
    work = child(Work, {CHILD: Handler(children(services), at_once=at_once)}, name="work")
    await world.node.start(
        supervisor(world.tree(), work, name="all", strategy="rest_for_one", max_restarts=100)
    )
    await world.node.advance(0.5)


@pytest.mark.parametrize("how", ["session", "room", "agent", "all", "child's agent", "/stop"])
@pytest.mark.parametrize("idle", [True, False], ids=["parent idle", "parent at work"])
async def test_children_that_nobody_waits_for_are_stopped_and_begin_nothing_again(
    family: World, how: str, idle: bool
):
    """Three were asked for, one has begun; with the stop all end, and nobody is woken to hear of it."""
    spawn = Call("agents.ask", {"agent": "helper", "task": "look", "wait": False})
    model = cast(
        family,
        scout=[Calls((spawn, spawn, spawn)), "They are at it." if idle else Call("work.once", {}), "again?"],
        helper=[Call("work.again", {"what": "x"}), "found it"] * 3,
    )
    family.book.held = {"again", "once"}
    await at_work(family, at_once=1)
    await family.post("go")
    await family.node.advance(5.0)
    assert (family.book.count("again"), family.book.count("once")) == (1, 0 if idle else 1)
    targets = {
        "session": Target("session", "scout@garden"),
        "room": Target("room", "garden"),
        "agent": Target("agent", "scout"),
        "child's agent": Target("agent", "helper"),
        "all": Target("all"),
    }
    if how == "/stop":
        await family.post("/stop")
    else:
        await family.run(stop, targets[how], by="ada")
    family.book.held.clear()
    for victim in ("work", SESSION, "journal"):
        await family.kill(victim)
        await family.node.advance(60.0)
    assert (family.book.count("again"), len(model.asked("helper"))) == (1, 1)
    assert [end.outcome for end in await finished(family)] == ["stopped"] * 3
    alone = how == "child's agent" and not idle
    assert len(model.asked("scout")) == (3 if alone else 2)
    assert await family.run(Work.jobs, "work") == ()
    said = [m.text.rpartition("\n")[2] for m in await family.said() if m.author_kind != "person"]
    if idle:
        assert said == ["They are at it."] + ["(stopped by ada)"] * 3
    elif not alone:
        assert said == ["(stopped by ada)"]


@pytest.mark.parametrize("word", ["/stop", "/stop @scout", "/stop @helper", "stop"])
async def test_children_of_an_idle_parent_end_by_a_word_though_all_is_killed_before_it_takes_hold(
    family: World, word: str
):
    spawn = Call("agents.ask", {"agent": "helper", "task": "look", "wait": False})
    model = cast(
        family,
        scout=[Calls((spawn, spawn)), "They are at it.", *["Well."] * 9],
        helper=[Call("work.again", {"what": "x"}), *["found it"] * 9],
    )
    family.book.held = {"again"}
    await at_work(family, at_once=1)
    await family.post("go")
    await family.node.advance(5.0)
    await family.run(suspend, SESSION)  # it has no time to do anything
    await family.post(word)
    await family.kill("root")
    family.book.release()
    await family.node.advance(60.0)
    stopped = word in ("/stop", "/stop @scout")
    assert [end.outcome for end in await finished(family)] == ["stopped" if stopped else "answered"] * 2
    assert stopped is (len(model.asked("helper")) == 1)
    assert stopped is (len(model.asked("scout")) == 2)
