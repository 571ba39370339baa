"""A whole model call: attempts at one candidate after another, waits, refusals, and what is told of it."""

import random
from collections.abc import AsyncIterator
from typing import Any

import msgspec

import planaria.membrane.models.directory as directory
from planaria.config.breakers import BreakerPolicy, BreakerSettings
from planaria.config.budget import BudgetSettings
from planaria.config.providers import LimitSettings, ProviderSettings
from planaria.config.secret import Secret
from planaria.config.settings import ModelSettings
from planaria.immune.amount import Amount
from planaria.immune.breakers.table import BreakerTable, breakers_of
from planaria.immune.ledger.book import Book as Accounting
from planaria.immune.ledger.ledger import AccountPath, Accounts
from planaria.immune.ledger.reserving import Exhausted, Reservation
from planaria.membrane.calls.call import Listener, NoNotes, call_model
from planaria.membrane.calls.exchange import Caller, Exchange, Waiting
from planaria.membrane.calls.permits import Permits
from planaria.membrane.calls.process import Calls, leave_room, wait_for_permit, wait_for_room
from planaria.membrane.calls.seat import Seat
from planaria.membrane.calls.treatment import Tried, Verdict
from planaria.membrane.errors import (
    AuthenticationFailed,
    Overloaded,
    ProviderError,
    RateLimited,
    StreamCut,
)
from planaria.membrane.models.catalogue import Catalogue, CatalogueModel, CatalogueProvider, ProviderLimits
from planaria.membrane.models.changes import GivenKey
from planaria.membrane.models.models import Choice, Models
from planaria.membrane.models.prices import ModelPrice
from planaria.membrane.models.router import Request
from planaria.membrane.provider import Delta, Message, ModelRequest, ModelResponse, Patience, Piece, Usage
from planaria.membrane.providers.openai_compatible import OpenAICompatible
from planaria.otp import (
    GenServer,
    Pid,
    broadcast,
    child,
    exit_signal,
    hang,
    node_,
    register,
    self_,
    send,
    sleep,
    supervisor,
    wall_time,
    whereis,
)
from planaria.otp.kernel.table import publish
from planaria.testing.models import Fail, ScriptedProvider
from planaria.testing.node import TestNode

REQUEST = ModelRequest("", (Message("user", "hello"),), idempotency_key="k")
LIMITS = ProviderLimits(concurrency=1, queue=1)


class Market:
    """Scripted providers in a catalogue."""

    def __init__(self, limits: ProviderLimits = LIMITS, **scripts: list[Any]) -> None:
        self.providers = {name: ScriptedProvider(lines, name, ("m",)) for name, lines in scripts.items()}
        self.catalogue = Catalogue(
            tuple(
                CatalogueProvider(name, "openai", models=(CatalogueModel("m"),), limits=limits)
                for name in scripts
            ),
            default=f"{next(iter(scripts))}/m",
            fallback={"default": tuple(f"{name}/m" for name in scripts)},
        )

    def resolve(self, ref: str | None = None) -> Choice:
        name, _, model = (ref or "").partition("/")
        return Choice(self.providers[name], model, False)

    def cost_micro(self, provider: str, model: str, usage: Usage) -> int | None:
        return usage.input_tokens


class Book(NoNotes):
    """Notes in words."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    async def requested(self, seat: Seat, request: ModelRequest, attempt: int) -> None:
        self.lines.append(f"{attempt} {seat.candidate.ref} {request.idempotency_key}")

    async def failed(
        self, seat: Seat | None, error: ProviderError, attempt: int, then: Verdict, cost_micro: int | None
    ) -> None:
        self.lines.append(f"{attempt} {error.kind} {then.then} {cost_micro}")


class Heard(Listener):
    """What was heard."""

    def __init__(self) -> None:
        self.text = ""

    def piece(self, delta: Delta) -> None:
        self.text += delta.text

    def again(self, error: ProviderError) -> None:
        self.text += "|"


async def ask(
    node: TestNode, market: Market, permits: Permits | None = None, tried: tuple[Tried, ...] = ()
) -> tuple[str, Book, Heard]:
    book, heard = Book(), Heard()

    async def call() -> str:
        try:
            exchange = Exchange(market, permits)
            answer = await call_model(*(exchange, Request(), REQUEST, Caller("run:1"), book, heard, tried))
        except ProviderError as error:
            return f"{type(error).__name__}: {error}"
        return answer.text

    done: list[str] = []

    async def work() -> None:
        done.append(await call())

    node.spawn(work)
    for _ in range(400):
        await node.settle()
        if done:
            return done[0], book, heard
        await node.advance(0.5)
    raise AssertionError("it does not end")


async def test_the_next_candidate_answers_and_what_came_before_does_not_count(node: TestNode):
    market = Market(a=[Fail(StreamCut("cut"), ("half an ",))], b=["Whole."])
    text, book, heard = await ask(node, market)
    assert text == "Whole." and heard.text == "half an |Whole."
    assert book.lines == ["1 a/m k/1", "1 stream_cut other None", "2 b/m k/2"]


async def test_what_a_failed_attempt_took_is_told(node: TestNode):
    error = Overloaded("busy")
    error.usage = Usage(70, 0)
    _, book, _ = await ask(node, Market(a=[Fail(error)], b=["Yes."]))
    assert "1 overloaded other 70" in book.lines


async def test_when_all_have_failed_they_are_asked_again_after_a_rest(node: TestNode):
    market = Market(a=[Fail(Overloaded("busy")), "Now."], b=[Fail(AuthenticationFailed("set B_KEY"))])
    text, book, _ = await ask(node, market)
    assert text == "Now." and [line for line in book.lines if "/m" in line] == [
        *("1 a/m k/1", "2 b/m k/2", "3 a/m k/3")
    ]


async def test_the_last_failure_is_raised_when_nobody_is_left(node: TestNode):
    market = Market(a=[Fail(AuthenticationFailed("set A_KEY"))], b=[Fail(AuthenticationFailed("set B_KEY"))])
    text, book, _ = await ask(node, market)
    assert text == "AuthenticationFailed: set B_KEY"
    assert book.lines[-1] == "2 authentication_failed stop None"


async def test_it_goes_on_where_an_earlier_process_was_killed(node: TestNode):
    market = Market(a=["not asked"], b=["Yes."])
    tried = (Tried("a", "m", "timed_out", 1),)
    text, book, _ = await ask(node, market, tried=tried)
    assert text == "Yes." and book.lines == ["2 b/m k/2"]


async def test_who_asked_for_time_is_waited_for_only_if_nobody_else_is_there(node: TestNode):
    await node.start(supervisor(child(Calls, permits := Permits(), name="calls"), name="root"))
    alone = Market(a=[Fail(RateLimited("slow", retry_after=20.0)), "Later."])
    begun = node.now
    text, _, _ = await ask(node, alone, permits)
    assert text == "Later." and node.now - begun >= 20.0
    other = Market(a=["not asked"], b=["At once."])
    await node.run(_rest, permits, other)
    text, book, _ = await ask(node, other, permits)
    assert text == "At once." and book.lines == ["1 b/m k/1"]


async def exit_of(node: TestNode, name: str) -> None:
    """Kill the process of this name."""

    async def kill() -> None:
        pid = whereis(name)
        assert pid is not None
        exit_signal(pid, "kill")

    await node.run(kill)
    await node.settle()


async def _rest(permits: Permits, market: Market) -> None:
    permits.rest("a", market.catalogue.providers[0].limits, 30.0, "it asked for time")


async def test_a_full_queue_is_told_and_asked_again_later(node: TestNode):
    """Back-pressure: nobody is dropped, and whoever waits knows why."""
    await node.start(supervisor(child(Calls, permits := Permits(), name="calls"), name="root"))
    market = Market(a=["Yes."])
    limits = market.catalogue.providers[0].limits
    told: list[Waiting] = []

    async def busy() -> None:
        permit = permits.acquire_nowait("a", limits, "busy", 1)
        permit = permit or await wait_for_permit("a", limits, "busy", 1)
        await sleep(40.0)
        permits.give_back(permit)

    async def late() -> None:
        async def tell(waiting: Waiting) -> None:
            told.append(waiting)

        seat = await Exchange(market, permits).seat(Request(), Caller("late"), tell=tell)
        seat.end()
        seat.close()
        told.append(Waiting("", "seated"))

    for _ in range(2):
        node.spawn(busy)
        await node.settle()
    node.spawn(late)
    await node.settle()
    assert [(each.round, each.seconds) for each in told if not each.provider] == [(0, 30.0)]
    assert "a is busy: 1 calls are under way and 1 wait already" in told[-1].why
    await node.advance(30.0)
    assert [(each.round, each.seconds) for each in told if not each.provider][1:] == [(1, 30.0)]
    await node.advance(10.0)  # a call is over, so there is a place in the queue
    assert told[-1].provider == "a"
    await node.advance(40.0)
    assert told[-1].why == "seated"


async def test_a_crowd_before_a_full_queue_is_served_as_fast_as_calls_end_and_in_order(node: TestNode):
    await node.start(supervisor(child(Calls, permits := Permits(), name="calls"), name="root"))
    market = Market(a=["Yes."])
    served: list[int] = []

    async def one(number: int) -> None:
        seat = await Exchange(market, permits).seat(Request(), Caller(f"s{number}"))
        await sleep(1.0)
        seat.end()
        seat.close()
        served.append(number)

    for number in range(100):
        node.spawn(one, number)
        await node.settle()
    await node.advance(50.0)
    assert len(served) == 50
    await exit_of(node, "calls")  # those who stood outside ask again
    await node.advance(60.0)
    assert sorted(served) == list(range(100))
    assert served[:30] == list(range(30))  # after half a minute each asks anew, and the order is not kept


async def test_a_place_that_somebody_was_told_of_and_does_not_take_goes_to_the_next_outside(node: TestNode):
    """Whoever was told is killed on the way, or has found a seat elsewhere: nobody else waits half a minute for it."""
    await node.start(supervisor(child(Calls, permits := Permits(), name="calls"), name="root"))
    market = Market(a=["Yes."])
    limits = market.catalogue.providers[0].limits
    served: list[str] = []

    async def hold(name: str, seconds: float) -> None:
        seat = await Exchange(market, permits).seat(Request(), Caller(name))
        served.append(name)
        await sleep(seconds)
        seat.close()

    async def end(pid: Pid) -> None:
        exit_signal(pid, "kill")

    async def told_and_gone() -> None:
        await wait_for_room(["a"], 100.0)
        await hang()

    async def told_and_seated() -> None:
        await wait_for_room(["a"], 100.0)
        assert permits.acquire_nowait("b", limits, "elsewhere", 1) is not None
        leave_room()
        await hang()

    for name, seconds in (("holds", 5.0), ("waits", 5.0)):
        node.spawn(hold, name, seconds)
        await node.settle()
    gone = node.spawn(told_and_gone)
    await node.settle()
    node.spawn(told_and_seated)
    await node.settle()
    node.spawn(hold, "last", 1.0)
    await node.advance(5.0)
    await node.run(end, gone)
    await node.settle()
    await node.advance(5.0)
    assert served == ["holds", "waits", "last"]


async def test_who_was_told_of_a_place_and_is_seated_at_once_leaves_it_to_the_next(node: TestNode):
    await node.start(supervisor(child(Calls, permits := Permits(), name="calls"), name="root"))
    market = Market(a=["no"])
    served: list[str] = []

    async def hold(name: str, seconds: float) -> None:
        seat = await Exchange(market, permits).seat(Request(), Caller(name))
        served.append(name)
        await sleep(seconds)
        seat.close()

    async def end(*pids: Pid) -> None:
        for pid in pids:
            exit_signal(pid, "kill")

    pids: list[Pid] = []
    for name, seconds in (("holds", 100.0), ("waits", 100.0), ("first", 100.0), ("second", 1.0)):
        pids.append(node.spawn(hold, name, seconds))
        await node.settle()
    await node.run(end, pids[1], pids[0])  # the first of those outside finds nobody before it
    await node.settle()
    assert served == ["holds", "first"]
    assert len(permits.lanes["a"].queue) == 1


async def test_one_who_waits_in_the_queue_is_told_before_whom(node: TestNode):
    await node.start(supervisor(child(Calls, permits := Permits(), name="calls"), name="root"))
    market = Market(a=["Yes."])
    told: list[Waiting] = []

    async def first() -> None:
        seat = await Exchange(market, permits).seat(Request(), Caller("first"))
        await sleep(5.0)
        seat.close()

    async def second() -> None:
        async def tell(waiting: Waiting) -> None:
            told.append(waiting)

        seat = await Exchange(market, permits).seat(Request(), Caller("second"), tell=tell)
        assert seat.waited == 5.0
        seat.close()
        told.append(Waiting("", "seated"))

    node.spawn(first)
    await node.settle()
    node.spawn(second)
    await node.settle()
    assert told == [Waiting("a", "1 calls are under way at a, 0 wait before it")]
    await node.advance(5.0)
    assert told[-1].why == "seated" and permits.lanes["a"].held == set()


async def test_what_a_person_holds_back_does_not_end_a_wait_for_another(node: TestNode):
    """The queue of one is full, the breaker of the other was opened by hand: the first is waited for."""
    await node.start(supervisor(child(Calls, permits := Permits(), name="calls"), name="root"))
    await owned(node, "breakers", BreakerTable(BreakerSettings(), node.clock.wall))
    market = Market(a=["not asked"], b=["Later."])

    async def hold() -> None:
        breakers_of(node_()).make("provider:a").open_by_hand(wall_time(), "ada")

    async def busy() -> None:
        permit = permits.acquire_nowait("b", LIMITS, "busy", 1)
        permit = permit or await wait_for_permit("b", LIMITS, "busy", 1)
        await sleep(10.0)
        permits.give_back(permit)

    await node.run(hold)
    for _ in range(2):
        node.spawn(busy)
        await node.settle()
    text, book, _ = await ask(node, market, permits)
    assert text == "Later." and book.lines == ["1 b/m k/1"]


async def owned(node: TestNode, name: str, table: object) -> None:
    """A table that a process of this name owns."""

    async def keep() -> None:
        register(name)
        publish(self_(), table)
        await hang()

    node.spawn(keep)
    await node.settle()


async def test_one_that_had_to_be_waited_for_is_paid_for_like_any_other(node: TestNode):
    """A budget that is used up is not gone round by asking whom the router had left out for a while."""
    asked: list[Amount] = []

    class Bank(Accounts):
        def reserve(self, path: AccountPath, amount: Amount) -> Reservation | Exhausted:
            asked.append(amount)
            return super().reserve(path, amount)

    await node.start(supervisor(child(Calls, permits := Permits(), name="calls"), name="root"))
    await owned(node, "ledger", Bank(Accounting(BudgetSettings()), node.clock.wall))
    model = CatalogueModel("m", prices=ModelPrice(1_000_000, 2_000_000))
    market = Market(a=["Later."])
    market.catalogue = Catalogue((CatalogueProvider("a", "openai", models=(model,), limits=LIMITS),), "a/m")
    await node.run(_rest, permits, market)
    text, _, _ = await ask(node, market, permits)
    assert text == "Later." and [each.micro_usd for each in asked] == [2000]


async def test_who_waited_uses_the_key_of_now_and_nobody_who_was_switched_off(node: TestNode):
    old, new = Secret("old-key-of-work"), Secret("new-key-of-work")
    permits, found = Permits(), list[str]()
    server = ProviderSettings(base_url="https://models.example.org/v1", models=("m",))
    given = Models.discover(ModelSettings(default="work/m"), {}).changed(
        stored={"work": msgspec.structs.replace(server, limits=LimitSettings(concurrency=1))},
        keys={"work": GivenKey(old, "https://models.example.org")},
    )
    now_ = [given]

    class Directory(GenServer):
        def init(self) -> None:
            self.now = directory._Now()  # pyright: ignore[reportPrivateUsage]
            self.now.models = given
            publish(self.pid, self.now)

        def handle_info(self, message: Any) -> None:
            before, self.now.models = self.now.models, message
            if before is not None and before.catalogue != message.catalogue:
                broadcast("models", directory.ModelsChanged(False))

    await node.start(
        supervisor(child(Directory, name="models"), child(Calls, permits, name="calls"), name="root")
    )

    async def one(number: int) -> None:
        try:
            seat = await Exchange(now_[0], permits).seat(Request(), Caller(f"s{number}"))
        except ProviderError as error:
            found.append(type(error).__name__)
            return
        provider = seat.choice.provider
        assert isinstance(provider, OpenAICompatible) and provider.vendor.key is not None
        found.append(provider.vendor.key.reveal())
        await sleep(10.0)
        seat.close()

    async def change(models: Models) -> None:
        send("models", models)

    for number in range(3):
        node.spawn(one, number)
        await node.settle()
    assert found == ["old-key-of-work"]
    await node.run(change, given.changed(keys={"work": GivenKey(new, "https://models.example.org")}))
    await node.advance(11.0)
    assert found == ["old-key-of-work", "new-key-of-work"]
    await node.run(change, given.changed(stored={"work": ProviderSettings(enabled=False)}))
    await node.advance(5.0)
    assert found[2:] == ["ModelNotFound"] and permits.lanes["work"].queue.flows == {}
    await node.advance(10.0)
    assert permits.lanes["work"].held == set()


async def test_more_room_is_given_to_those_who_wait_though_nobody_new_comes(node: TestNode):
    permits, served = Permits(), list[int]()
    given = Models.discover(ModelSettings(default="offline"), {})
    entry = msgspec.structs.replace(given.catalogue.providers[-1], limits=ProviderLimits(concurrency=3))

    class Directory(GenServer):
        def init(self) -> None:
            now_ = directory._Now()  # pyright: ignore[reportPrivateUsage]
            now_.models = given
            publish(self.pid, now_)

    await node.start(
        supervisor(child(Directory, name="models"), child(Calls, permits, name="calls"), name="root")
    )

    async def one(number: int) -> None:
        permit = permits.acquire_nowait("offline", LIMITS, "a", 1)
        permit = permit or await wait_for_permit("offline", ProviderLimits(concurrency=1), f"s{number}", 1)
        served.append(number)
        await sleep(100.0)
        permits.give_back(permit)

    async def change() -> None:
        given.catalogue = Catalogue((entry,))
        broadcast("models", directory.ModelsChanged(True))

    for number in range(3):
        node.spawn(one, number)
        await node.settle()
    assert served == [0]
    await node.run(change)
    await node.settle()
    assert served == [0, 1, 2]


async def test_a_call_that_began_under_other_limits_does_not_bring_them_back(node: TestNode):
    async def work() -> int | None:
        permits = Permits()
        permits.lane("a", ProviderLimits(concurrency=1))
        permits.lane("a", ProviderLimits(concurrency=5))
        permits.rest("a", ProviderLimits(concurrency=1), 5.0, "it asked for time")
        return permits.lanes["a"].limits.concurrency

    assert await node.run(work) == 5


async def test_no_storm_of_failures_kills_and_restarts_leaves_anything_held(node: TestNode):
    """Permits, places in queues, tries of breakers and money set aside: all of it comes back."""
    await node.start(
        supervisor(child(Calls, permits := Permits(), name="calls"), name="root", max_restarts=100)
    )
    policy = BreakerPolicy(failures=2, rate=0.0, cooldown=1.0, growth=1.0, jitter=0.0)
    breakers = BreakerTable(BreakerSettings(provider=policy), node.clock.wall)
    accounts = Accounts(Accounting(BudgetSettings()), node.clock.wall)
    await owned(node, "breakers", breakers)
    await owned(node, "ledger", accounts)
    chance = random.Random(7)

    class Moody:
        """Slow, and often broken."""

        def __init__(self, name: str) -> None:
            self.name = name

        async def stream(self, request: ModelRequest) -> AsyncIterator[Piece]:
            await sleep(chance.random())
            if chance.random() < 0.5:
                raise chance.choice(
                    [Overloaded("busy"), RateLimited("slow", retry_after=0.5), StreamCut("cut")]
                )
            yield ModelResponse("yes", (), Usage(10, 5), "stop", "m", self.name)

    market = Market(ProviderLimits(concurrency=2, queue=4), a=[], b=[])
    market.providers = {"a": Moody("a"), "b": Moody("b")}  # type: ignore[dict-item]

    async def one(number: int) -> None:
        try:
            await call_model(Exchange(market, permits), Request(), REQUEST, Caller(f"run:{number % 5}"))
        except ProviderError:
            pass

    alive: list[Pid] = []
    for number in range(150):
        alive.append(node.spawn(one, number))
        if chance.random() < 0.4:
            await node.run(_kill, alive.pop(chance.randrange(len(alive))))
        if chance.random() < 0.05:
            await node.run(_kill, node["calls"])
        await node.advance(chance.random() / 5)
    await node.advance(1500.0)
    assert not [pid for pid in alive if pid.alive]
    assert [(len(lane.held), len(lane.queue)) for lane in permits.lanes.values()] == [(0, 0), (0, 0)]
    assert not accounts.book.open
    assert [each.probe for each in breakers if each.state == "half_open" and each.probe is not None] == []
    assert any(each.number > 2 for each in breakers)  # they did open and close


async def _kill(pid: Pid) -> None:
    exit_signal(pid, "kill")


async def test_a_provider_is_waited_for_as_long_as_its_limits_say(node: TestNode):
    limits = ProviderLimits(first_byte_s=1.0, idle_s=2.0, wordless_s=3.0)
    for said, patience in ((limits, Patience(None, 1.0, 2.0, 3.0)), (ProviderLimits(), None)):
        market = Market(said, near=["Here."])
        exchange = Exchange(market)

        async def ask(exchange: Exchange = exchange) -> None:
            await call_model(exchange, Request("near/m"), REQUEST, Caller("run:1"))

        await node.run(ask)
        assert market.providers["near"].requests[0].patience == patience
