"""Steps whose call was cut off or took too long: what their tool's policy makes of it."""

from functools import partial
from typing import Any

import pytest

from planaria.cortex.durable.questions import Questions
from planaria.membrane.tool import Context, Done, Failed, OnUnknown, Tool, tool
from planaria.otp import child, exit_signal, hang
from tests.workflows.support import graph
from tests.workflows.test_run import begin, kill
from tests.workflows.world import World, world

STEP = {"a": {"ok": "end", "*": "fail"}}


@pytest.fixture
async def garden(tmp_path):
    async with world(tmp_path, seed=1) as made:
        yield made


def with_policy(garden: World, policy: OnUnknown, waits: bool = False) -> None:
    """Let the garden's tool have this policy; its first call never ends."""

    def make() -> Tool:
        @tool(name="test.step", branches=("ok", "other"), on_unknown=policy, waits=waits)
        async def stepping(context: Context, step: str, item: int | None = None) -> Done | Failed:
            """A step.

            Args:
                step: which.
                item: of a list.
            """
            garden.calls.append(context)
            if len(garden.calls) == 1:
                await hang()
            return Done(step)

        return stepping

    garden.tool = make  # type: ignore[method-assign]


async def start(garden: World, **step: Any) -> str:
    await begin(garden, graph(STEP, a={"timeout": 20.0, **step}))
    await garden.node.start(child(Questions, name="questions"))
    run_id = await garden.start("test")
    await garden.node.settle()
    return run_id


async def test_a_call_that_was_cut_off_and_may_not_be_repeated_fails(garden):
    with_policy(garden, "fail")
    run_id = await start(garden)
    await kill(garden, f"run:{run_id}")
    view = await garden.finished(run_id)
    assert view.status == "failed"
    assert len(garden.calls) == 1


async def kill_call(garden: World) -> None:
    """Kill the task that makes the call."""
    (task,) = [
        each for each in garden.node.processes() if each.label.startswith("run:") and "/" in each.label
    ]

    async def end() -> None:
        exit_signal(task, "kill")

    await garden.node.run(end)
    await garden.node.settle()


@pytest.mark.parametrize(("policy", "status", "calls"), [("fail", "failed", 1), ("retry", "done", 2)])
async def test_a_call_whose_task_is_killed_alone_is_one_that_was_cut_off(garden, policy, status, calls):
    with_policy(garden, policy)
    run_id = await start(garden)
    await kill_call(garden)
    assert (await garden.finished(run_id)).status == status
    assert len(garden.calls) == calls
    assert len(await garden.events("tool.finished", session=f"run:{run_id}")) == 1


async def test_a_person_is_asked_for_as_long_as_it_takes(garden):
    with_policy(garden, "ask")
    run_id = await start(garden, retry=3)
    await kill(garden, f"run:{run_id}")
    await garden.node.advance(3600.0)  # the step's own limit is 20 seconds
    assert (await garden.view(run_id)).status == "running"
    answer = partial(Questions.answer, "questions", "1", "it did", by="ada")
    await garden.node.run(answer)
    assert (await garden.finished(run_id)).status == "done"
    assert len(garden.calls) == 1


async def test_a_call_that_took_too_long_is_tried_again_only_if_its_tool_may_be_repeated(garden):
    with_policy(garden, "fail")
    run_id = await start(garden, retry=3)
    assert (await garden.finished(run_id)).status == "failed"
    assert len(garden.calls) == 1


async def test_one_that_may_be_repeated_is_tried_again(garden):
    with_policy(garden, "retry")
    run_id = await start(garden, retry=3)
    assert (await garden.finished(run_id)).status == "done"
    assert len(garden.calls) == 2


async def test_a_tool_that_waits_is_given_the_time_it_takes(garden):
    with_policy(garden, "retry", waits=True)
    run_id = await start(garden)
    await garden.node.advance(3600.0)
    assert (await garden.view(run_id)).status == "running"
    assert len(garden.calls) == 1


async def test_a_step_that_needs_a_person_waits_over_kills_and_is_made_once(garden):
    def make() -> Tool:
        @tool(name="test.step", branches=("ok", "other"), ask=True)
        async def stepping(context: Context, step: str, item: int | None = None) -> Done | Failed:
            """A step.

            Args:
                step: which.
                item: of a list.
            """
            garden.calls.append(context)
            return Done(step)

        return stepping

    garden.tool = make
    run_id = await start(garden, retry=3)
    await garden.node.advance(3600.0)  # the step's own limit is 20 seconds
    await kill_call(garden)  # the task alone, then its run
    await kill(garden, f"run:{run_id}")
    (question,) = await Questions.pending(garden.node["questions"])
    assert (question.by, len(garden.calls)) == ("workflow:test", 0)
    answer = partial(Questions.answer, "questions", "1", "once", by="ada")
    await garden.node.run(answer)
    assert (await garden.finished(run_id)).status == "done"
    assert len(garden.calls) == 1
    kinds = [event.kind for event in await garden.events(session=f"run:{run_id}")]
    assert [kind for kind in kinds if not kind.startswith("workflow.")] == [
        *("approval.asked", "tool.started", "approval.decided", "tool.finished")
    ]
