"""Replays one random case of `test_properties.py` and prints what happened, in order and in virtual time.

    python -m tests.otp.replay '<case>' --seed 7 [--model] [--colour always|never]

A failing property test prints the command whole. `--model` compares with the rules after each fault, as that test did.
Exit code 0: everything was as it should be, 1: not; then the last lines say what was not.
"""

import argparse
import asyncio
import os
import sys

from planaria.otp import (
    ChildRestarted,
    CleanupFailed,
    KernelEvent,
    ProcessExited,
    ProcessStarted,
    RestartsExceeded,
    reason_text,
)
from planaria.testing.node import TestNode

from .random_trees.case import Case, Plan
from .random_trees.garden import play

COLOURS = {"green": 32, "red": 31, "yellow": 33, "blue": 34, "magenta": 35, "grey": 90, "bold": 1}
SILENT = ("starter", "kill", "stop")
"""Labels of helper processes that are no part of the tree."""


class Trace:
    """Prints what a node does."""

    def __init__(self, colour: bool) -> None:
        self.colour = colour
        self.node: TestNode | None = None
        self.begun = 0.0

    def watch(self, node: TestNode) -> None:
        """Listen to a node that has just begun."""
        self.node = node
        self.begun = node.virtual_clock.now()
        node.subscribe_events(self.event)

    def report(self, what: str) -> None:
        """What is done to the tree."""
        self.line("bold", f"== {what}")

    def event(self, event: KernelEvent) -> None:
        match event:
            case ProcessStarted(process=process, label=label) if label not in SILENT:
                self.line("green", f"  + {label:14} {process}")
            case ProcessExited(process=process, label=label, reason=reason) if label not in SILENT:
                calm = reason in ("normal", "shutdown")
                self.line("grey" if calm else "red", f"  - {label:14} {process}  {reason_text(reason)}")
            case ChildRestarted(supervisor=supervisor, id=id, reason=reason):
                self.line("yellow", f"  ~ {supervisor.label:14} restarted {id} ({reason_text(reason)})")
            case RestartsExceeded(supervisor=supervisor, id=id):
                self.line("magenta", f"  ! {supervisor.label:14} gives up: {id} ended once too often")
            case CleanupFailed(process=process, error=error):
                self.line("red", f"  ! {process} raised while it was let go: {error!r}")
            case _:  # nothing to do with the life of a tree
                pass

    def line(self, colour: str, text: str) -> None:
        """One line, with the virtual seconds since the beginning."""
        at = 0.0 if self.node is None else self.node.virtual_clock.now() - self.begun
        self.text(colour, f"{at:9.2f} {text}")

    def text(self, colour: str, text: str) -> None:
        """One line."""
        print(f"\x1b[{COLOURS[colour]}m{text}\x1b[0m" if self.colour else text)


def draw(plan: Plan, path: str = "r", indent: str = "") -> list[str]:
    """The tree as people read it."""
    words = [plan.restart] + (["significant"] if plan.significant else [])
    if plan.strategy is None:
        return [
            f"{indent}{path}: {', '.join([*words, f'takes {plan.slow:g} s to end'] if plan.slow else words)}"
        ]
    within = "" if plan.within >= 1e9 else f" in {plan.within:g} s"
    words += [plan.strategy, f"{plan.max_restarts} restarts{within}"]
    words += [plan.auto_shutdown] if plan.auto_shutdown != "never" else []
    below = [
        line
        for number, one in enumerate(plan.children)
        for line in draw(one, f"{path}.{number}", indent + "  ")
    ]
    return [f"{indent}{path}: {', '.join(words)}", *below]


def main(arguments: list[str]) -> int:
    """The command; its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.otp.replay", description="Replay one random case.")
    parser.add_argument("case", help="as a failing test printed it")
    parser.add_argument("--seed", type=int, default=0, help="of the schedule (default 0)")
    parser.add_argument("--model", action="store_true", help="compare with the rules after each fault")
    parser.add_argument("--colour", choices=("auto", "always", "never"), default="auto")
    given = parser.parse_args(arguments)
    try:
        case = Case.decoded(given.case)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        parser.error(f"this is no case: {error}; copy the whole command the test printed, quotes included")
    plain = os.environ.get("NO_COLOR") or not sys.stdout.isatty()
    trace = Trace(given.colour == "always" or (given.colour == "auto" and not plain))
    for line in draw(case.tree):
        trace.text("blue", line)
    try:
        asyncio.run(play(case, given.seed, model=given.model, watch=trace.watch, report=trace.report))
    except AssertionError as error:
        trace.text("red", f"\nNOT AS IT SHOULD BE: {error}")
        return 1
    trace.text("green", "\nas it should be")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
