"""Where an exception may be raised: in the user's code, never in the kernel, the event loop or under a debugger."""

import sys
from collections.abc import Callable
from types import FrameType

import pytest

from planaria.otp.observe.breaker import Strike
from planaria.otp.observe.stack import below_handlers, debugged, lines, own_line, verdict


def stack(*modules: str, names: tuple[str, ...] = ()) -> FrameType:
    """A stack of functions of these modules, outermost first; its innermost frame."""
    taken: list[FrameType] = []

    def take() -> None:
        taken.append(sys._getframe(1))

    call: Callable[[], None] = take
    for number, module in reversed(list(enumerate(modules))):
        name = names[number] if number < len(names) else "f"
        space = {"__name__": module, "inner": call}
        exec(f"def {name or 'f'}():\n    inner()", space)
        call = space[name or "f"]  # type: ignore[assignment]
    call()
    return taken[0]


KERNEL, LOOP, USER = "planaria.otp.kernel.scheduler", "asyncio.events", "shop.till"


@pytest.mark.parametrize(
    ("modules", "expected"),
    [
        ((LOOP, KERNEL, USER), "user"),
        ((LOOP, KERNEL, USER, "json.decoder"), "user"),
        ((LOOP, KERNEL, USER, "threading"), "user"),
        ((LOOP, KERNEL, USER, KERNEL), "kernel"),
        ((LOOP, KERNEL, USER, KERNEL, USER), "user"),
        ((LOOP, KERNEL, USER, KERNEL, LOOP), "kernel"),
        ((LOOP, KERNEL, USER, "planaria.otp.kernel.message"), "kernel"),
        ((LOOP, KERNEL, "heapq"), "kernel"),
        ((LOOP, KERNEL, USER, LOOP), "kernel"),
        ((LOOP, KERNEL, USER, "logging"), "careful"),
        ((LOOP, KERNEL, USER, "importlib._bootstrap", USER), "user"),
        ((LOOP, KERNEL, USER, "_frozen_importlib"), "careful"),
        ((LOOP, KERNEL, USER, "bdb", "pdb", "cmd"), "debugger"),
        (("pdb", "bdb", LOOP, KERNEL, USER), "user"),
        ((LOOP, USER), "user"),  # a compiled kernel has no frames
        ((LOOP, USER, LOOP), "kernel"),
    ],
)
def test_the_innermost_code_decides(modules, expected):
    assert verdict(stack(*modules)) == expected


def test_a_kernel_function_that_only_calls_a_plain_function_is_a_door():
    frame = stack(LOOP, KERNEL, "planaria.otp.kernel.node", names=("", "", "_call"))
    assert verdict(frame) == "user"


def test_what_a_signal_handler_has_interrupted_counts_not_the_handler():
    handler, helper = "planaria.otp.observe.watchdog", "planaria.otp.observe.stall"
    frame = stack(LOOP, KERNEL, USER, handler, helper, names=("", "", "", "_starved", ""))
    assert verdict(frame) == "kernel"
    below = below_handlers(frame)
    assert below is not None
    assert verdict(below) == "user"


def test_the_own_line_is_the_users_innermost():
    line = own_line(stack(LOOP, KERNEL, USER, KERNEL, "json"))
    assert line is not None
    assert not line.kernel
    assert [each.kernel for each in lines(stack(LOOP, KERNEL, USER, KERNEL))] == [True, False, True]


def test_a_debugger_that_only_started_the_program_does_not_count():
    assert debugged(stack(USER, "pdb"))
    assert not debugged(stack("pdb", "bdb", LOOP, KERNEL, USER))


# --- one attempt to break -----------------------------------------------------------------------------------------


class Boom(BaseException):
    pass


def test_nothing_is_raised_in_what_runs_after_the_culprit():
    strike = Strike(lambda: False, lambda frame: Boom())
    assert strike.judge(stack(LOOP, KERNEL, USER)) is None
    assert strike.result == "gone"


def test_nothing_is_raised_in_the_kernel():
    strike = Strike(lambda: True, lambda frame: Boom())
    assert strike.judge(stack(LOOP, KERNEL, USER, KERNEL)) is None
    assert strike.result == "kernel"


def test_locks_of_the_interpreter_are_respected_at_first():
    strike = Strike(lambda: True, lambda frame: Boom())
    assert strike.judge(stack(LOOP, KERNEL, USER, "logging")) is None
    strike = Strike(lambda: True, lambda frame: Boom(), careless=True)
    assert isinstance(strike.judge(stack(LOOP, KERNEL, USER, "logging")), Boom)
    assert strike.result == "raised"
