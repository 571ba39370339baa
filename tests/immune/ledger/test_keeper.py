"""The accounts of a running node: spent as the journal says, warned and refused aloud, the same after a restart."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

from planaria.config.budget import BudgetSettings, Limits
from planaria.cortex.errors import JournalUnavailable
from planaria.cortex.event import Event, NewEvent
from planaria.cortex.folded import LEAST_EVENTS
from planaria.cortex.journal import Journal
from planaria.cortex.query import Query
from planaria.immune.amount import Amount
from planaria.immune.ledger.account_views import AccountView
from planaria.immune.ledger.budget import LimitsError
from planaria.immune.ledger.keeper import TOPIC, Ledger, Refused, Warned
from planaria.immune.ledger.ledger import AccountPath, Accounts, Exhausted, Reservation, accounts_of
from planaria.immune.notice import NOTICE
from planaria.otp import child, exit_signal, receive, sleep, subscribe, supervisor, wait_down, whereis
from planaria.records.library import Library
from planaria.testing.memory_store import MemoryStore
from planaria.testing.node import TestNode
from tests.immune.journal import SCOUT, Script
from tests.rooms.support import Store

SETTINGS = BudgetSettings(garden=Limits(usd_per_day=1.0), agent=Limits(usd_per_day=0.01, usd_per_turn=9.0))
PATH = AccountPath(SCOUT, "M", "fast")


class Rig:
    def __init__(self, node: TestNode) -> None:
        self.node = node
        self.store = Store()
        self.script = Script()

    async def start(self, *before: object) -> None:
        await self.node.start(child(Journal, lambda: self.store, name="journal"))
        await self.node.start(supervisor(child(Ledger, SETTINGS, name="ledger"), max_restarts=9, within=1.0))
        await self.node.settle()

    @property
    def accounts(self) -> Accounts:
        return accounts_of(self.node)

    async def write(self, *events: Event) -> None:
        new = [
            NewEvent(e.kind, e.payload, session=e.session, cause_id=e.cause_id, trace_id="T") for e in events
        ]
        await self.node.run(partial(Journal.append, "journal", new))
        await self.node.settle()

    async def spend(self, micro: int, turn: str = "M") -> None:
        await self.write(self.script.responded(micro, turn=turn))

    async def events(self, *kinds: str) -> list[Event]:
        return await self.node.run(partial(Journal.read, "journal", Query(kinds=kinds)))

    async def notices(self) -> list[tuple[str, str]]:
        events = await self.events("work.submitted")
        told = [event.payload["payload"] for event in events if event.payload["work"] == NOTICE]
        return [(each["room"], each["text"]) for each in told]

    async def restart(self) -> None:
        async def kill() -> None:
            pid = whereis("ledger")
            assert pid is not None
            exit_signal(pid, "kill")
            await wait_down(pid)

        await self.node.run(kill)
        await self.node.settle()

    async def views(self) -> Sequence[AccountView]:
        return await self.node.run(partial(Ledger.views, "ledger"))

    def spent(self, account: str) -> float:
        return self.accounts.book.accounts[account].life[0]


@pytest.fixture
async def rig(node: TestNode) -> Rig:
    rig = Rig(node)
    await rig.start()
    return rig


def held(answer: Reservation | Exhausted) -> Reservation:
    assert isinstance(answer, Reservation), str(answer)
    return answer


async def test_where_nobody_keeps_accounts_nothing_is_limited(node: TestNode) -> None:
    accounts = accounts_of(node)
    accounts.settle(held(accounts.reserve(PATH, Amount(micro_usd=10**12))))
    assert accounts.left(PATH) == {}
    assert accounts.open_child(PATH, f"{SCOUT}/a", Limits(usd=5.0)) == Limits(usd=5.0)


async def test_what_was_spent_is_what_the_journal_says_and_the_same_after_a_restart(rig: Rig) -> None:
    reservation = held(rig.accounts.reserve(PATH, Amount(micro_usd=5_000, calls=1)))
    await rig.spend(3_000)
    rig.accounts.settle(reservation)
    before = await rig.views()
    assert rig.spent("agent:scout") == 3_000
    await rig.restart()
    assert await rig.views() == before


async def test_what_is_written_while_it_starts_counts_once(rig: Rig) -> None:
    await rig.spend(1_000)

    async def kill_and_write() -> None:
        pid = whereis("ledger")
        assert pid is not None
        exit_signal(pid, "kill")
        events = [self_event(rig, 500) for _ in range(3)]
        for event in events:
            await Journal.append("journal", [event])

    await rig.node.run(kill_and_write)
    await rig.node.settle()
    assert rig.spent("garden") == 2_500


def self_event(rig: Rig, micro: int) -> NewEvent:
    event = rig.script.responded(micro)
    return NewEvent(event.kind, event.payload, session=event.session, cause_id=event.cause_id)


async def test_a_start_reads_a_snapshot_and_what_came_after_it(rig: Rig) -> None:
    events = [rig.script.responded(1, turn="M") for _ in range(LEAST_EVENTS + 7)]
    await rig.write(*events)
    before = await rig.views()
    await rig.restart()
    assert await rig.views() == before
    assert (
        rig.store.given[-2] <= 20
    )  # the bills after the snapshot; the last read was for the end of its stream


async def test_a_soft_limit_warns_once_in_the_room_and_to_whoever_listens(rig: Rig) -> None:
    async def listen() -> Warned:
        subscribe(TOPIC)
        told: Warned = await receive(Warned)
        return told

    listener = rig.node.spawn(listen)
    await rig.spend(8_000)
    await rig.spend(1)
    await rig.restart()
    await rig.spend(1)
    (event,) = await rig.events("budget.warned")
    assert (event.payload["account"], event.payload["limit"]) == ("agent:scout", "usd_per_day")
    ((room, text),) = await rig.notices()
    assert room == "garden"
    assert text.startswith("agent:scout has spent $0.008 of $0.01 (usd_per_day).")
    assert not listener.alive


async def test_a_hard_limit_refuses_says_so_once_and_ends_with_the_day(rig: Rig) -> None:
    async def listen() -> Refused:
        subscribe(TOPIC)
        told: Refused = await receive(Refused)
        return told

    rig.node.spawn(listen)
    await rig.spend(10_000)
    for _ in range(3):
        assert isinstance(rig.accounts.reserve(PATH, Amount(micro_usd=1)), Exhausted)
    await rig.node.settle()
    (event,) = await rig.events("budget.exhausted")
    assert event.payload["session"] == SCOUT
    _, exhausted = await rig.notices()
    assert (
        "there is more from 2" in exhausted[1]
        and "planaria budget set agent:scout usd_per_day=" in exhausted[1]
    )
    await rig.node.advance(86_400)
    held(rig.accounts.reserve(PATH, Amount(micro_usd=1)))
    await rig.node.settle()
    days = await rig.events("budget.day")
    assert [day.payload.get("before", "") != "" for day in days] == [False, True]
    assert days[1].payload["spent"]["garden"]["micro_usd"] == 10_000


async def test_what_a_dead_process_held_is_let_go_of(rig: Rig) -> None:
    async def hold() -> None:
        held(accounts_of(rig.node).reserve(PATH, Amount(micro_usd=10_000)))
        await sleep(1000)

    holder = rig.node.spawn(hold)
    await rig.node.settle()
    assert isinstance(rig.accounts.reserve(PATH, Amount(micro_usd=1)), Exhausted)

    async def kill() -> None:
        exit_signal(holder, "kill")
        await wait_down(holder)

    await rig.node.run(kill)
    assert rig.accounts.left(PATH)["usd"] == 0.01  # for a child, say
    held(rig.accounts.reserve(PATH, Amount(micro_usd=10_000)))


async def test_limits_are_set_at_run_time_and_stay(rig: Rig) -> None:
    async def set_(account: str, **words: str) -> Sequence[AccountView]:
        return await rig.node.run(partial(Ledger.set, "ledger", account, words, "person:ada"))

    await rig.spend(10_000)
    (view, *_) = await set_("agent:scout", usd_per_day="0.05", tokens_per_day="1_000")
    assert view.set == {"usd_per_day": 0.05, "tokens_per_day": 1000}
    held(rig.accounts.reserve(PATH, Amount(micro_usd=40_000)))
    await rig.restart()
    assert isinstance(rig.accounts.reserve(PATH, Amount(tokens=1000)), Exhausted)
    (view, *_) = await set_("agent:scout", usd_per_day="none", tokens_per_day="none")
    assert view.set == {}
    assert isinstance(rig.accounts.reserve(PATH, Amount(micro_usd=1)), Exhausted)
    (view,) = await set_("agent:nobody", usd_per_day="1")  # who has not spent anything yet
    assert view.name == "agent:nobody"


@pytest.mark.parametrize(
    ("account", "words", "said"),
    [
        ("scout", {"usd_per_day": "1"}, "'scout' is no account"),
        ("agent:scout", {"usd_per_dya": "1"}, "did you mean 'usd_per_day'"),
        ("agent:scout", {"usd_per_day": "much"}, "write a number, or none"),
        ("agent:scout", {"usd_per_day": "-1"}, "0 or more"),
        ("agent:scout", {"tokens_per_day": "1.5"}, "write whole numbers"),
    ],
)
async def test_limits_that_cannot_be_are_refused(
    rig: Rig, account: str, words: dict[str, str], said: str
) -> None:
    with pytest.raises(LimitsError, match=said):
        await rig.node.run(partial(Ledger.set, "ledger", account, words, "person:ada"))


async def test_while_the_store_fails_the_last_word_of_the_journal_counts(rig: Rig) -> None:
    rig.store.fail()
    with pytest.raises(JournalUnavailable):
        await rig.node.run(partial(Ledger.set, "ledger", "garden", {"usd_per_day": "2"}, "person:ada"))
    assert rig.accounts.book.garden.limits.usd_per_day == 1.0


async def test_a_record_s_budget_counts_and_changes_with_the_record(node: TestNode, tmp_path: Path) -> None:
    record = tmp_path / "agents" / "scout.md"
    record.parent.mkdir()
    record.write_text("---\nclass: agent\nbudget: {usd_per_day: 0.5}\n---\nYou are scout.\n")
    store = MemoryStore()
    await node.start(child(Journal, lambda: store, name="journal"))
    await node.start(child(Library, tmp_path, name="library"))
    await node.start(child(Ledger, SETTINGS, name="ledger"))
    assert accounts_of(node).left(PATH)["usd"] == 0.5
    record.write_text("---\nclass: agent\nbudget: {usd_per_day: 0.25}\n---\nYou are scout.\n")

    async def changed() -> None:
        Library.changed("library", "agents/scout.md")

    await node.run(changed)
    await node.settle()
    assert accounts_of(node).left(PATH)["usd"] == 0.25
