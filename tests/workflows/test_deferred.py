"""Runs that are started by the queue of work: once for each job; what never can be started is said so."""

import pytest

from planaria.cortex.durable.job import Job, Retry
from planaria.cortex.durable.letters import DeadLettered, letter
from planaria.cortex.durable.work import GiveUp
from planaria.cortex.errors import StoreFailed
from planaria.otp import CallError
from planaria.workflows.deferred import restart, start
from planaria.workflows.events import RunStarted
from planaria.workflows.messages import START
from tests.workflows.support import graph
from tests.workflows.world import SlowStore, World, as_markdown, world


class FullStore(SlowStore):
    """A store that takes nothing while it is full."""

    full = False

    async def append(self, batch, fences=()):
        if self.full:
            raise StoreFailed("the disk is full", "make room")
        return await super().append(batch, fences)


@pytest.fixture
async def garden(tmp_path):
    async with world(tmp_path, seed=4, store=FullStore()) as made:
        workflow = graph({"a": {"ok": "end", "*": "fail"}})
        made.write("test.md", as_markdown(workflow, inputs={"day": None}))
        await made.begin()
        yield made


def job(name: str = "test", **arguments: object) -> Job:
    payload = {"workflow": name, "arguments": arguments}
    return Job("job-1", START, payload, 0.0, 0.0, Retry(), trace_id="t")


async def begun(place: World) -> list[RunStarted]:
    return [RunStarted.of(event) for event in await place.events(RunStarted.kind)]


async def test_a_job_starts_a_run_with_its_arguments(garden):
    answer = await garden.node.run(start, job(day="monday"))
    (run,) = await begun(garden)
    assert answer == {"run": run.run}
    assert (run.workflow, run.arguments, run.trigger) == ("test", {"day": "monday"}, "later")


async def test_an_attempt_that_is_made_again_is_the_same_run(garden):
    first = await garden.node.run(start, job(day="monday"))
    assert await garden.node.run(start, job(day="monday")) == first
    assert len(await begun(garden)) == 1


@pytest.mark.parametrize(("wanted", "why"), [("tset", "no workflow 'tset'"), ("test", "day")])
async def test_what_never_can_be_started_is_given_up_with_the_reason(garden, wanted, why):
    with pytest.raises(GiveUp, match=why):
        await garden.node.run(start, job(wanted))
    assert await begun(garden) == []


async def test_a_start_that_cannot_be_written_down_now_is_tried_again(garden):
    garden.store.full = True
    with pytest.raises(CallError, match="the disk is full"):
        await garden.node.run(start, job(day="monday"))
    garden.store.full = False
    await garden.node.run(start, job(day="monday"))
    assert len(await begun(garden)) == 1


async def test_a_letter_starts_the_run_once_more_with_the_arguments_it_had(garden):
    evidence = {"run": "lost", "workflow": "test", "arguments": {"day": "monday"}}
    dead: DeadLettered = letter(START, "its facts cannot be read", target="lost", evidence=evidence)
    answer = await garden.node.run(restart, dead, job())
    (run,) = await begun(garden)
    assert answer == {"run": run.run}
    assert (run.arguments, run.trigger) == ({"day": "monday"}, "replay")


async def test_a_letter_without_evidence_is_given_up(garden):
    with pytest.raises(GiveUp, match="no workflow ''"):
        await garden.node.run(restart, letter(START, "erased", target="lost"), job())
