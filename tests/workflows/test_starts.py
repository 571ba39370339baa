"""A run is started once, whatever is asked twice; one that never can run becomes a dead letter."""

from collections.abc import Sequence

import msgspec
import pytest

from planaria.cortex.errors import StoreFailed
from planaria.cortex.event import Event, NewEvent
from planaria.cortex.journal import Journal
from planaria.cortex.query import Query
from planaria.cortex.store import Draft, Fence
from planaria.cortex.store import Outcome as Written
from planaria.membrane.tool import Done, Failed
from planaria.otp import exit_signal
from planaria.workflows.engine import Workflows
from planaria.workflows.events import RunFinished, RunStarted
from planaria.workflows.messages import Refused, run_name
from tests.workflows.support import graph, started
from tests.workflows.world import SlowStore, World, as_markdown, world

LINE = {"a": {"ok": "b", "*": "fail"}, "b": {"ok": "end", "*": "fail"}}


class SilentStore(SlowStore):
    """A store that writes the next append with an event of this kind, and then says that it failed."""

    silent = ""

    async def append(
        self, batch: Sequence[Sequence[Draft]], fences: Sequence[Fence | None] = ()
    ) -> list[Written]:
        written = await super().append(batch, fences)
        if self.silent and any(draft.kind == self.silent for drafts in batch for draft in drafts):
            self.silent = ""
            raise StoreFailed("the disk went away", "wait")
        return written


@pytest.fixture
async def garden(tmp_path):
    async with world(tmp_path, seed=4, store=SilentStore()) as made:
        made.write("test.md", as_markdown(graph(LINE)))
        yield made


async def ask(place: World, key: str) -> str | Refused:
    answer: str | Refused = await Workflows.start_run(
        place.node["workflows"], "test", "agent:scout", {}, key=key
    )
    return answer


async def starts(place: World) -> list[Event]:
    return await place.events(RunStarted.kind)


async def letters(place: World) -> list[Event]:
    return await Journal.read(place.node["journal"], Query(kinds=("dead.lettered",)))


async def kill(place: World, name: str) -> None:
    async def fire(pid) -> None:
        exit_signal(pid, "kill")

    await place.node.run(fire, place.node[name])
    await place.node.settle()


async def test_the_same_key_twice_is_one_run(garden):
    await garden.begin()
    first = await ask(garden, "call-1")
    assert await ask(garden, "call-1") == first
    assert await ask(garden, "call-2") != first
    assert len(await starts(garden)) == 2


@pytest.mark.parametrize("lost", ["workflows", "workflow_floor"])
async def test_the_same_key_after_a_restart_is_one_run(garden, lost):
    await garden.begin()
    first = await ask(garden, "call-1")
    await garden.finished(first)
    await kill(garden, lost)
    assert await ask(garden, "call-1") == first
    assert len(await starts(garden)) == 1


async def test_a_key_of_a_run_that_is_long_forgotten_is_still_one_run(garden):
    await garden.begin()
    first = await ask(garden, "call-1")
    await garden.finished(first)
    garden.node.state(garden.node["workflows"])["ledger"].recent.clear()
    assert await ask(garden, "call-1") == first
    await garden.node.settle()
    assert len(await starts(garden)) == 1
    assert garden.node.state(garden.node["workflows"])["ledger"].active == {}


async def test_a_start_that_was_written_without_an_answer_runs_once(garden):
    await garden.begin()
    garden.store.silent = RunStarted.kind
    refused = await ask(garden, "call-1")
    assert isinstance(refused, Refused) and refused.retry
    run_id = await ask(garden, "call-1")
    assert isinstance(run_id, str)
    assert (await garden.finished(run_id)).status == "done"
    assert len(await starts(garden)) == 1


async def test_a_start_that_was_written_without_an_answer_runs_though_nobody_asks_again(garden):
    await garden.begin()
    garden.store.silent = RunStarted.kind
    refused = await Workflows.start_run(garden.node["workflows"], "test", "hand", {})
    assert isinstance(refused, Refused) and not refused.retry
    await garden.node.advance(2.0)
    (start,) = await starts(garden)
    assert (await garden.finished(start.payload["run"])).status == "done"


async def test_a_slot_whose_start_was_written_without_an_answer_runs_once(garden):
    garden.write("test.md", as_markdown(graph(LINE), schedule="*/15 * * * *"))
    garden.store.silent = RunStarted.kind
    await garden.begin()
    await garden.node.advance(20 * 60)
    assert len(await starts(garden)) == 1
    assert len(await garden.events(RunFinished.kind)) == 1


async def test_a_slot_that_never_can_run_is_skipped_and_becomes_a_dead_letter(garden):
    garden.write("test.md", as_markdown(graph(LINE), schedule="*/15 * * * *", inputs=["who"]))
    await garden.begin()
    await garden.node.advance(20 * 60)
    (letter,) = await letters(garden)
    assert letter.payload["letter"] == "workflow.start"
    assert "needs the input 'who'" in letter.payload["reason"]
    assert letter.payload["evidence"]["workflow"] == "test"
    assert len(await garden.events("workflow.slot.skipped")) == 1


async def test_a_run_whose_facts_cannot_be_read_ends_as_a_dead_letter_and_hurts_no_other(garden):
    await garden.begin()
    fact = started(graph(LINE), run="R-LATER")
    later = msgspec.structs.replace(fact.new(session=run_name("R-LATER"), id="R-LATER.00000"), version=99)
    broken = msgspec.structs.replace(
        started(graph(LINE), run="R-BROKEN").new(session=run_name("R-BROKEN"), id="R-BROKEN.00000"),
        payload={**fact.new().payload, "run": "R-BROKEN", "definition": {"start": "a", "nonsense": 1}},
    )
    await garden.node.run(_append, [later, broken])
    await kill(garden, "workflow_floor")
    good = await garden.start("test")
    assert (await garden.finished(good)).status == "done"
    (letter,) = await letters(garden)
    assert letter.payload["target"] == "R-BROKEN"
    assert "cannot be read" in letter.payload["reason"]
    ended = [
        e.payload["run"] for e in await garden.events(RunFinished.kind) if e.payload["status"] == "failed"
    ]
    assert ended == ["R-BROKEN"]
    assert garden.node.state(garden.node["workflows"])["ledger"].active == {}


async def _append(events) -> None:
    await Journal.append("journal", events)


async def test_the_attempts_of_a_step_have_one_effect_in_common(garden):
    garden.write("test.md", as_markdown(graph(LINE, a={"retry": 1})))
    garden.decide = lambda context, step: (
        Failed("busy", retry=True) if context.call_id.endswith("/a/1/1") else Done(step)
    )
    await garden.begin()
    await garden.finished(await garden.start("test"))
    first, second, other = garden.calls
    assert first.call_id != second.call_id
    assert first.effect == second.effect != other.effect


async def test_what_ends_one_call_and_begins_the_next_is_one_append(garden):
    await garden.begin()
    before = len(garden.store.batches)
    run_id = await garden.start("test")
    await garden.finished(run_id)
    events = await garden.events(session=run_name(run_id))
    assert len(garden.store.batches) - before == 4
    assert [event.kind for event in events] == [
        *("workflow.run.started", "workflow.step.started", "tool.started"),
        *("tool.finished", "workflow.step.finished", "workflow.step.started", "tool.started"),
        *("tool.finished", "workflow.step.finished", "workflow.run.finished"),
    ]


async def test_the_outcome_of_a_call_that_ends_while_the_journal_fails_is_kept(garden):
    held = garden.hold("a")
    await garden.begin()
    run_id = await garden.start("test")
    await garden.node.settle()
    garden.store.fault = StoreFailed("the disk went away", "wait")
    held.set()
    await garden.node.advance(120.0)  # longer than a call may take
    garden.store.fault = None
    view = await garden.finished(run_id)
    assert (view.status, view.results) == ("done", {"a": "a", "b": "b"})
    assert [call.call_id.rpartition("/")[0] for call in garden.calls] == [f"{run_id}/a/1", f"{run_id}/b/1"]


async def test_an_answer_that_cannot_be_written_down_takes_the_branch_failed(garden):
    odd = NewEvent("test.memory", {"text": "half \ud800"}, session="memory")
    garden.decide = lambda context, step: Done(step, events=(odd,) if step == "a" else ())
    garden.write("test.md", as_markdown(graph({"a": {"ok": "end", "*": "b"}, "b": {"*": "end"}})))
    await garden.begin()
    view = await garden.finished(await garden.start("test"))
    assert view.status == "done"
    assert "cannot be written down" in str(view.steps[0].error)
