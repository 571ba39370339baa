"""What a thread must answer for: computing and waiting of its own, not what others take from it."""

import threading
import time

import pytest

from planaria.otp.observe.charge import Charge


class Told(Charge):
    """Told by the test instead of by the system."""

    now = 0.0
    used_up = 0.0
    asleep = True
    queued: float | None = 0.0

    def _cpu_time(self) -> float:
        return self.used_up

    def _state(self) -> tuple[bool, float | None]:
        return self.asleep, self.queued


@pytest.fixture
def charge(monkeypatch):
    charge = Told(0.025, 0.1)
    monkeypatch.setattr("planaria.otp.observe.charge.time.monotonic", lambda: charge.now)
    charge.at = charge.now = 0.0
    charge.look(closely=True)
    return charge


def passes(charge: Told, seconds: float, used: float = 0.0, queued: float = 0.0) -> float:
    charge.now += seconds
    charge.used_up += used
    assert charge.queued is not None
    charge.queued += queued
    return charge.look(closely=True)


def test_computing_is_charged(charge):
    assert passes(charge, 0.025, used=0.025) == pytest.approx(0.025)


def test_sleeping_is_charged_once_it_is_known_to_sleep(charge):
    passes(charge, 0.025)
    assert passes(charge, 0.025) == pytest.approx(0.025)


def test_waiting_for_a_processor_is_not(charge):
    passes(charge, 0.025)
    assert passes(charge, 0.025, used=0.001, queued=0.024) == pytest.approx(0.001)
    assert passes(charge, 0.025, used=0.01) == pytest.approx(0.01)


def test_a_slow_disk_and_a_stopped_program_are_not(charge):
    charge.asleep = False
    passes(charge, 0.025)
    assert passes(charge, 0.025, used=0.001) == pytest.approx(0.001)


def test_a_look_that_comes_much_too_late_says_nothing_but_what_was_used(charge):
    passes(charge, 0.025)
    assert passes(charge, 10.0, used=0.01) == pytest.approx(0.01)


def test_a_system_that_does_not_tell_charges_everything(charge, monkeypatch):
    monkeypatch.setattr(charge, "_clock", None)
    assert passes(charge, 0.025) == pytest.approx(0.025)


def test_the_system_tells_a_thread_that_sleeps_from_one_that_computes():
    known = threading.Event()
    asked = threading.Event()
    found: list[Charge] = []

    def wait() -> None:
        found.append(Charge(0.025, 0.1))
        known.set()
        asked.wait()

    thread = threading.Thread(target=wait)
    thread.start()
    known.wait()
    charge = found[0]
    if not charge.known:
        pytest.skip("this system does not tell the processor time of a thread")
    while not charge._state()[0]:
        time.sleep(0.001)
    used = charge.used()
    asked.set()
    thread.join()
    assert used >= 0
    mine = Charge(0.025, 0.1)
    began = mine.used()
    sum(range(100_000))
    assert mine.used() > began
