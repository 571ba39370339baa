"""All accounts and what moves them: events of the journal charge them, reservations hold a part. No clock, no input.

A call is charged to its turn, its session, the sessions and turns above that, its agent, its room, its provider and
the garden. It may be made if each of them has enough left, counting what is held for others as spent and what is set
aside for a child as gone; so nobody can spend more than a limit but by what calls cost beyond their reservations.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, tzinfo

import msgspec

from planaria.config.budget import NO_LIMITS, BudgetSettings, Limits
from planaria.cortex.event import Event
from planaria.cortex.event_type import EventMismatch
from planaria.immune.amount import Amount
from planaria.immune.events import BudgetSet
from planaria.immune.ledger.account import MEASURES, Account, Cap, amount, plain, wants
from planaria.immune.ledger.account_path import AccountPath
from planaria.immune.ledger.bill import BILLS, TOOL, Bill, bill_of
from planaria.immune.ledger.chain import Chain
from planaria.immune.ledger.reserving import Exhausted, Reservation
from planaria.immune.ledger.spender import (
    GARDEN,
    agent_of,
    depth_of,
    is_session,
    kind_of,
    parent_of,
    room_of,
    turn_account,
)
from planaria.immune.ledger.stopping import spending

ASKED, ENDED, TURN_OVER, RUN_OVER = "child.asked", "child.finished", "turn.finished", "workflow.run.finished"
KINDS = frozenset({*BILLS, ASKED, ENDED, TURN_OVER, RUN_OVER, BudgetSet.kind})
"""Kinds of events that accounts are folded from."""
MOST_IDLE = 5000
"""Accounts of sessions, runs and turns that are kept; the oldest idle ones beyond go when a day begins."""


class Kept(msgspec.Struct):
    """One account in a snapshot."""

    name: str
    day: list[float]
    life: list[float]
    parent: str = ""
    turn: str = ""
    agent: str = ""
    began: float = 0.0
    children: int = 0
    limits: Limits = NO_LIMITS
    guessed: list[int] = []


class Try(msgspec.Struct):
    """The newest attempt of a turn at a model call that somebody has billed.

    Attributes:
        turn: as an account.
        at: unix seconds.
        guess: what it is taken to have cost, in micro-dollars and tokens, until its real usage is known; None then.
    """

    turn: str
    session: str
    cause: str
    provider: str
    step: int
    attempt: int
    at: float
    guess: tuple[int, int] | None = None


class Saved(msgspec.Struct):
    """The book in a snapshot: its accounts after the event `seq`, on the day of that number."""

    seq: int
    day: int
    accounts: list[Kept]
    set: dict[str, Limits]
    tries: list[Try] = []


class Book:
    """The accounts of a node.

    Args:
        settings: limits where nobody has said otherwise.
        zone: in which a day begins and ends.

    Attributes:
        seq: the last event that is in it.
        set: limits people have set, by account.
        declared: limits that records have, by account.
        day: the proleptic number of today; it lasts from `day_starts` until `day_ends`, unix seconds.
        open: reservations that are not settled.
        ended: of them, those of tool calls that are over and not in the journal yet; by session and call id.
        tries: the newest attempt at a model call of each turn that is not over; by the turn's account.
        passed: called when a limit is passed, with the calls under way that spend from it.
        day_turned: called when a day has begun, with the number of the one before and what was spent on it.
    """

    def __init__(self, settings: BudgetSettings, zone: tzinfo = UTC) -> None:
        self.settings = settings
        self.zone = zone
        self.seq = 0
        self.accounts: dict[str, Account] = {}
        self.set: dict[str, Limits] = {}
        self.declared: dict[str, Limits] = {}
        self.day = 0
        self.day_starts = self.day_ends = 0.0
        self.open: dict[Reservation, None] = {}
        self.ended: dict[tuple[str, str], Reservation] = {}
        self.tries: dict[str, Try] = {}
        self.passed: Callable[[Exhausted, list[Reservation]], object] = lambda why, spending: None
        self.day_turned: Callable[[int, dict[str, Amount]], object] = lambda before, spent: None
        self._above: dict[str, tuple[Account, ...]] = {}  # by session, without turn and provider
        self._chains: dict[AccountPath, Chain] = {}
        self.garden = self._account(GARDEN)

    # --- the journal ---------------------------------------------------------------------------------------------

    def take(self, event: Event) -> list[tuple[Account, Cap]]:
        """Take one event in, each once; answers the limits of which it has spent the soft part."""
        if event.seq <= self.seq or event.kind not in KINDS:
            return []
        self.seq = event.seq
        if event.at >= self.day_ends:
            self.begin_day(event.at)
        payload = event.payload
        if event.kind in BILLS:
            bill = bill_of(event)
            near = [] if bill is None else self._charge(bill, event.at)
            if self.ended and event.kind == TOOL:
                written = self.ended.pop((event.session, str(payload.get("call_id", ""))), None)
                if written is not None:
                    self.settle(written)
            return near
        match event.kind:
            case "child.asked":
                budget = payload.get("budget")
                limits = _slice(budget) if isinstance(budget, dict) else NO_LIMITS
                self.adopt(
                    event.session,
                    str(payload.get("parent", "")),
                    str(payload.get("turn", "")),
                    limits,
                    str(payload.get("agent", "")),
                )
            case "child.finished":
                self.part(event.session)
            case "turn.finished":
                self._turn_over(event.session, str(payload.get("turn", "")))
            case "workflow.run.finished":
                self._drop(event.session)
            case _:
                self._set(event)
        return []

    def _turn_over(self, session: str, turn: str) -> None:
        """Let go of a turn, and of what its calls hold whose end nobody will write any more."""
        for key, each in list(self.ended.items()):
            if (each.path.session, each.path.turn) == (session, turn):
                del self.ended[key]
                self.settle(each)
        self._drop(turn_account(session, turn))

    def _charge(self, bill: Bill, at: float) -> list[tuple[Account, Cap]]:
        chain = self.chain(AccountPath(bill.session, bill.turn, bill.provider))
        if bill.step is not None:
            bill = self._once(bill, bill.step, at)
        today = at >= self.day_starts
        near = chain.charge(wants(bill.amount), today, at)
        if bill.estimated:
            chain.guess(bill.amount.micro_usd, bill.amount.tokens, today)
        if self.open:
            self._look(chain)
        return near

    def _once(self, bill: Bill, step: int, at: float) -> Bill:
        """The bill of an attempt that may have had one before: real usage goes before estimates."""
        turn = turn_account(bill.session, bill.turn)
        amount = bill.amount
        before = self.tries.get(turn)
        if before is not None and (before.step, before.attempt) == (step, bill.attempt):
            if not (amount.tokens or amount.micro_usd) or (bill.estimated and before.guess is None):
                none = Amount(0, 0, amount.calls, amount.seconds)
                return msgspec.structs.replace(bill, amount=none, estimated=False)
            if before.guess is not None:
                self._take_back(before, *before.guess)
        guess = (amount.micro_usd, amount.tokens) if bill.estimated else None
        if guess is not None or amount.tokens or amount.micro_usd:
            self.tries[turn] = Try(
                *(turn, bill.session, bill.turn, bill.provider, step, bill.attempt, at, guess)
            )
        return bill

    def _take_back(self, before: Try, micro: int, tokens: int) -> None:
        """An estimate gives way to what is known."""
        chain = self.chain(AccountPath(before.session, before.cause, before.provider))
        today = before.at >= self.day_starts
        chain.charge((-micro, -tokens, 0, 0.0), today, before.at)
        chain.guess(-micro, -tokens, today)

    def _set(self, event: Event) -> None:
        try:
            said = BudgetSet.of(event)
        except EventMismatch:
            return  # of a later program: the settings count
        if said.limits == NO_LIMITS:
            self.set.pop(said.account, None)
        else:
            self.set[said.account] = said.limits
        self.relimit()

    def declare(self, account: str, limits: Limits) -> None:
        """These are the limits a record has for an account."""
        if self.declared.get(account, NO_LIMITS) != limits:
            self.declared[account] = limits
            self.relimit()

    def relimit(self) -> None:
        """Give every account the limits that count now; those that had none begin to take note of what is held."""
        self._chains.clear()
        for account in self.accounts.values():
            account.limit(self.limits_of(account.name))
            account.held[:] = [0, 0, 0, 0.0]
            account.running[:] = [0, 0]
        for reservation in self.open:
            reservation.chain = self.chain(reservation.path)
            reservation.chain.hold(wants(reservation.amount))
            reservation.chain.run(*reservation.streamed)
        for reservation in list(self.open):
            self._look(reservation.chain)

    def begin_day(self, at: float) -> bool:
        """From now on it is the day of this moment; False if it was already.

        An earlier day than today's means that the clock went back: what counted for today counts for that day then,
        so that nobody can spend a day's limit twice by it.
        """
        today = datetime.fromtimestamp(at, self.zone).date()
        number = today.toordinal()
        self.day_starts, self.day_ends = self._midnight(today), self._midnight(today + timedelta(days=1))
        if number == self.day:
            return False
        before, spent, self.day = self.day, self.spent_today(), number
        if number < before:
            return True
        for account in self.accounts.values():
            account.day[:] = [0, 0, 0, 0.0]
            account.told.clear()
            if account.guessed is not None:
                account.guessed[:2] = [0, 0]
        self._tidy()
        self.day_turned(before, spent)
        return True

    def _midnight(self, day: date) -> float:
        return datetime.combine(day, time(), self.zone).timestamp()

    def _tidy(self) -> None:
        idle = [
            account
            for account in self.accounts.values()
            if account.kind in ("session", "run", "turn")
            and account.name not in self.tries
            and not any(account.held)
            and not account.slices
            # What was given a limit, or a slice, for its life is not to forget what it has spent of it.
            and account.name not in self.set
            and not account.parent
        ]
        for account in idle[: max(0, len(idle) - MOST_IDLE)]:
            del self.accounts[account.name]
        self._forget_chains()

    # --- who is charged ------------------------------------------------------------------------------------------

    def chain(self, path: AccountPath) -> Chain:
        """The accounts a call is charged to."""
        chain = self._chains.get(path)
        if chain is not None:
            return chain
        if path.turn and not is_session(path.session):
            return self.chain(AccountPath(path.session, "", path.provider))
        above = self._above.get(path.session)
        if above is None:
            above = self._above[path.session] = self._chain(path.session)
        if path.turn:
            turn = self._account(turn_account(path.session, path.turn))
            turn.paths.append(path)
            above = (turn, *above)
        if path.provider:
            above = (*above, self._account(f"provider:{path.provider}"))
        chain = self._chains[path] = Chain(above, self.settings.soft)
        return chain

    def _forget_chains(self) -> None:
        """Who is charged, or who has a slice, is another now."""
        self._above.clear()
        self._chains.clear()

    def _chain(self, session: str) -> tuple[Account, ...]:
        if not session:
            return (self.garden,)
        found: dict[str, Account] = {}
        stream = session
        while stream:
            account = found[stream] = self._account(stream)
            if account.agent:
                found[account.agent] = self._account(account.agent)
            if account.turn:
                found[account.turn] = self._account(account.turn)
            stream = parent_of(stream)
        if is_session(session):
            for name in (f"agent:{agent_of(session)}", f"room:{room_of(session)}"):
                found[name] = self._account(name)
        found[GARDEN] = self.garden
        return tuple(found.values())

    def _account(self, name: str) -> Account:
        account = self.accounts.get(name)
        if account is None:
            account = self.accounts[name] = Account(name, kind_of(name) or "run")
            account.limit(self.limits_of(name))
        return account

    def touch(self, name: str) -> Account:
        """The account of this name, made if there is none."""
        return self._account(name)

    def limits_of(self, name: str) -> Limits:
        """The limits of an account: those people set, over those of its record, over those of the settings."""
        kind = kind_of(name)
        if kind == "turn":
            session = name[len("turn:") :].rpartition("#")[0]
            agent = f"agent:{agent_of(session)}"
            return self.set.get(session, NO_LIMITS).over(self.limits_of(agent))
        own = self.declared.get(name, NO_LIMITS).over(self.settings.of(kind))
        return self.set.get(name, NO_LIMITS).over(own)

    # --- before and after a call ---------------------------------------------------------------------------------

    def reserve(self, path: AccountPath, asked: Amount, holder: object) -> Reservation | Exhausted:
        """Set aside what a call may cost, at every account or at none."""
        chain = self.chain(path)
        wanted = wants(asked)
        refused = chain.refusal(wanted)
        if refused is not None:
            return self._exhausted(*refused, wanted[refused[1].measure])
        chain.hold(wanted)
        reservation = Reservation(path, asked, holder, chain)
        self.open[reservation] = None
        return reservation

    def settle(self, reservation: Reservation) -> None:
        """Hold it no longer; a second time changes nothing."""
        if reservation in self.open:
            self.over(reservation)
            del self.open[reservation]
            reservation.chain.hold(wants(reservation.amount), -1)

    def streamed(self, reservation: Reservation, micro: int, tokens: int) -> Exhausted | None:
        """A call under way is taken to have cost so much so far; its provider's limit, if that is passed with it."""
        if reservation not in self.open or reservation.over:
            return None
        before = reservation.streamed
        reservation.streamed = (micro, tokens)
        reservation.chain.run(micro - before[0], tokens - before[1])
        return self._look(reservation.chain, reservation)

    def over(self, reservation: Reservation) -> None:
        """A call has ended: what it cost comes from the journal, and nobody need stop it."""
        if not reservation.over and reservation in self.open:
            reservation.over = True
            micro, tokens = reservation.streamed
            reservation.streamed = (0, 0)
            reservation.chain.run(-micro, -tokens)

    def _look(self, chain: Chain, mine: Reservation | None = None) -> Exhausted | None:
        """Whether limits are passed; who spends from them is told so, each once.

        Returns:
            That of the provider of `mine`, if it is one of them: nobody is told of it.
        """
        first: Exhausted | None = None
        for account, cap in chain.passed():
            if mine is not None and account.kind == "provider":
                first = self._passed(account, cap)
            found = spending(self.open, account, cap)
            if found:
                for each in found:
                    each.told = True
                self.passed(self._passed(account, cap), found)
        return first

    def _passed(self, account: Account, cap: Cap) -> Exhausted:
        under_way = account.under_way(cap.measure)
        return Exhausted(
            account.name,
            cap.limit,
            plain(cap.measure, cap.most),
            plain(cap.measure, account.used(cap) + under_way),
            until=self.day_ends if cap.daily else None,
            estimated=plain(cap.measure, under_way),
        )

    def end(self, reservation: Reservation, call_id: str) -> None:
        """Hold it until the end of its call is in the journal, whoever writes that."""
        if reservation in self.open:
            self.over(reservation)
            reservation.holder = None
            self.ended[reservation.path.session, call_id] = reservation

    def reserved(self) -> dict[str, Amount]:
        """What calls under way hold, by account."""
        held: dict[str, list[float]] = {}
        for reservation in self.open:
            for account in reservation.chain.accounts:
                sums = held.setdefault(account.name, [0, 0, 0, 0.0])
                for measure, value in enumerate(wants(reservation.amount)):
                    sums[measure] += value
        return {name: amount(sums) for name, sums in held.items()}

    def _exhausted(self, account: Account, cap: Cap, want: float) -> Exhausted:
        measure = cap.measure
        return Exhausted(
            account.name,
            cap.limit,
            plain(measure, cap.most),
            plain(measure, account.used(cap)),
            plain(measure, account.held[measure] + account.aside(measure, (account,))),
            plain(measure, want),
            self.day_ends if cap.daily else None,
        )

    def left(self, path: AccountPath) -> dict[str, tuple[float, Account, Cap]]:
        """By measure, what the tightest account leaves, and which it is."""
        found: dict[str, tuple[float, Account, Cap]] = {}
        chain = self.chain(path).accounts
        for account in chain:
            for cap in account.caps:
                measure = cap.measure
                rest = cap.most - account.used(cap) - account.held[measure] - account.aside(measure, chain)
                name = MEASURES[measure]
                if name not in found or rest < found[name][0]:
                    found[name] = (max(0, rest), account, cap)
        return found

    # --- children ------------------------------------------------------------------------------------------------

    def allot(self, parent: AccountPath, child: str, wanted: Limits) -> Limits | Exhausted:
        """The slice a child gets of what its parent has left."""
        agent = self._account(f"agent:{agent_of(child)}")
        most_depth, most_children = agent.limits.depth, agent.limits.children
        if most_depth is not None and depth_of(child) > most_depth:
            return Exhausted(agent.name, "depth", most_depth, depth_of(parent.session))
        known = self.accounts.get(child)
        started = self.chain(parent).accounts[0].children
        if most_children is not None and started >= most_children and (known is None or not known.parent):
            return Exhausted(agent.name, "children", most_children, started)
        given: dict[str, float] = {}
        for name, (rest, account, cap) in self.left(parent).items():
            most = getattr(wanted, name)
            rest = plain(cap.measure, rest)
            share = rest / 2 if most is None else min(most, rest)
            if rest <= 0 or (most is None and share <= 0):
                return self._exhausted(account, cap, 0)
            given[name] = share if name in ("usd", "seconds") else int(share)
        for name in MEASURES:
            most = getattr(wanted, name)
            if name not in given and most is not None:
                given[name] = most
        return Limits(**given)  # type: ignore[arg-type]  # whole numbers where they are to be

    def adopt(self, child: str, parent: str, turn: str, limits: Limits, agent: str = "") -> None:
        """A child has begun, with this slice of its parent's turn and session to itself."""
        if not parent or not is_session(child):
            return
        self._forget_chains()
        account = self._account(child)
        first = not account.parent
        account.parent = parent
        account.turn = turn_account(parent, turn) if turn else ""
        account.agent = f"agent:{agent}" if agent else ""
        self.declared[child] = limits
        account.limit(self.limits_of(child))
        self._slices_of(account)
        if first and account.turn:
            self._account(account.turn).children += 1

    def _slices_of(self, account: Account) -> None:
        for name in (account.parent, account.turn):
            if name:
                above = self._account(name)
                if above.slices is None:
                    above.slices = {}
                above.slices[account.name] = account

    def part(self, child: str) -> None:
        """A child is over: what is left of its slice is its parent's again."""
        account = self.accounts.get(child)
        self.declared.pop(child, None)
        if account is None:
            return
        for name in (account.parent, account.turn):
            above = self.accounts.get(name)
            if above is not None and above.slices:
                above.slices.pop(child, None)
        for name in [child, *(name for name in self.accounts if name.startswith(f"turn:{child}#"))]:
            self._drop(name)

    def _drop(self, name: str) -> None:
        """Let go of an account that is over; children it still has go on without a slice of it."""
        account = self.accounts.pop(name, None)
        self.tries.pop(name, None)
        if account is None:
            return
        for path in account.paths:
            self._chains.pop(path, None)
        if account.kind != "turn" or account.slices:
            self._forget_chains()
        for each in (account.slices or {}).values():
            if each.turn == name:
                each.turn = ""
            if each.parent == name:
                each.parent = ""

    # --- snapshots -----------------------------------------------------------------------------------------------

    def saved(self) -> Saved:
        """The book as it is after its last event; reservations are not in it."""
        kept = [
            Kept(
                each.name,
                each.day,
                each.life,
                each.parent,
                each.turn,
                each.agent,
                each.began,
                each.children,
                self.declared.get(each.name, NO_LIMITS) if each.kind == "session" else NO_LIMITS,
                each.guessed or [],
            )
            for each in self.accounts.values()
        ]
        return Saved(self.seq, self.day, kept, self.set, list(self.tries.values()))

    def load(self, saved: Saved) -> None:
        """Be what was saved; for a new book."""
        self.seq = saved.seq
        self.set = saved.set
        for kept in saved.accounts:
            if kept.limits != NO_LIMITS:
                self.declared[kept.name] = kept.limits
            account = self._account(kept.name)
            account.day[:], account.life[:], account.began = kept.day, kept.life, kept.began
            account.parent, account.turn, account.agent = kept.parent, kept.turn, kept.agent
            account.children = kept.children
            account.guessed = kept.guessed or None
        self.tries = {each.turn: each for each in saved.tries}
        for account in list(self.accounts.values()):
            if account.parent:
                self._slices_of(account)
        self.relimit()
        if saved.day:
            first = date.fromordinal(saved.day)
            self.day = saved.day
            self.day_starts = self._midnight(first)
            self.day_ends = self._midnight(first + timedelta(days=1))

    def spent_today(self) -> dict[str, Amount]:
        """What each agent, room, provider and the garden have spent today; those that spent nothing left out."""
        return {
            each.name: amount(each.day)
            for each in self.accounts.values()
            if each.kind in ("garden", "agent", "room", "provider") and any(each.day)
        }


def _slice(budget: dict[str, object]) -> Limits:
    """What a child's first event says of its budget; what is no number, or no measure of ours, is left out."""
    named = {"usd": budget.get("usd"), "tokens": budget.get("tokens"), "seconds": budget.get("seconds")}
    named["calls"] = budget.get("calls")
    try:
        return msgspec.convert({name: most for name, most in named.items() if most is not None}, Limits)
    except msgspec.ValidationError:
        return NO_LIMITS
