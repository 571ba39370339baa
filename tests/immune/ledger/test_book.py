"""The accounts, alone: who is charged, what is refused, what a child may spend, what a snapshot keeps."""

from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planaria.config.budget import BudgetSettings, Limits
from planaria.immune.amount import Amount
from planaria.immune.events import BudgetSet
from planaria.immune.ledger.account import MEASURES
from planaria.immune.ledger.account_path import AccountPath
from planaria.immune.ledger.account_views import account_views
from planaria.immune.ledger.book import MOST_IDLE, Book, Saved
from planaria.immune.ledger.ledger import Accounts
from planaria.immune.ledger.reserving import Exhausted, Reservation
from tests.immune.journal import NOON, SCOUT, Script

FREE = BudgetSettings(garden=Limits(usd_per_day=1e9), agent=Limits(usd_per_day=1e9, usd_per_turn=1e9))
PATH = AccountPath(SCOUT, "M", "fast")
CHILD = f"{SCOUT}/c1"


def book(settings_: BudgetSettings = FREE, **limits: Limits) -> Book:
    """A book with limits by account, `_` for the colon."""
    made = Book(settings_)
    made.begin_day(NOON)
    for name, each in limits.items():
        made.set[name.replace("_", ":", 1)] = each
    made.relimit()
    return made


def reserve(book: Book, path: AccountPath = PATH, **amount: Any) -> Reservation:
    held = book.reserve(path, Amount(**amount), None)
    assert isinstance(held, Reservation), held
    return held


def refused(book: Book, path: AccountPath = PATH, **amount: Any) -> Exhausted:
    held = book.reserve(path, Amount(**amount), None)
    assert isinstance(held, Exhausted)
    return held


def test_a_call_is_charged_to_everybody_above_it():
    accounts, script = book(), Script()
    accounts.take(script.responded(1200, 50))
    accounts.take(script.ran())
    spent = {view.name: view.today for view in account_views(accounts)}
    both = Amount(1200, 50, 2, 1.5)
    assert spent == {
        "garden": both,
        "agent:scout": both,
        SCOUT: both,
        f"turn:{SCOUT}#M": both,
        "provider:fast": Amount(1200, 50, 1, 1.0),
        "room:garden": both,
    }


def test_an_event_counts_once():
    accounts, script = book(), Script()
    event = script.responded(1200)
    accounts.take(event)
    accounts.take(event)
    assert accounts.garden.day[0] == 1200


def test_what_was_erased_or_refused_before_it_ran_is_no_call():
    accounts, script = book(), Script()
    accounts.take(script.responded(1200, state="erased"))
    accounts.take(script.ran(caller="agent:scout"))
    accounts.take(script.ran(held_back="budget:agent:scout"))
    accounts.take(script.event("model.failed", SCOUT, {"turn": "M", "error": "no money"}, "M"))
    assert accounts.garden.life == [0, 0, 0, 0.0]


def test_an_attempt_that_failed_costs_what_the_provider_says():
    accounts, script = book(), Script()
    failed = {"provider": "fast", "usage": {"input_tokens": 7}, "cost_micro": 30, "duration_ms": 2000.0}
    accounts.take(script.event("model.failed", SCOUT, failed, "M"))
    assert accounts.accounts["provider:fast"].life == [30, 7, 1, 2.0]


def test_a_limit_refuses_what_would_go_beyond_it_and_says_when_there_is_more():
    accounts, script = book(agent_scout=Limits(usd_per_day=0.01)), Script()
    accounts.take(script.responded(9_000))
    reserve(accounts, micro_usd=1_000)
    why = refused(accounts, micro_usd=1)
    assert (why.account, why.limit, why.most, why.spent) == ("agent:scout", "usd_per_day", 0.01, 0.009)
    assert why.until == accounts.day_ends
    assert "the budget of agent:scout does not allow it: $0.009 of $0.01 usd_per_day are spent" in str(why)
    reserve(accounts, calls=1)  # what costs no money goes on


def test_a_turn_is_not_told_by_its_number():
    why = Exhausted("turn:session:scout@garden#02BX", "tokens_per_turn", 10.0, 9.0, wanted=5.0)
    assert (
        str(why)
        == "the budget of this turn does not allow it: 9 of 10 tokens_per_turn are spent, this may cost 5"
    )


def test_what_is_settled_is_free_and_what_was_spent_is_not():
    accounts, script = book(garden=Limits(usd_per_day=0.01)), Script()
    held = reserve(accounts, micro_usd=10_000)
    refused(accounts, micro_usd=1)
    accounts.take(script.responded(4_000))
    accounts.settle(held)
    accounts.settle(held)
    reserve(accounts, micro_usd=6_000)
    refused(accounts, micro_usd=1)


def test_a_tool_call_that_is_over_is_held_until_its_end_is_in_the_journal():
    accounts, script = book(garden=Limits(calls_per_day=2)), Script()
    held = reserve(accounts, calls=1)
    accounts.end(held, "c1")
    reserve(accounts, calls=1)
    refused(accounts, calls=1)
    accounts.take(script.ran(call_id="c1"))
    assert accounts.garden.held[2] == 1 and accounts.garden.day[2] == 1
    accounts.end(next(iter(accounts.open)), "c2")
    accounts.take(script.event("turn.finished", SCOUT, {"turn": "M", "outcome": "stopped"}, "M"))
    assert not accounts.open and not accounts.ended  # its end is never written


def test_a_step_of_a_run_has_no_turn():
    accounts, script = book(), Script()
    reserve(accounts, AccountPath("run:R", "R.00003"), calls=1)
    accounts.take(script.ran(session="run:R", turn="R.00003"))
    assert "run:R" in accounts.accounts and not [n for n in accounts.accounts if n.startswith("turn:run")]
    accounts.take(script.event("workflow.run.finished", "run:R", {}))
    assert "run:R" not in accounts.accounts


def test_of_two_reservations_that_do_not_fit_together_the_first_wins_and_the_second_takes_nothing():
    accounts = book(garden=Limits(calls_per_day=1))
    reserve(accounts, calls=1)
    refused(accounts, AccountPath("session:keeper@garden"), calls=1)
    assert accounts.accounts["agent:keeper"].held == [0, 0, 0, 0.0]


def test_a_new_day_begins_at_midnight_of_the_garden_s_zone():
    made = Book(BudgetSettings(garden=Limits(usd_per_day=0.01)), ZoneInfo("Asia/Tokyo"))
    script = Script(NOON)  # 21:00 in Tokyo
    turned: list[int] = []
    made.day_turned = lambda before, spent: turned.append(spent["garden"].micro_usd if spent else 0)
    made.take(script.responded(10_000))
    refused(made, micro_usd=1)
    assert made.day_ends == NOON + 3 * 3600
    made.begin_day(NOON + 3 * 3600)
    reserve(made, micro_usd=10_000)
    assert made.garden.life[0] == 10_000
    assert turned == [0, 10_000]


def test_what_comes_late_is_of_its_own_day():
    accounts, script = book(), Script(NOON)
    accounts.begin_day(NOON + 86400)
    accounts.take(script.responded(500))
    assert (accounts.garden.day[0], accounts.garden.life[0]) == (0, 500)


def test_people_s_word_goes_before_the_record_s_and_that_before_the_settings():
    accounts, script = book(BudgetSettings(agent=Limits(usd_per_day=1.0, tokens_per_day=5))), Script()
    accounts.declare("agent:scout", Limits(usd_per_day=2.0))
    scout = accounts.touch("agent:scout")
    assert (scout.limits.usd_per_day, scout.limits.tokens_per_day) == (2.0, 5)
    said = BudgetSet("agent:scout", Limits(usd_per_day=3.0)).new(session="budget")
    accounts.take(script.event(said.kind, "budget", said.payload))
    assert (scout.limits.usd_per_day, scout.limits.tokens_per_day) == (3.0, 5)
    said = BudgetSet("agent:scout").new(session="budget")
    accounts.take(script.event(said.kind, "budget", said.payload))
    assert scout.limits.usd_per_day == 2.0


def test_without_a_word_there_are_safe_limits():
    accounts = Book(BudgetSettings())
    assert accounts.garden.limits.usd_per_day == 20.0
    assert accounts.touch("agent:scout").limits.usd_per_turn == 5.0


def test_a_turn_has_limits_of_its_own_and_the_next_begins_afresh():
    accounts, script = book(agent_scout=Limits(tokens_per_turn=100)), Script()
    accounts.take(script.responded(1, 100))
    why = refused(accounts, tokens=1)
    assert (why.account, why.limit, why.until) == (f"turn:{SCOUT}#M", "tokens_per_turn", None)
    reserve(accounts, AccountPath(SCOUT, "N", "fast"), tokens=100)
    accounts.take(script.event("turn.finished", SCOUT, {"turn": "M", "outcome": "failed"}, "M"))
    assert f"turn:{SCOUT}#M" not in accounts.accounts


def test_seconds_are_refused_when_they_are_gone():
    accounts, script = book(agent_scout=Limits(seconds_per_turn=1.0)), Script()
    reserve(accounts, calls=1)
    accounts.take(script.responded(1))
    assert refused(accounts, calls=1).limit == "seconds_per_turn"


def test_people_are_warned_once_for_each_limit():
    accounts, script = book(agent_scout=Limits(usd_per_day=0.01)), Script()
    assert accounts.take(script.responded(7_999)) == []
    ((account, cap),) = accounts.take(script.responded(1))
    assert (account.name, cap.limit) == ("agent:scout", "usd_per_day")
    assert accounts.take(script.responded(1)) == []


# --- children -----------------------------------------------------------------------------------------------------


def child_of(accounts: Book, script: Script, child: str = CHILD, **wanted: float) -> Limits:
    given_ = accounts.allot(AccountPath(SCOUT, "M"), child, Limits(**wanted))  # type: ignore[arg-type]
    assert isinstance(given_, Limits), given_
    accounts.take(script.asked(child, budget=given_.given()))
    return given_


def test_a_child_s_slice_is_its_own():
    accounts, script = book(agent_scout=Limits(usd_per_turn=1.0)), Script()
    assert child_of(accounts, script, usd=0.6).usd == 0.6
    refused(accounts, micro_usd=400_001)  # its parent has the rest
    reserve(accounts, micro_usd=400_000)
    path = AccountPath(CHILD, "N", "fast")
    reserve(accounts, path, micro_usd=600_000)  # and cannot take what is the child's
    assert refused(accounts, path, micro_usd=1).account == CHILD


def test_one_greedy_child_does_not_starve_its_sibling():
    accounts, script = book(agent_scout=Limits(usd_per_turn=1.0)), Script()
    greedy, modest = f"{SCOUT}/greedy", f"{SCOUT}/modest"
    child_of(accounts, script, greedy, usd=0.5)
    child_of(accounts, script, modest, usd=0.5)
    accounts.take(script.responded(900_000, session=greedy, turn="G"))  # far beyond what was reserved
    refused(accounts, AccountPath(greedy, "G"), micro_usd=1)
    left = accounts.left(AccountPath(modest, "H"))["usd"][0]
    assert left == 100_000  # of a dollar 0.9 are gone: its slice, as far as the parent still has it


def test_a_child_that_names_nothing_gets_half_of_what_is_left():
    accounts, script = book(agent_scout=Limits(usd_per_turn=1.0, tokens_per_turn=1001)), Script()
    given_ = child_of(accounts, script)
    assert (given_.usd, given_.tokens) == (0.5, 500)


def test_what_a_child_spends_is_its_parent_s_turn_s_too_and_the_rest_comes_back():
    accounts, script = book(agent_scout=Limits(usd_per_turn=1.0)), Script()
    child_of(accounts, script, usd=0.6)
    accounts.take(script.responded(200_000, session=CHILD, turn="N"))
    assert accounts.accounts[f"turn:{SCOUT}#M"].life[0] == 200_000
    assert accounts.accounts["agent:coder"].life[0] == 200_000
    refused(accounts, micro_usd=400_001)
    accounts.take(script.ended(CHILD))
    assert CHILD not in accounts.accounts and f"turn:{CHILD}#N" not in accounts.accounts
    reserve(accounts, micro_usd=800_000)
    refused(accounts, micro_usd=1)


def test_a_grandchild_has_a_slice_of_a_slice():
    accounts, script = book(agent_scout=Limits(usd_per_turn=1.0)), Script()
    child_of(accounts, script, usd=0.6)
    inner = f"{CHILD}/d1"
    given_ = accounts.allot(AccountPath(CHILD, "N"), inner, Limits(usd=9.0))
    assert isinstance(given_, Limits) and given_.usd == 0.6
    accounts.take(script.asked(inner, CHILD, "N", {"usd": 0.6}))
    accounts.take(script.responded(100_000, session=inner, turn="O"))
    assert accounts.accounts[f"turn:{SCOUT}#M"].life[0] == 100_000
    refused(accounts, AccountPath(CHILD, "N"), micro_usd=1)


def test_children_may_not_be_too_many_nor_too_deep():
    accounts, script = book(agent_scout=Limits(depth=1, children=2)), Script()
    path = AccountPath(SCOUT, "M")
    for name in ("c1", "c2"):
        child_of(accounts, script, f"{SCOUT}/{name}")
    assert accounts.allot(path, f"{SCOUT}/c3", Limits()) == Exhausted("agent:scout", "children", 2, 2)
    assert isinstance(accounts.allot(path, f"{SCOUT}/c2", Limits()), Limits)  # made again after a kill
    deep = accounts.allot(AccountPath(CHILD, "N"), f"{CHILD}/d", Limits())
    assert isinstance(deep, Exhausted) and deep.limit == "depth"
    assert "its limit depth is 1" in str(deep)


def test_where_nothing_is_left_there_is_no_child():
    accounts, script = book(agent_scout=Limits(usd_per_turn=1.0)), Script()
    accounts.take(script.responded(1_000_000))
    assert isinstance(accounts.allot(AccountPath(SCOUT, "M"), CHILD, Limits(usd=0.1)), Exhausted)


# --- properties ---------------------------------------------------------------------------------------------------

CHILDREN = [f"{SCOUT}/{name}" for name in ("a", "b", "a/c")]
SPENDERS = [(SCOUT, "M"), *((child, "N") for child in CHILDREN)]
LIMIT = 1000


class World:
    """Calls that are reserved, billed at most as reserved or beyond, settled or lost, by parents and children."""

    def __init__(self) -> None:
        self.script = Script()
        self.book = book(agent_scout=Limits(tokens_per_turn=LIMIT), room_garden=Limits(tokens_per_day=3000))
        self.events: list[Any] = []
        self.under_way: list[tuple[Reservation, str, str, int]] = []
        self.beyond = 0

    def take(self, event: Any) -> None:
        self.events.append(event)
        self.book.take(event)

    def step(self, what: str, who: int, size: int) -> None:
        session, turn = SPENDERS[who]
        match what:
            case "reserve":
                held = self.book.reserve(AccountPath(session, turn, "fast"), Amount(tokens=size), None)
                if isinstance(held, Reservation):
                    self.under_way.append((held, session, turn, size))
            case "child" if who:
                parent = session.rpartition("/")[0]
                above = AccountPath(parent, "N" if "/" in parent else "M")
                if session not in self.book.accounts:
                    slice_ = self.book.allot(above, session, Limits(tokens=size))
                    if isinstance(slice_, Limits):
                        self.take(self.script.asked(session, parent, above.turn, slice_.given()))
            case "end" if who and not any(at.startswith(session) for _, at, _, _ in self.under_way):
                self.take(self.script.ended(session))
            case _ if self.under_way:
                held, session, turn, reserved = self.under_way.pop(who % len(self.under_way))
                spent = min(size, reserved) if what == "bill" else 0 if what == "lose" else size
                self.beyond += max(0, spent - reserved)
                if spent:
                    self.take(self.script.responded(spent, spent, session, turn))
                self.book.settle(held)
        self.check()

    def check(self) -> None:
        for account in self.book.accounts.values():
            assert all(held >= 0 for held in account.held)
            for cap in account.caps:
                gone = account.used(cap) + account.held[cap.measure]
                assert gone <= cap.most + self.beyond
        turn = self.book.accounts.get(f"turn:{SCOUT}#M")
        if turn is not None and turn.slices and not self.beyond:
            measure = MEASURES.index("tokens")
            slices = sum(
                cap.most for each in turn.slices.values() for cap in each.caps if cap.measure == measure
            )
            own = turn.life[measure] + turn.held[measure]
            theirs = sum(each.life[measure] + each.held[measure] for each in turn.slices.values())
            assert slices <= LIMIT
            assert slices + own - theirs <= LIMIT


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["reserve", "reserve", "reserve", "bill", "bill", "over", "lose", "child", "end"]),
        st.integers(0, 3),
        st.integers(1, 400),
    ),
    max_size=60,
)


def numbers(accounts: Book) -> dict[str, Any]:
    return {view.name: (view.today, view.ever, view.limits) for view in account_views(accounts)}


@given(STEPS)
@settings(max_examples=200, deadline=None)
def test_nobody_spends_more_than_a_limit_but_by_what_calls_cost_beyond_their_reservations(
    steps: list[tuple[str, int, int]],
):
    world = World()
    for step in steps:
        world.step(*step)


@given(STEPS, st.integers(0, 60))
@settings(max_examples=100, deadline=None)
def test_folded_anew_from_anywhere_it_is_the_same(steps: list[tuple[str, int, int]], cut: int):
    world = World()
    for step in steps:
        world.step(*step)
    while world.under_way:
        world.step("lose", 0, 0)
    fresh = book(agent_scout=Limits(tokens_per_turn=LIMIT), room_garden=Limits(tokens_per_day=3000))
    for event in world.events[:cut]:
        fresh.take(event)
    data = msgspec.msgpack.encode(fresh.saved())
    again = Book(FREE)
    again.load(msgspec.msgpack.decode(data, type=Saved))
    for event in world.events:  # those before the snapshot change nothing
        again.take(event)
    expected = {
        name: each for name, each in numbers(world.book).items() if any(world.book.accounts[name].life)
    }
    found = {name: each for name, each in numbers(again).items() if any(again.accounts[name].life)}
    assert found == expected


@pytest.mark.parametrize("stream", ["", "run:x", "odd", SCOUT])
def test_whoever_spends_the_garden_pays(stream: str):
    accounts, script = book(), Script()
    accounts.take(script.responded(7, session=stream, turn=""))
    assert accounts.garden.life[0] == 7


def test_a_clock_that_goes_back_neither_stops_the_count_nor_gives_a_day_s_limit_twice():
    """A machine that wakes in the future, spends, and is put right: the day's limit holds."""
    accounts, script = book(garden=Limits(usd_per_day=0.01)), Script(NOON)
    clock = [NOON + 3 * 86_400]
    reader = Accounts(accounts, lambda: clock[0])
    reserve_ = reader.reserve(PATH, Amount(micro_usd=1))
    assert isinstance(reserve_, Reservation)
    reader.settle(reserve_)
    clock[0] = NOON
    assert isinstance(reader.reserve(PATH, Amount(micro_usd=1)), Reservation)
    accounts.take(script.responded(10_000))
    assert isinstance(reader.reserve(PATH, Amount(micro_usd=1)), Exhausted)


def test_a_session_with_a_limit_for_its_life_is_not_forgotten_among_many_others():
    accounts, script = book(), Script()
    accounts.take(script.event(BudgetSet.kind, "budget", {"account": SCOUT, "limits": {"usd": 0.01}}))
    accounts.take(script.responded(10_000))
    for number in range(MOST_IDLE + 10):
        accounts.touch(f"run:{number}")
    accounts.begin_day(NOON + 86_400)
    assert "run:0" not in accounts.accounts
    assert isinstance(accounts.reserve(PATH, Amount(micro_usd=1), None), Exhausted)
