"""What the projections make of events as sessions, rooms and runs write them."""

from typing import Any

import pytest

from planaria.cortex.event import Event
from planaria.cortex.journal import Journal as JournalProcess
from planaria.cortex.live.table import ALL, Select
from planaria.immune.breakers.breaker import Admitted
from planaria.immune.breakers.keeper import Breakers as BreakerKeeper
from planaria.immune.breakers.table import breakers_of
from planaria.immune.ledger.keeper import Ledger
from planaria.immune.ledger.ledger import AccountPath, Amount, accounts_of
from planaria.membrane.calls.process import QueueChanged
from planaria.nerve.live import projections
from planaria.nerve.live.processes import Processes
from planaria.nerve.live.providers import Providers
from planaria.nerve.live.runs import Runs
from planaria.nerve.live.sessions import MOST_WAITING, SessionRow, Sessions
from planaria.nerve.metrics.immune import immune_figures
from planaria.otp import Crash, ProcessExited, ProcessStarted, child, register, self_, sleep
from planaria.rooms.message import ReplyDelta, TurnState
from planaria.testing.memory_store import MemoryStore
from planaria.testing.node import TestNode

SESSION = "session:scout@garden"


class Journal:
    """Makes events in order, one second apart."""

    def __init__(self) -> None:
        self.seq = 0
        self.node = "test"

    def event(
        self, kind: str, session: str, payload: dict[str, Any], cause: str | None = None, state: Any = "whole"
    ) -> Event:
        self.seq += 1
        return Event(
            seq=self.seq,
            id=f"E{self.seq}",
            at=float(self.seq),
            trace_id="T",
            cause_id=cause,
            node=self.node,
            process="p",
            session=session,
            kind=kind,
            payload=payload,
            state=state,
        )


@pytest.fixture
def journal() -> Journal:
    return Journal()


def said(
    journal: Journal, author: str, text: str, to: tuple[str, ...] = (), cause: str | None = None
) -> Event:
    payload = {"author": author, "author_kind": "person", "text": text, "to": list(to)}
    return journal.event("room.message", "room:garden", payload, cause)


def the_session(sessions: Sessions) -> SessionRow:
    (row,) = sessions.table.select(ALL)
    return row


async def test_what_an_agent_does_is_told_from_question_to_answer(node: TestNode, journal: Journal):
    sessions = Sessions(node)

    def take(kind: str, **payload: Any) -> SessionRow:
        sessions.event(journal.event(kind, SESSION, payload))
        return the_session(sessions)

    question = said(journal, "ada", "How much rain fell?", to=("scout",))
    sessions.event(question)
    sessions.event(said(journal, "bob", "And wind?", to=("scout",)))
    row = the_session(sessions)
    assert (row.status, row.queue, row.agent, row.room) == ("idle", 2, "scout", "garden")

    row = take("turn.started", message=question.id, author="ada")
    assert (row.status, row.author, row.asked, row.queue) == ("thinking", "ada", "How much rain fell?", 1)
    assert row.turn == question.id and row.turn_since == 3.0 and row.trace_id == "T"

    row = take("model.requested", turn=question.id, step=0, provider="local", model="tiny")
    assert row.doing == "asks local/tiny, step 1" and row.since == 4.0
    sessions.heard(ReplyDelta("garden", "scout", question.id, "Let me "))
    sessions.heard(ReplyDelta("garden", "scout", question.id, "look"))
    assert the_session(sessions).saying == "Let me look"

    usage = {"input_tokens": 100, "output_tokens": 7}
    row = take("model.responded", usage=usage, tool_calls=[{"name": "web.fetch"}], cost_micro=42)
    assert (row.status, row.doing) == ("acting", "calls web.fetch")
    assert (row.tokens_in, row.tokens_out, row.cost_micro) == (100, 7, 42)

    row = take("approval.asked", call_id="c", tool="web.fetch", arguments={})
    assert (row.status, row.doing) == ("waiting", "waits for a person to approve web.fetch")
    sessions.kernel_event(
        ProcessStarted(node.spawn(_nothing), SESSION, "")
    )  # the question is asked no second time
    sessions.heard(TurnState("garden", "scout", "acting", question.id))
    assert the_session(sessions).doing == "waits for a person to approve web.fetch"
    row = take("approval.decided", call_id="c", tool="web.fetch", how="once")
    assert (row.status, row.doing) == ("acting", "calls web.fetch")
    row = take("tool.started", call_id="c", tool="web.fetch", arguments={"url": "http://x.org"})
    assert row.doing == 'runs web.fetch("url":"http://x.org")'
    row = take("tool.finished", call_id="c", tool="web.fetch", branch="failed", error="no such page")
    assert (row.status, row.doing) == ("thinking", "read what web.fetch gave")
    assert row.last_error == "web.fetch: no such page"

    row = take("model.failed", turn=question.id, step=1, error="overloaded", retry=True)
    assert (row.status, row.failures, row.doing) == ("waiting", 1, "the model failed: overloaded")
    row = take("model.responded", usage=usage, tool_calls=[], cost_micro=None)
    assert row.doing == "puts its answer into the room" and row.tokens_in == 200

    row = take("turn.finished", turn=question.id, outcome="answered")
    assert (row.status, row.doing, row.turn, row.saying, row.turns) == ("idle", "", "", "", 1)


async def test_an_answer_in_the_room_takes_its_question_from_the_queue(node: TestNode, journal: Journal):
    sessions = Sessions(node)
    question = said(journal, "ada", "Rain?", to=("scout",))
    sessions.event(question)
    sessions.event(said(journal, "scout", "5 mm", cause=question.id))
    assert the_session(sessions).queue == 0


async def test_a_message_delivered_again_waits_again_and_names_its_attempt(node: TestNode, journal: Journal):
    sessions = Sessions(node)
    question = said(journal, "ada", "Rain?", to=("scout",))
    sessions.event(question)
    sessions.event(journal.event("turn.started", SESSION, {"message": question.id, "author": "ada"}))
    sessions.event(journal.event("turn.finished", SESSION, {"turn": question.id, "outcome": "failed"}))
    again = {"message": question.id, "agent": "scout", "attempt": 2}
    sessions.event(journal.event("room.redelivered", "room:garden", again))
    assert the_session(sessions).queue == 1
    begun = {"message": question.id, "author": "ada", "attempt": 2}
    sessions.event(journal.event("turn.started", SESSION, begun))
    assert the_session(sessions).turn == f"{question.id}~2"


async def test_a_session_whose_process_is_gone_says_so_until_it_is_back(node: TestNode, journal: Journal):
    sessions = Sessions(node)
    sessions.event(journal.event("turn.started", SESSION, {"message": "m", "author": "ada"}))
    process = node.spawn(_nothing)
    sessions.kernel_event(ProcessExited(process, SESSION, "", Crash(ValueError("broken"))))
    row = the_session(sessions)
    assert row.status == "down" and "broken" in row.doing and row.since == node.clock.wall()
    sessions.kernel_event(ProcessStarted(process, SESSION, ""))
    assert the_session(sessions).doing == "takes its turn up again"
    sessions.kernel_event(ProcessStarted(process, "journal", ""))
    assert len(sessions.table) == 1


async def test_a_turn_that_was_taken_up_again_is_told_by_what_it_goes_on_with(
    node: TestNode, journal: Journal
):
    sessions = Sessions(node)
    sessions.event(journal.event("turn.started", SESSION, {"message": "m", "author": "ada"}))
    asked = {"turn": "m", "step": 0, "provider": "local", "model": "small"}
    sessions.event(journal.event("model.requested", SESSION, asked))
    process = node.spawn(_nothing)
    sessions.kernel_event(ProcessExited(process, SESSION, "", "killed"))
    sessions.kernel_event(ProcessStarted(process, SESSION, ""))
    sessions.heard(TurnState("garden", "scout", "thinking", "m"))  # the call is made again: no event says so
    row = the_session(sessions)
    assert (row.status, row.doing) == ("thinking", "asks local/small, step 1")


async def test_a_branch_that_was_removed_is_no_row_any_more(node: TestNode, journal: Journal):
    sessions = Sessions(node)
    branch = "session:scout@garden-fork-1"
    sessions.event(journal.event("turn.started", branch, {"message": "m", "author": "ada"}))
    sessions.event(journal.event("turn.started", SESSION, {"message": "n", "author": "ada"}))
    sessions.event(journal.event("session.removed", "forks", {"room": "garden-fork-1", "by": "ada"}))
    sessions.kernel_event(ProcessExited(node.spawn(_nothing), branch, "", "shutdown"))
    sessions.heard(TurnState("garden-fork-1", "scout", "idle", "m"))
    assert the_session(sessions).key == SESSION
    sessions.event(journal.event("session.forked", "forks", {"room": "garden-fork-1"}))
    sessions.kernel_event(ProcessStarted(node.spawn(_nothing), branch, ""))
    assert len(sessions.table) == 2


async def test_after_a_look_back_what_no_process_does_is_over(node: TestNode, journal: Journal):
    journal.node = node.name
    sessions = Sessions(node)
    sessions.event(journal.event("turn.started", SESSION, {"message": "m", "author": "ada"}))
    sessions.event(journal.event("turn.started", "session:mole@garden", {"message": "m", "author": "ada"}))
    journal.node = "elsewhere"
    sessions.event(journal.event("turn.started", "session:owl@garden", {"message": "m", "author": "ada"}))
    sessions.looked_back()
    rows = {row.agent: (row.status, row.doing, row.since) for row in sessions.table.select(ALL)}
    assert rows["scout"] == ("down", "its process is not there", 1.0)
    assert rows["mole"][:2] == rows["scout"][:2]
    assert rows["owl"][0] == "thinking"
    sessions.kernel_event(ProcessStarted(node.spawn(_nothing), SESSION, ""))
    row = sessions.table.get(SESSION)
    assert row is not None and (row.status, row.turn, row.turn_since) == ("waiting", "m", 1.0)


async def test_many_sessions_rooms_and_messages_are_bounded(node: TestNode, journal: Journal):
    sessions = Sessions(node)
    sessions.table.limit = 100
    for number in range(1000):
        room = f"session:scout@room{number}"
        sessions.event(journal.event("turn.started", room, {"message": "m", "author": "ada"}))
        len(sessions.table)
    assert len(sessions.table) == len(sessions.sessions) == len(sessions.topics) == 100
    assert sessions.table.evicted == 900
    for _ in range(MOST_WAITING + 50):
        sessions.event(said(journal, "ada", "are you there?", to=("gone",)))
    row = sessions.table.get("session:gone@garden")
    assert row is not None and row.queue == MOST_WAITING


async def test_a_branch_that_is_removed_while_the_table_is_full_hurts_nobody(
    node: TestNode, journal: Journal
):
    sessions = Sessions(node)
    sessions.table.limit = 1
    sessions.event(
        journal.event("turn.started", "session:scout@garden-fork-1", {"message": "m", "author": "ada"})
    )
    assert len(sessions.table) == 1
    sessions.event(journal.event("turn.started", SESSION, {"message": "n", "author": "ada"}))
    sessions.event(journal.event("session.removed", "forks", {"room": "garden-fork-1", "by": "ada"}))
    assert the_session(sessions).key == SESSION


async def test_sessions_that_run_already_have_a_row(node: TestNode):
    async def agent() -> None:
        register(SESSION, self_())
        await sleep(100)

    node.spawn(agent)
    await node.settle()
    row = the_session(Sessions(node))
    assert (row.agent, row.room, row.status) == ("scout", "garden", "idle")


async def test_the_state_a_room_tells_moves_a_session_but_does_not_end_its_turn(
    node: TestNode, journal: Journal
):
    sessions = Sessions(node)
    sessions.event(journal.event("turn.started", SESSION, {"message": "m", "author": "ada"}))
    assert "room:garden" in sessions.topics
    sessions.heard(TurnState("garden", "scout", "waiting", "m"))
    assert the_session(sessions).status == "waiting"
    sessions.heard(TurnState("garden", "scout", "idle", "m"))
    assert the_session(sessions).status == "waiting"


async def test_erased_and_pruned_events_make_no_nonsense(node: TestNode, journal: Journal):
    """A payload that is gone is empty: figures stay, nothing is made up, nothing breaks."""
    for projection in projections(node):
        for kind in sorted(projection.kinds):
            stream = "room:garden" if kind.startswith("room.") else SESSION
            for state in ("erased", "pruned"):
                projection.event(journal.event(kind, stream, {}, state=state))
        rows = projection.table.select(ALL)
        if isinstance(projection, Providers):
            assert rows == []
        if isinstance(projection, Sessions):
            assert [row.key for row in rows] == [SESSION] and rows[0].tokens_in == 0


async def test_a_provider_shows_who_waits_for_it_and_what_failed_attempts_cost(journal: Journal):
    providers = Providers()
    assert providers.topics == {"calls"}
    providers.heard(QueueChanged("local", 2, 7, 3, 10.0, 40.0, "it asked for time"))
    row = providers.table.get("local")
    assert row is not None
    assert (row.waiting, row.sessions, row.waiting_since) == (7, 3, 10.0)
    assert (row.resting_until, row.resting) == (40.0, "it asked for time")
    asked = {"provider": "local", "model": "tiny", "turn": "t", "step": 0}
    providers.event(journal.event("model.requested", SESSION, asked))
    failed = {"turn": "t", "step": 0, "error": "cut", "usage": {"input_tokens": 9}, "cost_micro": 4}
    providers.event(journal.event("model.failed", SESSION, failed))
    row = providers.table.get("local")
    assert row is not None and (row.failures, row.tokens_in, row.cost_micro) == (1, 9, 4)


async def test_a_provider_counts_calls_in_flight_failures_and_times(journal: Journal):
    providers = Providers()

    def take(kind: str, session: str = SESSION, **payload: Any) -> Any:
        providers.event(journal.event(kind, session, payload))
        return providers.table.get("local")

    asked: dict[str, Any] = {"provider": "local", "model": "tiny", "turn": "t", "step": 0}
    assert take("model.requested", **asked).in_flight == 1
    assert take("model.requested", **asked).in_flight == 1  # cut off by a crash, and made again
    assert take("model.requested", session="session:b@garden", **asked).in_flight == 2
    usage = {"input_tokens": 10, "output_tokens": 2}
    done: dict[str, Any] = {
        "provider": "local",
        "usage": usage,
        "cost_micro": 5,
        "duration_ms": 800.0,
        "first_ms": 90.0,
    }
    row = take("model.responded", **done)
    assert (row.in_flight, row.calls, row.tokens_in, row.tokens_out, row.cost_micro) == (1, 1, 10, 2, 5)
    assert (row.p50_ms, row.p99_ms, row.first_p50_ms) == (800.0, 800.0, 90.0)
    row = take("model.failed", session="session:b@garden", error="overloaded")
    assert (row.in_flight, row.failures, row.last_error, row.last_error_at) == (0, 1, "overloaded", 5.0)
    for _ in range(99):
        take("model.responded", **{**done, "duration_ms": 100.0})
    row = providers.table.get("local")
    assert row is not None and (row.p50_ms, row.p99_ms) == (100.0, 800.0)


async def test_a_call_of_a_session_that_is_gone_is_not_in_flight(node: TestNode, journal: Journal):
    providers = Providers()
    providers.event(journal.event("model.requested", SESSION, {"provider": "local", "model": "tiny"}))
    providers.kernel_event(ProcessExited(node.spawn(_nothing), SESSION, "", "killed"))
    row = providers.table.get("local")
    assert row is not None and (row.in_flight, row.failures) == (0, 0)


async def test_a_run_is_told_step_by_step(journal: Journal):
    runs = Runs()

    def take(kind: str, **payload: Any) -> Any:
        runs.event(journal.event(f"workflow.{kind}", "run:1", payload))
        return runs.table.get("run:1")

    row = take("run.started", run="1", workflow="news", trigger="hand")
    assert (row.workflow, row.status, row.started) == ("news", "running", 1.0)
    row = take("step.started", step="fetch", visit=1)
    assert (row.step, row.since, row.steps) == ("fetch", 2.0, 1)
    assert take("step.retried", step="fetch", error="away").retries == 1
    row = take("run.finished", run="1", workflow="news", status="failed", error="no way on")
    assert (row.status, row.ended, row.error) == ("failed", 4.0, "no way on")


async def test_processes_are_looked_up_with_what_they_do(node: TestNode):
    processes = Processes(node)

    async def worker() -> None:
        register("worker", self_())
        await sleep(100)

    node.spawn(worker)
    await node.settle()
    rows = {row.key: row for row in processes.table.select(ALL)}
    assert rows["worker"].status == "suspended" and rows["worker"].kind == "function"
    await node.advance(200)
    assert "worker" not in {row.key for row in processes.table.select(ALL)}


async def test_breakers_and_accounts_are_looked_up_where_they_are_kept(node: TestNode):
    tables = {projection.table.name: projection.table for projection in projections(node)}
    assert set(tables) == {"sessions", "runs", "providers", "breakers", "accounts", "processes"}
    assert tables["breakers"].select(ALL) == []
    await node.start(child(JournalProcess, MemoryStore, name="journal"))
    await node.start(child(BreakerKeeper, name="breakers"))
    await node.start(child(Ledger, name="ledger"))
    breakers, accounts = breakers_of(node), accounts_of(node)
    for _ in range(5):
        admitted = breakers.admit("tool:web.fetch")
        assert isinstance(admitted, Admitted)
        breakers.report(admitted, False, "no route", "unreachable")
    accounts.reserve(AccountPath(SESSION, "M"), Amount(micro_usd=1_000_000, calls=1))
    (row,) = tables["breakers"].select(Select(where={"state": "open"}))
    assert (row.key, row.guards, row.failures, row.last_error) == ("tool:web.fetch", "tool", 5, "no route")
    (scout,) = tables["accounts"].select(Select(where={"kind": "agent"}))
    assert (scout.key, scout.reserved_micro_usd, scout.limit, scout.share) == (
        *("agent:scout", 1_000_000, "usd_per_day", 0.1),
    )
    figures = {
        (sample.name, *sample.labels.values()): sample.value
        for metric in immune_figures(node)
        for sample in metric.samples
    }
    assert figures["planaria_breakers", "tool", "open"] == 1
    assert figures["planaria_budget_reserved_dollars",] == 1.0
    assert figures["planaria_budget_limit_dollars",] == 20.0


async def _nothing() -> None:
    pass
