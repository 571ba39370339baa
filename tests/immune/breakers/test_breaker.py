"""The state machine of a breaker, alone."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planaria.config.breakers import BreakerPolicy, BreakerSettings
from planaria.immune.breakers.breaker import LONGEST_TRY, Admitted, Breaker, Open

STEADY = BreakerPolicy(failures=3, rate=0.0, cooldown=10.0, growth=2.0, longest=60.0, jitter=0.0)


def made(policy: BreakerPolicy = STEADY, chance: float = 0.5) -> tuple[Breaker, list[str]]:
    turned: list[str] = []
    return Breaker("tool:x", policy, lambda _, how: turned.append(how), lambda: chance), turned


def passed(breaker: Breaker, now: float, holder: object = None) -> Admitted:
    admitted = breaker.admit(now, holder)
    assert isinstance(admitted, Admitted)
    return admitted


def state(breaker: Breaker) -> str:
    return breaker.state


def fail(breaker: Breaker, now: float, times: int = 1, why: str = "broke") -> None:
    for _ in range(times):
        breaker.report(passed(breaker, now), now, "crash", why)


def test_it_opens_after_so_many_failures_in_a_row():
    breaker, turned = made()
    fail(breaker, 0.0, 2)
    assert state(breaker) == "closed"
    fail(breaker, 0.0)
    assert (state(breaker), turned) == ("open", ["opened"])
    refused = breaker.admit(9.9)
    assert refused == Open("tool:x", 10.0, "broke")
    assert "until 1970-01-01 00:00:10 UTC (broke)" in str(refused)


def test_a_call_that_works_ends_the_row():
    breaker, _ = made()
    fail(breaker, 0.0, 2)
    breaker.report(passed(breaker, 0.0), 0.0)
    fail(breaker, 0.0, 2)
    assert state(breaker) == "closed"


def test_what_does_not_count_is_an_answer():
    breaker, _ = made()
    for _ in range(100):
        breaker.report(passed(breaker, 0.0), 0.0, "failed", "no such city")
    assert state(breaker) == "closed" and breaker.failures == 0


def test_it_opens_by_the_rate_of_a_window_once_there_are_enough_calls():
    breaker, _ = made(BreakerPolicy(failures=0, rate=0.5, minimum=10, window=60.0))
    for n in range(9):
        breaker.report(passed(breaker, float(n)), float(n), "crash" if n % 2 else None)
    assert state(breaker) == "closed"
    breaker.report(passed(breaker, 9.0), 9.0, "crash")
    assert state(breaker) == "open"


def test_what_has_left_the_window_does_not_count():
    breaker, _ = made(BreakerPolicy(failures=0, rate=0.5, minimum=10, window=60.0))
    for _ in range(9):
        breaker.report(passed(breaker, 0.0), 0.0, "crash")
    breaker.report(passed(breaker, 66.0), 66.0, "crash")
    assert state(breaker) == "closed"
    assert breaker.window(66.0) == (1, 1)


def test_exactly_one_tries_when_the_wait_is_over():
    breaker, turned = made()
    fail(breaker, 0.0, 3)
    probe = passed(breaker, 10.0, "first")
    assert state(breaker) == "half_open"
    other = breaker.admit(10.0, "second")
    assert isinstance(other, Open) and other.trying
    breaker.report(probe, 11.0)
    assert turned == ["opened", "half_opened", "closed"]
    assert state(breaker) == "closed" and breaker.failures == 0


def test_each_try_that_fails_makes_the_next_wait_longer_up_to_the_longest():
    breaker, _ = made()
    fail(breaker, 0.0, 3)
    now, waits = 0.0, []
    for _ in range(5):
        assert breaker.until is not None
        waits.append(breaker.until - now)
        now = breaker.until
        breaker.report(passed(breaker, now), now, "timeout")
    assert waits == [10.0, 20.0, 40.0, 60.0, 60.0]


def flap(breaker: Breaker, now: float) -> float:
    """A try works, and the thing fails again at once; the wait that follows."""
    breaker.report(passed(breaker, now), now)
    assert breaker.state == "closed"
    fail(breaker, now, 3)
    assert breaker.until is not None
    return breaker.until - now


def test_what_works_once_and_fails_again_soon_is_left_alone_for_longer_each_time():
    breaker, turned = made()
    fail(breaker, 0.0, 3)
    now, waits = 10.0, []
    for _ in range(3):
        waits.append(flap(breaker, now))
        now += waits[-1]
    assert waits == [20.0, 40.0, 60.0]
    assert turned.count("closed") == 3 and breaker.times == 1


def test_a_calm_time_takes_one_step_of_the_growth_away_and_a_person_all():
    breaker, _ = made()
    fail(breaker, 0.0, 3)
    flap(breaker, 10.0)
    breaker.report(passed(breaker, 30.0), 30.0)
    assert (breaker.grown, breaker.steps(329.0), breaker.steps(330.0), breaker.steps(5000.0)) == (2, 2, 1, 0)
    fail(breaker, 330.0, 3)
    assert breaker.until == 350.0
    breaker.close_by_hand(351.0, "ada")
    fail(breaker, 352.0, 3)
    assert breaker.until == 362.0


def test_without_a_calm_time_a_try_that_works_ends_the_growth():
    breaker, _ = made(msgspec.structs.replace(STEADY, calm=0.0))
    fail(breaker, 0.0, 3)
    assert [flap(breaker, 10.0), flap(breaker, 20.0)] == [10.0, 10.0]


def test_who_asks_to_be_left_alone_longer_is():
    breaker, _ = made(BreakerPolicy(failures=1, jitter=0.0))
    breaker.report(passed(breaker, 0.0), 0.0, "crash", retry_after=90.0)
    assert breaker.until == 90.0


@pytest.mark.parametrize(("chance", "wait"), [(0.0, 8.0), (0.5, 10.0), (1.0, 12.0)])
def test_the_jitter_is_a_share_of_the_wait(chance: float, wait: float):
    breaker, _ = made(BreakerPolicy(failures=1, cooldown=10.0, jitter=0.2), chance)
    fail(breaker, 0.0)
    assert breaker.until == pytest.approx(wait)


def test_a_try_whose_holder_died_makes_room_for_the_next():
    breaker, _ = made()
    fail(breaker, 0.0, 3)
    lost = passed(breaker, 10.0, "dead")
    assert isinstance(breaker.admit(10.0, "b", lambda holder: False), Open)
    probe = breaker.admit(10.0, "b", lambda holder: holder == "dead")
    assert isinstance(probe, Admitted) and probe.probe
    breaker.report(lost, 10.0)  # whoever says it: it does not hold the try any more
    assert state(breaker) == "half_open"
    breaker.report(probe, 10.0)
    assert state(breaker) == "closed"


def test_a_try_that_is_never_told_of_is_lost_after_a_while():
    breaker, _ = made()
    fail(breaker, 0.0, 3)
    passed(breaker, 10.0, "hangs")
    assert isinstance(breaker.admit(10.0 + LONGEST_TRY - 1, "b"), Open)
    assert isinstance(breaker.admit(10.0 + LONGEST_TRY, "b"), Admitted)


def test_a_try_that_was_not_made_is_given_back():
    breaker, _ = made()
    fail(breaker, 0.0, 3)
    breaker.release(passed(breaker, 10.0, "a"), 10.0)
    assert isinstance(breaker.admit(10.0, "b"), Admitted)


def test_what_began_before_a_change_says_nothing_after_it():
    breaker, _ = made()
    early = passed(breaker, 0.0)
    fail(breaker, 0.0, 3)
    breaker.report(early, 1.0)
    assert state(breaker) == "open"
    probe = passed(breaker, 10.0)
    breaker.report(early, 10.0, "crash")
    assert state(breaker) == "half_open"
    breaker.report(probe, 10.0)
    breaker.report(early, 10.0, "crash")
    assert breaker.failures == 0


def test_a_failed_question_of_a_try_is_an_answer_and_closes():
    breaker, _ = made()
    fail(breaker, 0.0, 3)
    breaker.report(passed(breaker, 10.0), 10.0, "failed")
    assert state(breaker) == "closed"


def test_opened_by_hand_it_stays_so_until_it_is_closed_by_hand():
    breaker, turned = made()
    breaker.open_by_hand(0.0, "person:ada", "being moved")
    assert breaker.admit(1e9) == Open("tool:x", None, "being moved")
    breaker.close_by_hand(1.0, "person:ada")
    assert isinstance(breaker.admit(1.0), Admitted)
    assert turned == ["opened", "closed"]


def test_restored_half_open_the_next_one_tries():
    breaker, turned = made()
    breaker.restore("half_open", 0.0, 10.0, 3, "broke", "")
    assert isinstance(breaker.admit(9.0), Open)
    breaker.report(passed(breaker, 10.0), 10.0, "crash")
    assert breaker.until == 10.0 + 60.0  # it goes on growing from where it was
    assert turned == ["half_opened", "opened"]


def test_each_kind_has_its_policy():
    settings_ = BreakerSettings(tool=STEADY)
    assert settings_.of("tool") is STEADY
    assert settings_.of("carrier-pigeon") is settings_.other
    assert "rate_limit" in settings_.of("provider").counts


class World:
    """Calls that begin, end and are lost in any order, beside the simplest breaker there could be."""

    def __init__(self, policy: BreakerPolicy) -> None:
        self.breaker, self.turned = made(policy)
        self.now = 0.0
        self.under_way: list[Admitted] = []
        self.dead: set[object] = set()
        self.holders = 0

    def step(self, what: str, which: int, seconds: float) -> None:
        self.now += seconds
        if what == "begin":
            self.holders += 1
            admitted = self.breaker.admit(self.now, self.holders, self.dead.__contains__)
            if isinstance(admitted, Admitted):
                self.under_way.append(admitted)
            else:
                self.check_refused(admitted)
        elif self.under_way:
            call = self.under_way.pop(which % len(self.under_way))
            match what:
                case "work":
                    self.breaker.report(call, self.now)
                case "crash":
                    self.breaker.report(call, self.now, "crash", "broke")
                case "answer":
                    self.breaker.report(call, self.now, "failed", "no such city")
                case _:
                    self.dead.add(call.holder)
        self.check()

    def check_refused(self, refused: Open) -> None:
        assert self.breaker.state != "closed"
        if self.breaker.state == "open":
            assert refused.until is None or refused.until > self.now

    def check(self) -> None:
        breaker = self.breaker
        trying = [c for c in self.under_way if c.probe and c.number == breaker.number]
        assert len(trying) <= 1
        assert breaker.failures < breaker.policy.failures or breaker.state != "closed"
        before = "closed"
        for how in self.turned:  # never from closed to half open, never open twice without a try
            assert (before, how) in {
                ("closed", "opened"),
                ("opened", "half_opened"),
                ("half_opened", "half_opened"),
                ("half_opened", "opened"),
                ("half_opened", "closed"),
            }
            before = how


STEP: Any = st.tuples(
    st.sampled_from(["begin", "begin", "work", "crash", "crash", "answer", "die"]),
    st.integers(0, 5),
    st.sampled_from([0.0, 0.1, 3.0, 11.0, 70.0]),
)


@given(st.lists(STEP, max_size=80))
@settings(max_examples=200, deadline=None)
def test_at_most_one_tries_and_no_change_skips_a_state(steps: list[tuple[str, int, float]]):
    world = World(BreakerPolicy(failures=3, rate=0.5, minimum=5, window=30.0, jitter=0.0))
    for step in steps:
        world.step(*step)


@given(st.lists(STEP, max_size=60))
@settings(max_examples=100, deadline=None)
def test_left_alone_and_then_well_it_always_closes(steps: list[tuple[str, int, float]]):
    world = World(STEADY)
    for step in steps:
        world.step(*step)
    for _ in range(2):
        world.now += LONGEST_TRY + STEADY.longest
        admitted = world.breaker.admit(world.now, "last", world.dead.__contains__)
        assert isinstance(admitted, Admitted)
        world.breaker.report(admitted, world.now)
    assert world.breaker.state == "closed"


def test_a_clock_that_went_back_holds_nothing_back_for_longer():
    breaker, _ = made()
    fail(breaker, 10_000.0, 3)
    assert isinstance(breaker.admit(5_000.0), Open)
    probe = breaker.admit(5_010.0)  # ten seconds, as declared
    assert isinstance(probe, Admitted) and probe.probe
    assert isinstance(breaker.admit(1_000.0), Open)
    assert isinstance(breaker.admit(1_000.0 + LONGEST_TRY), Admitted)


def test_failures_of_a_time_that_is_yet_to_come_are_not_in_the_window():
    policy = BreakerPolicy(failures=0, rate=0.5, window=60.0, minimum=4, cooldown=10.0, jitter=0.0)
    breaker, _ = made(policy)
    fail(breaker, 10_000.0, 3)
    assert breaker.window(10_000.0) == (3, 3)
    assert breaker.window(5_000.0) == (0, 0)
