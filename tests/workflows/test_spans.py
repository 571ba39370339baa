"""What a run tells to those who measure it."""

import pytest

from planaria.cortex.telemetry.handlers import attach
from planaria.cortex.telemetry.signal import Signal, SpanFailed, SpanStopped
from planaria.membrane.tool import Failed
from planaria.otp import exit_signal
from tests.workflows.support import graph
from tests.workflows.world import as_markdown, world

LINE = {"a": {"ok": "b", "*": "fail"}, "b": {"ok": "end", "*": "fail"}}


@pytest.fixture
async def garden(tmp_path):
    async with world(tmp_path, seed=6) as made:
        made.write("test.md", as_markdown(graph(LINE)))
        yield made


def spans_of(signals: list[Signal], name: str) -> list[SpanStopped | SpanFailed]:
    return [s for s in signals if isinstance(s, SpanStopped | SpanFailed) and s.name == name]


async def test_a_run_is_a_span_with_one_for_each_step(garden):
    signals: list[Signal] = []
    attach(signals.append, node=garden.node)
    await garden.begin()
    run_id = await garden.start("test")
    await garden.finished(run_id)
    (run,) = spans_of(signals, "workflow.run")
    assert isinstance(run, SpanStopped)
    assert run.attributes == {"planaria.workflow": "test", "planaria.run": run_id, "planaria.outcome": "done"}
    steps = spans_of(signals, "workflow.step")
    assert [step.attributes["planaria.step"] for step in steps] == ["a", "b"]
    assert {step.under for step in steps} == {run.key}
    assert {step.trace_id for step in steps} == {run.trace_id}


async def test_a_step_that_fails_is_a_failed_span_with_the_same_keys(garden):
    signals: list[Signal] = []
    attach(signals.append, node=garden.node)
    garden.decide = lambda context, step: Failed("no such city")
    await garden.begin()
    await garden.finished(await garden.start("test"))
    (step,) = spans_of(signals, "workflow.step")
    assert isinstance(step, SpanFailed)
    assert (step.error_type, step.error) == ("failed", "no such city")
    assert step.attributes["planaria.branch"] == "failed"
    assert isinstance(spans_of(signals, "workflow.run")[0], SpanFailed)


async def test_a_run_that_is_taken_up_in_the_middle_of_a_step_goes_on_under_the_same_key(garden):
    signals: list[Signal] = []
    held = garden.hold("a")
    attach(signals.append, node=garden.node)
    await garden.begin()
    run_id = await garden.start("test")
    await garden.node.settle()

    async def kill(pid) -> None:
        exit_signal(pid, "kill")

    await garden.node.run(kill, garden.node[f"run:{run_id}"])
    held.set()
    await garden.finished(run_id)
    assert [s.key for s in spans_of(signals, "workflow.step")] == [f"run:{run_id}/a/1", f"run:{run_id}/b/1"]
