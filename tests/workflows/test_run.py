"""A run as a process: it survives kills, calls nothing twice that was finished, and can be stopped."""

import asyncio
import itertools
import tempfile
from collections.abc import Collection
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from planaria.cortex.durable.questions import Questions
from planaria.cortex.errors import StoreFull
from planaria.membrane.events import ApprovalAsked, tool_event_id
from planaria.membrane.tool import Context, Done, Failed
from planaria.otp import child, exit_signal, whereis
from planaria.workflows.engine import Workflows
from planaria.workflows.messages import Refused
from tests.workflows.graphs import random_outcome, random_workflow
from tests.workflows.support import graph
from tests.workflows.world import SlowStore, World, as_markdown, world

LINE = {"a": {"ok": "b", "*": "fail"}, "b": {"ok": "end", "*": "fail"}}


@pytest.fixture
async def garden(tmp_path):
    async with world(tmp_path, seed=1) as made:
        yield made


async def kill(place: World, name: str) -> None:
    """Kill a process and wait until everything is quiet again."""
    pid = place.node[name]

    async def shoot() -> None:
        exit_signal(pid, "kill")

    await place.node.run(shoot)
    await place.node.settle()


async def begin(place: World, workflow, **front) -> None:
    place.write("test.md", as_markdown(workflow, **front))
    await place.begin()


async def test_a_run_calls_its_tools_in_turn_and_ends(garden):
    await begin(garden, graph(LINE))
    view = await garden.finished(await garden.start("test"))
    assert (view.status, view.path) == ("done", ("a", "b"))
    assert [call["step"] for call in garden.arguments] == ["a", "b"]
    assert garden.node.whereis(f"run:{view.id}") is None


async def test_the_journal_tells_the_run_step_by_step(garden):
    await begin(garden, graph(LINE))
    run_id = await garden.start("test")
    await garden.finished(run_id)
    kinds = [event.kind for event in await garden.events(session=f"run:{run_id}")]
    assert kinds == [
        "workflow.run.started",
        "workflow.step.started",
        "tool.started",
        "tool.finished",
        "workflow.step.finished",
        "workflow.step.started",
        "tool.started",
        "tool.finished",
        "workflow.step.finished",
        "workflow.run.finished",
    ]


async def test_all_events_of_a_run_share_a_trace_and_each_has_a_cause(garden):
    await begin(garden, graph(LINE))
    run_id = await garden.start("test")
    await garden.finished(run_id)
    events = await garden.events(session=f"run:{run_id}")
    assert len({event.trace_id for event in events}) == 1
    ids = {event.id for event in events}
    assert all(event.cause_id in ids for event in events[1:])


async def test_tools_are_told_who_calls_and_may_use_nothing_the_workflow_does_not_name(garden):
    await begin(garden, graph({"a": {"*": "end"}}), room="garden")
    run_id = await garden.start("test")
    await garden.finished(run_id)
    (context,) = garden.calls
    assert (context.caller, context.session, context.room) == ("workflow:test", f"run:{run_id}", "garden")
    assert context.call_id == f"{run_id}/a/1/1"


async def test_a_run_killed_during_a_call_makes_that_call_again_and_no_other(garden):
    held = garden.hold("b")
    await begin(garden, graph(LINE))
    run_id = await garden.start("test")
    await garden.node.settle()
    await kill(garden, f"run:{run_id}")
    held.set()
    view = await garden.finished(run_id)
    assert (view.status, view.path) == ("done", ("a", "b"))
    assert [context.call_id for context in garden.calls] == [
        f"{run_id}/a/1/1",
        f"{run_id}/b/1/1",
        f"{run_id}/b/1/1",
    ]
    finished = await garden.events("workflow.step.finished", session=f"run:{run_id}")
    assert [event.payload["step"] for event in finished] == ["a", "b"]


async def test_a_killed_run_leaves_no_call_behind(garden):
    garden.hold("a")
    await begin(garden, graph(LINE))
    run_id = await garden.start("test")
    await garden.node.settle()
    before = sum(str(garden.node.info(pid).label).endswith("/a") for pid in garden.node.processes())
    await kill(garden, f"run:{run_id}")
    after = sum(str(garden.node.info(pid).label).endswith("/a") for pid in garden.node.processes())
    assert (before, after) == (1, 1)


async def test_a_call_whose_end_is_in_the_journal_is_not_made_again(garden):
    """The process dies between the tool's end and the step's."""
    await begin(garden, graph(LINE))
    order = []

    def decide(context: Context, step: str) -> Done | Failed:
        order.append(step)
        return Done(step)

    garden.decide = decide
    run_id = await garden.start("test")
    name = f"run:{run_id}"
    for _ in range(200):  # one scheduling step at a time, until the gate has noted the end of `a`
        events = await garden.events("tool.finished", session=name)
        if events:
            break
    if garden.node.whereis(name) is not None:
        await kill(garden, name)
    view = await garden.finished(run_id)
    assert view.status == "done"
    assert order.count("a") == 1


async def test_each_goes_on_at_the_element_that_was_not_finished(garden):
    ways = {"a": {"ok": "end", "*": "fail"}}
    arguments = {"step": "a{{ item }}", "item": "{{ item }}"}
    await begin(garden, graph(ways, a={"each": "{{ [1, 2, 3] }}", "arguments": arguments}))
    held = garden.hold("a2")
    run_id = await garden.start("test")
    await garden.node.settle()
    running = await garden.view(run_id)
    assert [(step.status, step.done, step.total) for step in running.steps] == [("running", 1, 3)]
    await kill(garden, f"run:{run_id}")
    held.set()
    view = await garden.finished(run_id)
    assert [call["item"] for call in garden.arguments] == [1, 2, 2, 3]
    assert view.results["a"] == ["a1", "a2", "a3"]


async def test_a_long_list_whose_arguments_cannot_be_filled_in_fails_in_small_appends(garden):
    arguments = {"step": "{{ item.title }}"}
    workflow = graph(
        {"a": {"failed": "b", "*": "end"}, "b": {"*": "end"}},
        a={"each": "{{ range(1000) }}", "arguments": arguments},
    )
    await begin(garden, workflow)
    view = await garden.finished(await garden.start("test"))
    assert (view.status, view.path) == ("done", ("a", "b"))
    assert (view.steps[0].done, view.steps[0].total) == (1000, 1000)
    assert "1000 of 1000 failed" in (view.steps[0].error or "")


async def test_a_failure_that_may_pass_is_tried_again_after_a_pause(garden):
    answers = iter([Failed("busy", retry=True), Failed("busy", retry=True), Done("at last")])
    garden.decide = lambda context, step: next(answers)
    await begin(garden, graph({"a": {"ok": "end", "*": "fail"}}, a={"retry": 2, "backoff": 10.0}))
    run_id = await garden.start("test")
    await garden.node.settle()
    view = await garden.view(run_id)
    assert view.steps[0].status == "retrying"
    await garden.node.advance(9.0)
    assert len(garden.calls) == 1
    await garden.node.advance(2.0)
    assert len(garden.calls) == 2
    view = await garden.finished(run_id)
    assert (view.status, view.steps[0].attempts) == ("done", 3)
    assert view.ended is not None and view.ended - view.started >= 30.0


async def test_a_run_killed_during_a_pause_waits_for_the_rest_of_it(garden):
    answers = iter([Failed("busy", retry=True), Done("at last")])
    garden.decide = lambda context, step: next(answers)
    await begin(garden, graph({"a": {"ok": "end", "*": "fail"}}, a={"retry": 1, "backoff": 100.0}))
    run_id = await garden.start("test")
    await garden.node.settle()
    await garden.node.advance(60.0)
    await kill(garden, f"run:{run_id}")
    await garden.node.advance(39.0)
    assert len(garden.calls) == 1
    await garden.node.advance(2.0)
    assert len(garden.calls) == 2


async def test_a_call_that_takes_too_long_is_killed_and_counts_as_failed(garden):
    garden.hold("a")
    await begin(garden, graph({"a": {"ok": "end", "*": "fail"}}, a={"timeout": 20.0}))
    run_id = await garden.start("test")
    await garden.node.settle()
    await garden.node.advance(21.0)
    view = await garden.view(run_id)
    assert (view.status, view.error) == ("failed", "no answer within 20 seconds")


async def test_a_tool_that_raises_takes_the_branch_failed(garden):
    def decide(context: Context, step: str) -> Done | Failed:
        raise ValueError("a bug")

    garden.decide = decide
    await begin(garden, graph({"a": {"failed": "b", "*": "end"}, "b": {"*": "end"}}))
    view = await garden.finished(await garden.start("test"))
    assert view.path == ("a", "b")
    assert "a bug" in (view.steps[0].error or "")


async def test_cancelling_kills_the_call_and_ends_the_run(garden):
    garden.hold("a")
    await begin(garden, graph(LINE))
    run_id = await garden.start("test")
    await garden.node.settle()
    assert await Workflows.cancel(garden.node["workflows"], run_id, "enough") is True
    view = await garden.finished(run_id)
    assert (view.status, view.error) == ("cancelled", "enough")
    assert view.steps[0].status == "cancelled"
    assert await Workflows.cancel(garden.node["workflows"], run_id) is False
    assert isinstance(await Workflows.cancel(garden.node["workflows"], "nothing"), Refused)


async def test_a_cancelled_run_is_told_only_when_the_journal_has_it_and_its_call_ends_at_once(garden):
    garden.hold("a")
    await begin(garden, graph(LINE))
    run_id = await garden.start("test")
    await garden.node.settle()
    commit = garden.store.hold_commits("workflow.run.finished")
    cancelling = asyncio.ensure_future(Workflows.cancel(garden.node["workflows"], run_id))
    await garden.node.settle()
    assert garden.left == ["a"]
    assert not cancelling.done()
    assert run_id in await Workflows.active(garden.node["workflows"])  # it does not wait for the run
    commit.set()
    assert await cancelling is True
    assert len(await garden.events("workflow.run.finished")) == 1


async def test_a_run_that_is_killed_while_it_is_cancelled_is_told_again(garden):
    garden.hold("a")
    await begin(garden, graph(LINE))
    run_id = await garden.start("test")
    await garden.node.settle()
    commit = garden.store.hold_commits("workflow.run.finished")
    cancelling = asyncio.ensure_future(Workflows.cancel(garden.node["workflows"], run_id))
    await garden.node.settle()
    garden.store.kind = ""
    await kill(garden, f"run:{run_id}")
    commit.set()
    await garden.node.advance(30.0)
    assert await cancelling is True
    view = await garden.finished(run_id)
    assert (view.status, len(garden.calls)) == ("cancelled", 1)


async def test_what_the_call_of_a_cancelled_run_has_asked_people_is_asked_no_longer(garden):
    garden.hold("a")
    await begin(garden, graph(LINE))
    await garden.node.start(child(Questions, name="questions"))
    run_id = await garden.start("test")
    await garden.node.settle()
    (made,) = garden.calls

    async def asked(key: str, detail: str = "") -> str:
        return await Questions.ask("May I?", key=key, by="workflow:test", detail=detail)

    approval = tool_event_id(made.session, made.call_id, ApprovalAsked.kind)
    await garden.node.run(asked, made.effect)
    await garden.node.run(asked, "the gate's", approval)
    other = await garden.node.run(asked, "of another run")
    assert await Workflows.cancel(garden.node["workflows"], run_id) is True
    await garden.node.settle()
    left = await Questions.pending(garden.node["questions"])
    assert [question.id for question in left] == [other]


async def test_while_the_journal_is_out_the_run_waits_and_calls_nothing_twice(garden):
    held = garden.hold("b")
    await begin(garden, graph(LINE))
    run_id = await garden.start("test")
    await garden.node.settle()
    garden.store.fault = StoreFull("no room", "free some")
    held.set()
    await garden.node.advance(30.0)
    garden.store.fault = None
    view = await garden.finished(run_id)
    assert view.status == "done"
    assert [call["step"] for call in garden.arguments].count("a") == 1
    assert len(await garden.events("workflow.step.finished", session=f"run:{run_id}")) == 2


async def test_a_run_that_always_dies_in_one_call_gives_that_call_up(garden):
    garden.hold("a")
    await begin(garden, graph({"a": {"*": "end", "failed": "b"}, "b": {"*": "end"}}))
    run_id = await garden.start("test")
    await garden.node.settle()
    for _ in range(6):
        await kill(garden, f"run:{run_id}")
    view = await garden.finished(run_id)
    assert view.path == ("a", "b")
    assert "interrupted" in (view.steps[0].error or "")


async def carried_out(folder: Path, seed: int, kills: Collection[int]) -> tuple[object, ...]:
    """Run a random workflow to its end.

    Each call's begin and end, and each commit's begin and end, is a moment; at those numbered in `kills` the
    process of the run is killed.
    """
    async with world(folder, seed=seed, store=SlowStore()) as place:
        moments = itertools.count()
        runs: list[str] = []

        def moment(session: str) -> None:
            if session.startswith("run:") and not runs:
                runs.append(session)
            if runs and next(moments) in kills and (pid := whereis(runs[0])) is not None:
                exit_signal(pid, "kill")

        def decide(context: Context, step: str) -> Done | Failed:
            moment(context.session)
            own = context.call_id.partition("/")[2]
            branch, retry = random_outcome(seed, own)
            return Failed(f"no luck with {own}", retry) if branch == "failed" else Done(own, branch)

        place.decide = decide
        place.store.point = moment
        place.write("random.md", as_markdown(random_workflow(seed)))
        await place.begin()
        run_id = await place.start("random")
        assert runs == [f"run:{run_id}"]
        view = await place.finished(run_id)
        finished = [
            (event.payload["step"], event.payload["visit"])
            for event in await place.events("workflow.step.finished", session=runs[0])
        ]
        items = [
            (event.payload["step"], event.payload["visit"], event.payload["index"])
            for event in await place.events("workflow.item.finished", session=runs[0])
        ]
        assert len(set(finished)) == len(finished), "a step was finished twice"
        assert len(set(items)) == len(items), "an element was finished twice"
        return view.status, view.path, view.error, tuple(finished), tuple(items), view.results


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 5_000), kills=st.sets(st.integers(0, 40), max_size=4))
async def test_a_run_killed_at_random_finishes_every_step_once_and_takes_the_same_path(seed, kills):
    with tempfile.TemporaryDirectory() as folder:
        whole = await carried_out(Path(folder), seed, ())
        cut = await carried_out(Path(folder), seed, kills)
    assert cut == whole


async def test_a_fact_that_was_written_late_is_not_written_again(garden):
    """The process is killed while its append waits for the disk; the one after it has read the journal before."""
    await begin(garden, graph(LINE))
    held = garden.hold("a")
    run_id = await garden.start("test")
    name = f"run:{run_id}"
    await garden.node.settle()
    commit = garden.store.hold_commits("workflow.step.finished")
    held.set()
    for _ in range(50):
        await garden.node.run(nothing)
    await shoot(garden, name)
    for _ in range(50):
        await garden.node.run(nothing)
    commit.set()
    view = await garden.finished(run_id)
    assert (view.status, view.path) == ("done", ("a", "b"))
    finished = await garden.events("workflow.step.finished", session=name)
    assert [event.payload["step"] for event in finished] == ["a", "b"]


async def nothing() -> None:
    """Gives the others a turn."""


async def shoot(place: World, name: str) -> None:
    """Kill at once, in the middle of whatever it does."""
    pid = place.node[name]

    async def fire() -> None:
        exit_signal(pid, "kill")

    await place.node.run(fire)
