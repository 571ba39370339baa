"""A node as a program: signals, deadlines, exit codes. Each case is an interpreter of its own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.subprocess
ROOT = Path(__file__).parents[2]


class Case:
    """One program of `program_cases`."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.otp.program_cases", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"},
        )
        self.lines: list[str] = []

    def until(self, line: str) -> None:
        """Read what it says up to a line."""
        assert self.process.stdout is not None
        for each in self.process.stdout:
            self.lines.append(each.rstrip())
            if self.lines[-1] == line:
                return
        raise AssertionError(f"it never said {line!r}: {self.lines} {self.process.communicate()}")

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self) -> int:
        """Wait for its end; its exit code. What it said is in `lines` and `errors`."""
        rest, self.errors = self.process.communicate(timeout=20)
        self.lines += rest.splitlines()
        return self.process.returncode


@pytest.fixture
def case() -> Iterator[Callable[..., Case]]:
    cases: list[Case] = []

    def start(*arguments: str) -> Case:
        cases.append(Case(*arguments))
        return cases[-1]

    yield start
    for each in cases:
        if each.process.poll() is None:
            each.process.kill()
            each.process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_in_reverse_order_and_exits_0(case: Callable[..., Case], number: signal.Signals):
    program = case("polite")
    program.until("ready")
    program.signal(number)
    assert program.end() == 0
    assert program.lines == ["ready", "second ends", "first ends", "returned"]
    assert program.errors == ""


def test_a_request_from_another_thread_stops_in_order_too(case: Callable[..., Case]):
    program = case("polite", "stop")
    assert program.end() == 0
    assert program.lines[-3:] == ["second ends", "first ends", "returned"]


def test_a_signal_while_it_starts_is_heard(case: Callable[..., Case]):
    program = case("starting")
    program.until("starting")
    program.signal(signal.SIGINT)
    assert program.end() == 0
    assert "ready" not in program.lines
    assert program.errors == ""


def test_a_child_that_does_not_stop_is_killed_at_the_deadline(case: Callable[..., Case]):
    program = case("stubborn")
    program.until("ready")
    begun = time.monotonic()
    program.signal(signal.SIGTERM)
    assert program.end() == 0
    assert time.monotonic() - begun < 5.0
    assert program.lines[1:3] == ["last ends", "stubborn is asked"]


def test_a_second_signal_ends_it_at_once(case: Callable[..., Case]):
    program = case("stubborn")
    program.until("ready")
    program.signal(signal.SIGINT)
    program.until("stubborn is asked")
    program.signal(signal.SIGINT)
    assert program.end() == 130


def test_a_loop_without_end_is_ended_by_force_after_the_deadline(case: Callable[..., Case]):
    program = case("looping")
    program.until("looping")
    program.signal(signal.SIGTERM)
    assert program.end() == 1
    assert program.lines[-1] == "failed: it did not stop within 1 s and was ended by force"


def test_a_process_that_does_not_pause_is_broken_and_restarted(case: Callable[..., Case]):
    program = case("stalling")
    program.until("restarted")
    program.signal(signal.SIGTERM)
    assert program.end() == 0
    assert "in stall_once" in program.errors


def test_a_second_signal_ends_even_a_loop_without_end(case: Callable[..., Case]):
    program = case("looping")
    program.until("looping")
    program.signal(signal.SIGINT)
    time.sleep(0.1)  # two signals at once are one
    program.signal(signal.SIGINT)
    assert program.end() == 130


def test_a_root_that_gives_up_ends_the_program_and_names_child_and_error(case: Callable[..., Case]):
    program = case("crashing")
    assert program.end() == 1
    (why,) = [line for line in program.lines if line.startswith("failed")]
    assert why == "failed: moss ended again and again, last with: ValueError: the moss has dried"


def test_a_child_that_cannot_be_started_again_is_named_after_the_one_it_needed(case: Callable[..., Case]):
    program = case("dried")
    assert program.end() == 1
    (why,) = [line for line in program.lines if line.startswith("failed")]
    ended = "moss ended with: ValueError: the moss has dried"
    assert why == f"failed: {ended}; then Dried could not be started again: no water"


def test_a_thread_that_does_not_finish_does_not_keep_the_program(case: Callable[..., Case]):
    program = case("thread")
    program.until("ready")
    begun = time.monotonic()
    program.signal(signal.SIGTERM)
    assert program.end() == 0
    assert time.monotonic() - begun < 10.0
    assert "first ends" in program.lines


def test_a_root_that_does_not_start_is_told_to_the_caller(case: Callable[..., Case]):
    program = case("refusing")
    assert program.end() == 1
    assert "StartFailed" in program.errors and "no water" in program.errors
