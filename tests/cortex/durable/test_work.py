import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planaria.cortex.durable.job import MOST_CUT_OFF, Job, Plan, Retry, submission
from planaria.cortex.durable.work import GiveUp, Handler, Work, WorkRefused
from planaria.cortex.errors import EventRefused
from planaria.cortex.event import Event
from planaria.cortex.folded import LEAST_EVENTS
from planaria.cortex.journal import Journal
from planaria.cortex.query import Query
from planaria.otp import NoProcess, child, exit_signal, hang, sleep, supervisor, wait_down, whereis
from planaria.testing.memory_store import MemoryStore
from planaria.testing.node import TestNode, running_node

HOUR = 3600.0
QUICK = Retry(attempts=3, first=10.0, factor=2.0, longest=100.0, jitter=0.0)


class Rig:
    """A queue on a store that outlives it. `done` holds what had an effect, `tries` every attempt."""

    def __init__(self, node: TestNode, store: MemoryStore) -> None:
        self.node = node
        self.store = store
        self.tries: list[str] = []
        self.done: list[str] = []
        self.faults: dict[str, list[BaseException]] = {}

    async def start(self, **handlers: Handler) -> None:
        await self.node.start(child_journal(self.store))
        known = {"note": Handler(self.note), "hang": Handler(self.hang, within=50.0), **handlers}
        await self.node.start(child_work(known))

    async def note(self, job: Job) -> str:
        what = job.payload["what"]
        self.tries.append(what)
        if faults := self.faults.get(what):
            raise faults.pop(0)
        if what not in self.done:
            self.done.append(what)
        return f"noted {what}"

    async def slowly(self, job: Job) -> str:
        await sleep(1.5)
        said = await self.note(job)
        await sleep(1.5)
        return said

    async def hang(self, job: Job) -> None:
        self.tries.append(job.payload["what"])
        await hang()

    async def submit(self, what: str, kind: str = "note", after: float = 0.0, **settings: Any) -> str:
        at = self.wall() + after if after else 0.0
        submit = partial(Work.submit, "work", kind, {"what": what}, at=at, **settings)
        return await self.run(submit)

    async def run[T](self, what: Callable[[], Awaitable[T]]) -> T:
        return await self.node.run(what)

    def wall(self) -> float:
        return self.node.virtual_clock.wall()

    async def kill(self, name: str = "work") -> None:
        async def kill() -> None:
            pid = whereis(name)
            assert pid is not None
            exit_signal(pid, "kill")
            await wait_down(pid)

        await self.run(kill)
        await self.node.settle()

    async def jobs(self) -> tuple[Job, ...]:
        return await self.run(partial(Work.jobs, "work"))

    async def kinds(self, session: str = "work") -> list[str]:
        events: list[Event] = await self.run(partial(Journal.read, "journal", Query(session=session)))
        return [event.kind.removeprefix("work.") for event in events]


def child_journal(store: MemoryStore) -> Any:
    return child(Journal, lambda: store, name="journal")


def child_work(handlers: dict[str, Handler]) -> Any:
    return supervisor(child(Work, handlers, name="work"), max_restarts=1000, within=1.0)


@pytest.fixture
async def rig(node: TestNode) -> Rig:
    rig = Rig(node, MemoryStore())
    await rig.start()
    return rig


async def test_a_job_submitted_while_the_queue_is_being_started_is_taken(node: TestNode) -> None:
    rig = Rig(node, MemoryStore())
    await rig.node.start(child_journal(rig.store))
    submitting = asyncio.ensure_future(rig.submit("early"))
    await rig.node.advance(3.0)
    await rig.node.start(child_work({"note": Handler(rig.note)}))
    await rig.node.advance(3.0)
    await submitting
    assert rig.done == ["early"]


async def test_a_job_for_a_queue_that_does_not_come_is_refused_in_the_end(node: TestNode) -> None:
    rig = Rig(node, MemoryStore())
    await rig.node.start(child_journal(rig.store))
    submitting = asyncio.ensure_future(rig.submit("early"))
    await rig.node.advance(11.0)
    with pytest.raises(NoProcess):
        await submitting


async def test_work_without_a_time_is_done_at_once_and_once(rig: Rig) -> None:
    await rig.submit("a")
    await rig.node.settle()
    assert rig.done == rig.tries == ["a"]
    assert await rig.kinds() == ["submitted", "started", "finished"]
    assert await rig.jobs() == ()


async def test_work_waits_for_its_time_as_an_entry_and_no_task(rig: Rig) -> None:
    before = len(rig.node.processes())
    for number in range(50):
        await rig.submit(f"{number}", after=HOUR + number)
    await rig.node.settle()
    assert len(rig.node.processes()) == before
    await rig.node.advance(HOUR - 1)
    assert rig.done == []
    await rig.node.advance(1.5)
    assert rig.done == ["0"]
    await rig.node.advance(100)
    assert len(rig.done) == 50


async def test_work_with_a_key_is_one_job_however_often_it_is_submitted(rig: Rig) -> None:
    first = await rig.submit("a", key="k")
    await rig.node.settle()
    assert await rig.submit("a", key="k") == first
    await rig.node.settle()
    assert rig.tries == ["a"]


async def test_what_fails_is_tried_again_after_growing_rests(rig: Rig) -> None:
    rig.faults["a"] = [ValueError("one"), ValueError("two")]
    await rig.submit("a", retry=QUICK)
    await rig.node.settle()
    (job,) = await rig.jobs()
    assert (job.standing, job.failures) == ("resting", 1)
    assert "ValueError: one" in job.errors[0]
    await rig.node.advance(9.0)
    assert len(rig.tries) == 1
    await rig.node.advance(1.5)
    assert len(rig.tries) == 2
    await rig.node.advance(19.0)
    assert rig.done == []
    await rig.node.advance(2.0)
    assert rig.done == ["a"]


async def test_rests_survive_a_restart(rig: Rig) -> None:
    rig.faults["a"] = [ValueError("one")]
    await rig.submit("a", retry=QUICK)
    await rig.node.advance(5.0)
    await rig.kill()
    await rig.node.advance(4.0)
    assert rig.done == []
    await rig.node.advance(1.5)
    assert rig.done == ["a"]


async def test_after_its_last_attempt_it_is_a_dead_letter_with_all_errors(rig: Rig) -> None:
    rig.faults["a"] = [ValueError(word) for word in ("one", "two", "three")]
    await rig.submit("a", retry=QUICK, label="note a", by="agent:scout")
    await rig.node.advance(100.0)
    assert await rig.jobs() == ()
    assert (await rig.kinds())[-1] == "died"
    (dead,) = await rig.run(partial(Journal.read, "journal", Query(session="dead")))
    assert dead.payload["letter"] == "work"
    assert "three" in dead.payload["reason"]
    assert len(dead.payload["evidence"]["errors"]) == 3
    assert dead.payload["evidence"]["label"] == "note a"


async def test_a_handler_may_give_up_at_once(rig: Rig) -> None:
    rig.faults["a"] = [GiveUp("there is no such room")]
    await rig.submit("a")
    await rig.node.settle()
    (dead,) = await rig.run(partial(Journal.read, "journal", Query(session="dead")))
    assert dead.payload["reason"] == "there is no such room"


async def test_work_is_cancelled_before_its_time_and_while_it_runs(rig: Rig) -> None:
    later = await rig.submit("a", after=HOUR)
    running = await rig.submit("b", "hang")
    await rig.node.settle()
    assert await rig.run(partial(Work.cancel, "work", later, by="ada"))
    assert await rig.run(partial(Work.cancel, "work", running))
    assert not await rig.run(partial(Work.cancel, "work", running))
    await rig.node.advance(2 * HOUR)
    assert rig.tries == ["b"]
    assert await rig.jobs() == ()


async def test_an_attempt_without_an_end_is_ended_and_tried_again(rig: Rig) -> None:
    await rig.submit("a", "hang", retry=QUICK)
    await rig.node.advance(51.0)
    (job,) = await rig.jobs()
    assert job.errors == ("no end within 50 seconds",)
    await rig.node.advance(10.0)
    assert rig.tries == ["a", "a"]


async def test_an_attempt_whose_queue_was_killed_is_made_again(rig: Rig) -> None:
    await rig.submit("a", "hang", retry=QUICK)
    await rig.node.settle()
    await rig.kill()
    await rig.node.advance(10.5)
    assert rig.tries == ["a", "a"]
    (job,) = await rig.jobs()
    assert (job.failures, job.cut_off) == (0, 1)


async def test_a_job_that_is_cut_off_again_and_again_is_taken_for_the_cause(rig: Rig) -> None:
    await rig.submit("a", "hang", retry=QUICK)
    for _ in range(MOST_CUT_OFF):
        await rig.node.settle()
        await rig.kill()
        await rig.node.advance(10.5)
    assert len(rig.tries) == MOST_CUT_OFF
    assert (await rig.kinds())[-1] == "died"


async def test_a_job_that_waits_is_not_suspected_however_often_it_is_cut_off(node: TestNode) -> None:
    rig = Rig(node, MemoryStore())
    await rig.start(hang=Handler(rig.hang, within=None))
    await rig.submit("a", "hang", retry=QUICK)
    for _ in range(MOST_CUT_OFF + 2):
        await rig.node.settle()
        await rig.kill()
        await rig.node.advance(10.5)
    assert len(await rig.jobs()) == 1


async def test_a_node_that_slept_over_many_due_times_does_each_once(rig: Rig) -> None:
    for number in range(200):
        await rig.submit(f"{number}", after=HOUR + 60 * number)
    await rig.node.settle()
    rig.node.virtual_clock._offset += (
        24 * HOUR
    )  # the machine slept: wall time went on, the steady clock did not
    await rig.node.advance(61.0)
    assert sorted(rig.done, key=int) == [str(number) for number in range(200)]
    assert len(rig.tries) == 200


async def test_a_wall_clock_that_goes_back_begins_nothing_early_and_lengthens_no_rest(rig: Rig) -> None:
    rig.faults["failed"] = [ValueError("once")]
    await rig.submit("failed", retry=QUICK)
    await rig.submit("timer", after=100.0)
    await rig.node.settle()
    rig.node.virtual_clock._offset -= HOUR
    await rig.node.advance(11.0)
    assert rig.done == ["failed"]
    await rig.node.advance(HOUR - 61)
    assert rig.done == ["failed"]
    await rig.node.advance(161.0)
    assert rig.done == ["failed", "timer"]


async def test_a_wall_clock_that_went_back_while_the_queue_was_down_lengthens_no_rest(rig: Rig) -> None:
    rig.faults["failed"] = [ValueError("once")]
    await rig.submit("failed", retry=QUICK)
    await rig.node.settle()
    rig.node.virtual_clock._offset -= HOUR
    await rig.kill()
    await rig.node.advance(QUICK.longest + 1)
    assert rig.done == ["failed"]


async def test_one_kind_that_waits_keeps_no_other_from_running(rig: Rig) -> None:
    await rig.kill()
    for number in range(40):
        await rig.submit(f"h{number}", "hang")
    await rig.submit("a")
    await rig.node.settle()
    assert rig.done == ["a"]
    assert len([name for name in rig.tries if name.startswith("h")]) == 16


async def test_those_that_were_held_run_when_there_is_room(node: TestNode) -> None:
    rig = Rig(node, MemoryStore())
    await rig.start(note=Handler(rig.note, at_once=1))
    await rig.run(
        partial(Journal.append, "journal", [submission("note", {"what": str(n)}) for n in range(20)])
    )
    await node.settle()
    assert len(rig.done) == 20


async def test_a_job_submitted_while_the_queue_is_away_is_done_when_it_is_back(rig: Rig) -> None:
    event = submission("note", {"what": "a"}, key="k")
    await rig.run(partial(Journal.append, "journal", [event]))
    await rig.node.settle()
    assert rig.done == ["a"]


async def test_work_nobody_does_is_refused_with_the_nearest_kind(rig: Rig) -> None:
    with pytest.raises(WorkRefused, match="did you mean 'note'"):
        await rig.submit("a", "notes")


async def test_work_nobody_does_any_more_becomes_a_dead_letter(rig: Rig) -> None:
    await rig.run(partial(Journal.append, "journal", [submission("gone", {})]))
    await rig.node.settle()
    assert (await rig.kinds("dead")) == ["dead.lettered"]


async def test_a_payload_that_is_too_large_is_refused(rig: Rig) -> None:
    with pytest.raises(WorkRefused, match="at most 65536"):
        await rig.submit("x" * 70_000)


async def test_years_of_history_cost_no_start_time(rig: Rig) -> None:
    for number in range(LEAST_EVENTS):
        await rig.submit(f"{number}")
    await rig.submit("later", after=HOUR)
    await rig.node.settle()
    plan = await rig.run(partial(Plan.load, "work", "plan"))
    assert [job.payload["what"] for job in plan.jobs.values()] == ["later"]
    assert plan.done == LEAST_EVENTS
    assert plan.unsaved < LEAST_EVENTS
    snapshot = await rig.run(partial(Journal.load_snapshot, "journal", "work", "plan", Plan.version))
    assert snapshot is not None
    assert len(snapshot.data) < 5000
    await rig.kill()
    assert len(await rig.jobs()) == 1


async def test_state_kept_equals_state_folded_anew(rig: Rig) -> None:
    rig.faults["b"] = [ValueError("no")] * 9
    await rig.submit("a")
    await rig.submit("b", retry=QUICK)
    await rig.submit("c", after=HOUR)
    await rig.node.advance(15.0)
    folded = await rig.run(partial(Plan.load, "work", "plan"))
    assert tuple(folded.jobs.values()) == tuple(
        sorted(await rig.jobs(), key=lambda job: job.id in folded.jobs)
    )


steps = st.lists(
    st.one_of(
        st.tuples(st.just("submit"), st.sampled_from("abcdef"), st.sampled_from([0.0, 5.0, 30.0])),
        st.tuples(st.just("kill"), st.sampled_from(["work", "journal", "task"]), st.just(0.0)),
        st.tuples(st.just("wait"), st.just(""), st.sampled_from([0.0, 1.0, 2.0, 5.5, 30.0])),
        st.tuples(st.just("fail"), st.sampled_from("abcdef"), st.just(0.0)),
        st.tuples(st.just("clock"), st.just(""), st.sampled_from([-500.0, 500.0])),
    ),
    min_size=8,
    max_size=30,
)


@settings(max_examples=150, deadline=None)
@given(steps=steps, seed=st.integers(0, 1000))
async def test_no_order_of_crashes_and_submissions_loses_or_doubles_anything(
    steps: list[tuple[str, str, float]], seed: int
) -> None:
    store = MemoryStore()
    async with running_node(seed=seed) as node:
        rig = Rig(node, store)
        await node.start(
            supervisor(
                child(Journal, lambda: store, name="journal"),
                child(Work, {"note": Handler(rig.slowly)}, name="work"),
                strategy="rest_for_one",
                max_restarts=10_000,
                within=1.0,
            )
        )
        accepted = set()
        for what, name, number in steps:
            match what:
                case "submit":
                    event = submission(
                        "note",
                        {"what": name},
                        key=name,
                        at=rig.wall() + number,
                        retry=Retry(attempts=20, first=1.0, factor=1.0, longest=1.0),
                    )
                    accepted.add(name)
                    await node.run(partial(_submit, event))
                case "kill" if name == "task":
                    await node.run(partial(_kill_tasks, node))
                case "kill":
                    await rig.kill(name)
                case "wait":
                    await node.advance(number)
                case "fail":
                    rig.faults.setdefault(name, []).append(ValueError("no"))
                case _:
                    node.virtual_clock._offset += number
        await node.advance(500.0 * len(steps) + 2000.0)
        assert sorted(rig.done) == sorted(accepted)
        assert await rig.jobs() == ()
        events = await rig.run(partial(Journal.read, "journal", Query(session="work")))
        for job in {event.id for event in events if event.kind == "work.submitted"}:
            ends = [event.kind for event in events if event.cause_id == job and event.kind == "work.finished"]
            assert len(ends) == 1


async def _submit(event: Any) -> None:
    try:
        await Journal.append("journal", [event])
    except EventRefused:
        pass  # submitted before


async def _kill_tasks(node: TestNode) -> None:
    for pid in node.processes():
        if (node.info(pid).label or "").startswith("work "):
            exit_signal(pid, "kill")
