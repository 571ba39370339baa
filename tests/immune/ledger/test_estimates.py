"""What a call that broke off is taken to have cost: charged, marked, and given way to what is known."""

from typing import Any

import msgspec

from planaria.config.budget import BudgetSettings, Limits
from planaria.cortex.event import Event
from planaria.immune.amount import Amount
from planaria.immune.ledger.account_path import AccountPath
from planaria.immune.ledger.account_views import account_views
from planaria.immune.ledger.book import Book, Saved
from planaria.immune.ledger.reserving import Exhausted, Reservation
from tests.immune.journal import NOON, SCOUT, Script

PATH = AccountPath(SCOUT, "M", "fast")


def book(**limits: Limits) -> Book:
    made = Book(BudgetSettings(garden=Limits(usd_per_day=1.0), agent=Limits()))
    made.begin_day(NOON)
    for name, each in limits.items():
        made.set[name.replace("_", ":", 1)] = each
    made.relimit()
    return made


def estimate(micro: int, tokens: int, attempt: int = 1, provider: str = "fast") -> dict[str, Any]:
    usage = {"input_tokens": tokens, "output_tokens": 0}
    return {
        "step": 0,
        "attempt": attempt,
        "provider": provider,
        "model": "m",
        "usage": usage,
        "cost_micro": micro,
    }


def failed(script: Script, micro: int, tokens: int, attempt: int = 1, provider: str = "fast") -> Event:
    guess = estimate(micro, tokens, attempt, provider)
    payload = {"turn": "M", "step": 0, "attempt": attempt, "provider": provider, "estimate": guess}
    return script.event("model.failed", SCOUT, payload, "M")


def answered(script: Script, micro: int, tokens: int, attempt: int = 1) -> Event:
    event = script.responded(micro, tokens)
    return msgspec.structs.replace(event, payload={**event.payload, "step": 0, "attempt": attempt})


def spent(accounts: Book, name: str = "garden") -> tuple[Amount, Amount]:
    view = next(view for view in account_views(accounts) if view.name == name)
    return view.today, view.today_estimated


def test_an_attempt_that_broke_off_is_charged_as_estimated_and_the_part_is_known():
    accounts, script = book(), Script()
    accounts.take(failed(script, 900, 300))
    accounts.take(answered(script, 100, 30, attempt=2))
    assert spent(accounts) == (Amount(1000, 330, 2, 1.0), Amount(900, 300))
    assert spent(accounts, "provider:fast") == (Amount(1000, 330, 2, 1.0), Amount(900, 300))
    (limit,) = account_views(accounts)[0].limits
    assert (limit.spent, limit.estimated) == (0.001, 0.0009)


def test_real_usage_of_the_same_attempt_takes_the_place_of_the_estimate_whichever_is_told_first():
    accounts, script = book(), Script()
    accounts.take(failed(script, 900, 300))
    accounts.take(failed(script, 950, 310))  # made again under its key, and broke off again
    assert spent(accounts) == (Amount(950, 310, 2), Amount(950, 310))
    accounts.take(answered(script, 700, 200))
    assert spent(accounts) == (Amount(700, 200, 3, 1.0), Amount())
    accounts.take(script.event("turn.stopped", SCOUT, {"turn": "M", "estimate": estimate(950, 310)}, "M"))
    assert spent(accounts)[0].micro_usd == 700


def test_an_attempt_made_again_of_which_nobody_tells_anything_keeps_its_estimate():
    accounts, script = book(), Script()
    accounts.take(failed(script, 900, 300))
    accounts.take(
        script.event("model.failed", SCOUT, {"turn": "M", "step": 0, "attempt": 1, "provider": "fast"}, "M")
    )
    assert spent(accounts) == (Amount(900, 300, 2), Amount(900, 300))


def test_a_call_that_was_stopped_or_cut_off_by_a_guard_is_charged_too_and_one_that_was_never_answered_is_not():
    accounts, script = book(), Script()
    accounts.take(script.event("turn.stopped", SCOUT, {"turn": "M", "by": "ada"}, "M"))
    accounts.take(script.event("session.tripped", SCOUT, {"turn": "M", "step": 0, "cause": "stall"}, "M"))
    assert spent(accounts) == (Amount(), Amount())
    accounts.take(
        script.event("session.tripped", SCOUT, {"turn": "M", "step": 0, "estimate": estimate(5, 2)}, "M")
    )
    accounts.take(
        script.event("turn.stopped", SCOUT, {"turn": "N", "estimate": estimate(7, 3, provider="slow")}, "N")
    )
    assert spent(accounts) == (Amount(12, 5, 2), Amount(12, 5))
    assert spent(accounts, "provider:slow")[0] == Amount(7, 3, 1)


def test_a_snapshot_in_between_changes_nothing():
    accounts, script = book(), Script()
    accounts.take(failed(script, 900, 300))
    again = book()
    again.load(msgspec.msgpack.decode(msgspec.msgpack.encode(accounts.saved()), type=Saved))
    assert spent(again) == spent(accounts) == (Amount(900, 300, 1), Amount(900, 300))
    again.take(answered(script, 700, 200))
    assert spent(again) == (Amount(700, 200, 2, 1.0), Amount())


def test_an_estimate_of_yesterday_is_taken_back_from_yesterday():
    accounts, script = book(), Script()
    accounts.take(failed(script, 900, 300))
    accounts.begin_day(NOON + 86_400)
    script.at = NOON + 86_400
    accounts.take(answered(script, 700, 200))
    assert spent(accounts)[0].micro_usd == 700
    assert accounts.garden.life[0] == 700


# --- limits that are passed while answers are written -----------------------------------------------------------------


class Watch:
    """A book with a limit of a thousand millionths for the agent, and who is told that it is passed."""

    def __init__(self, **limits: Limits) -> None:
        self.book = book(**(limits or {"agent_scout": Limits(usd_per_day=0.001)}))
        self.script = Script()
        self.told: list[tuple[str, list[str]]] = []
        self.book.passed = lambda why, spending: self.told.append(
            (str(why.account), [each.path.session for each in spending])
        )

    def reserve(
        self, session: str = SCOUT, turn: str = "M", micro: int = 400, provider: str = "fast"
    ) -> Reservation:
        held = self.book.reserve(AccountPath(session, turn, provider), Amount(micro, 10, 1), None)
        assert isinstance(held, Reservation), str(held)
        return held


def test_answers_being_written_pass_a_limit_together_and_all_who_spend_from_it_are_told_once():
    watch = Watch()
    here, there = watch.reserve(), watch.reserve("session:scout@kitchen", "N")
    free = watch.reserve("session:scout@attic", "O", micro=0)
    watch.book.streamed(here, 500, 1)
    assert watch.told == []
    watch.book.streamed(there, 500, 1)
    assert watch.told == [("agent:scout", [SCOUT, "session:scout@kitchen"])]
    watch.book.streamed(there, 600, 1)
    assert len(watch.told) == 1 and not free.told


def test_a_call_that_has_ended_stops_the_others_and_is_not_stopped_itself():
    watch = Watch()
    mine, other = watch.reserve(), watch.reserve("session:scout@kitchen", "N")
    watch.book.streamed(mine, 450, 1)
    watch.book.over(mine)  # its usage is on its way into the journal
    watch.book.take(watch.script.responded(1_000))
    watch.book.settle(mine)
    assert watch.told == [("agent:scout", ["session:scout@kitchen"])]
    watch.book.settle(other)
    assert [account.running for account in watch.book.accounts.values() if any(account.running)] == []


def test_who_spends_from_another_account_goes_on():
    watch = Watch()
    watch.reserve("session:mole@garden", "N")
    watch.book.streamed(watch.reserve(), 1_000, 1)
    assert watch.told == [("agent:scout", [SCOUT])]


def test_a_call_that_is_refused_for_what_others_have_set_aside_stops_nobody():
    watch = Watch()
    watch.reserve(micro=900)
    assert isinstance(watch.book.reserve(PATH, Amount(900, 10, 1), None), Exhausted)
    assert watch.told == []


def test_a_limit_that_is_lowered_below_what_is_spent_stops_what_is_under_way():
    watch = Watch()
    watch.reserve()
    watch.book.take(watch.script.responded(300))
    watch.book.set["agent:scout"] = Limits(usd_per_day=0.0002)
    watch.book.relimit()
    assert watch.told == [("agent:scout", [SCOUT])]


def test_the_limit_of_a_provider_is_told_to_the_call_alone_since_others_may_be_asked():
    watch = Watch(provider_fast=Limits(usd_per_day=0.001))
    held = watch.reserve()
    assert watch.book.streamed(held, 900, 1) is None
    passed = watch.book.streamed(held, 1_100, 1)
    assert isinstance(passed, Exhausted) and passed.account == "provider:fast"
    assert watch.told == []


def test_what_is_being_written_is_counted_at_accounts_with_limits_alone_and_gone_when_it_ends():
    watch = Watch()
    held = watch.reserve()
    watch.book.streamed(held, 300, 7)
    running = {each.name: each.running for each in watch.book.accounts.values() if any(each.running)}
    turn = f"turn:{SCOUT}#M"  # of which there is a limit by default
    assert running == {"agent:scout": [300, 7], "garden": [300, 7], turn: [300, 7]}
    watch.book.relimit()
    assert watch.book.garden.running == [300, 7]
    watch.book.settle(held)
    assert watch.book.garden.running == [0, 0]
