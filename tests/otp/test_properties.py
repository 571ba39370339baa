"""Whatever tree is built and whatever fails in it, under any schedule: the rules of supervision hold.

A failing case prints, at the end of its traceback, the one command that replays it and shows what happened
(`tests/otp/replay.py`).
"""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from planaria.otp import (
    ChildRestarted,
    GenServer,
    Pid,
    ProcessExited,
    ProcessStarted,
    RestartsExceeded,
    cast,
    child,
    link,
    receive,
    supervisor,
    trap_exits,
)
from planaria.testing.node import running_node

from .random_trees.case import QUIET, Case, Fault, Plan
from .random_trees.garden import kill, run
from .support import Boom

seeds = st.integers(0, 2**16)
fast = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])

restarts = st.sampled_from(["permanent", "transient", "temporary"])
workers = st.builds(
    Plan, restart=restarts, slow=st.sampled_from([0.0, 0.0, 0.1, 9.0]), significant=st.booleans()
)


def supervisors_of(inner: st.SearchStrategy[Plan], within: list[float]) -> st.SearchStrategy[Plan]:
    return st.builds(
        Plan,
        restart=restarts,
        strategy=st.sampled_from(["one_for_one", "one_for_all", "rest_for_one"]),
        max_restarts=st.integers(0, 3),
        within=st.sampled_from(within),
        children=st.lists(inner, min_size=0, max_size=4).map(tuple),
        auto_shutdown=st.sampled_from(["never", "never", "any_significant", "all_significant"]),
        significant=st.booleans(),
    )


def trees_with(within: list[float]) -> st.SearchStrategy[Plan]:
    below = st.recursive(workers, lambda inner: supervisors_of(inner, within), max_leaves=8)
    return supervisors_of(below, within)


WORKER_FAULTS = ["crash", "crash", "normal", "shutdown", "kill", "refuse", "hang"]


def faults_of(kinds: list[str], pauses: list[float]) -> st.SearchStrategy[tuple[Fault, ...]]:
    one = st.builds(Fault, st.sampled_from(kinds), st.integers(0, 30), st.sampled_from(pauses))
    return st.lists(one, max_size=12).map(tuple)


cases = st.builds(Case, trees_with([1e9, 1e9, 1000.0, 100.0]), faults_of(WORKER_FAULTS, [QUIET]))
"""One fault after the other: what the rules say can be told exactly."""

storms = st.builds(
    Case,
    trees_with([1e9]),
    faults_of([*WORKER_FAULTS, "kill_supervisor"], [0.0, 0.0, 0.05, 4.0, QUIET]),
)
"""Faults at any moment, in the midst of starts, ends and restarts: only what is always true can be told."""


@settings(fast, max_examples=150)
@given(seeds, cases)
def test_a_tree_does_what_the_rules_say(seed: int, case: Case) -> None:
    """Order of starts and ends, who lives, when a supervisor gives up: as the model, after every fault."""
    run(case, seed, model=True)


@fast
@given(seeds, storms)
def test_nobody_outlives_its_supervisor_and_nothing_is_left(seed: int, case: Case) -> None:
    run(case, seed)


@fast
@given(seeds, storms)
def test_a_supervisor_never_restarts_more_often_than_its_budget(seed: int, case: Case) -> None:
    garden = run(case, seed)
    used: dict[Pid, int] = {}
    for event in garden.events:
        if isinstance(event, ChildRestarted):
            used[event.supervisor] = used.get(event.supervisor, 0) + 1
    for process, count in used.items():
        assert count <= garden.budgets[process.label], f"{process!r} restarted {count} times"


@fast
@given(seeds, storms)
def test_a_supervisor_that_gives_up_ends_with_shutdown(seed: int, case: Case) -> None:
    garden = run(case, seed)
    gave_up = [event.supervisor for event in garden.events if isinstance(event, RestartsExceeded)]
    ends = {event.process: event.reason for event in garden.events if isinstance(event, ProcessExited)}
    assert len(gave_up) == len(set(gave_up)), "one supervisor gave up twice"
    # Killed: by the storm, or by its own supervisor, while it waits for its children to end.
    assert {ends[process] for process in gave_up} <= {"shutdown", "killed"}


@fast
@given(seeds, trees_with([1e9]))
def test_a_tree_stops_in_the_reverse_order_of_its_start(seed: int, plan: Plan) -> None:
    garden = run(Case(plan, ()), seed)
    lines = garden.journal.take()
    started = [line[1:] for line in lines if line.startswith("+")]
    ended = [line[1:] for line in lines if line.startswith("-")]
    slow = {path for path in started if path not in ended}  # killed after their shutdown time: no last word
    assert ended == [path for path in reversed(started) if path not in slow]


@fast
@given(seeds, storms)
def test_every_process_ends_exactly_once_and_after_it_started(seed: int, case: Case) -> None:
    garden = run(case, seed)
    living: set[Pid] = set()
    ended: set[Pid] = set()
    for event in garden.events:
        if isinstance(event, ProcessStarted):
            assert event.process not in living | ended
            living.add(event.process)
        elif isinstance(event, ProcessExited):
            assert event.process not in ended, f"{event.process!r} ended twice"
            ended.add(event.process)
            living.discard(event.process)
    assert not living


@fast
@given(seeds, storms)
def test_the_same_seed_tells_the_same_story(seed: int, case: Case) -> None:
    assert run(case, seed).journal.lines == run(case, seed).journal.lines


@fast
@given(
    seeds,
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=12),
    st.sets(st.integers(0, 5), max_size=3),
    st.integers(0, 5),
)
def test_an_abnormal_end_reaches_exactly_those_linked_without_a_trap_between(
    seed: int, links: list[tuple[int, int]], trapping: set[int], victim: int
) -> None:
    async def scenario() -> set[int]:
        async with running_node(seed=seed) as node:

            async def member(number: int) -> None:
                trap_exits(number in trapping)
                while True:
                    other = await receive()
                    if isinstance(other, Pid):
                        link(other)

            pids = [node.spawn(member, number) for number in range(6)]
            for one, other in links:
                node.send(pids[one], pids[other])
            await node.settle()
            await node.run(kill, pids[victim])
            await node.settle()
            return {number for number, pid in enumerate(pids) if pid.alive}

    fallen, todo = {victim}, [victim]
    while todo:
        here = todo.pop()
        for one, other in links:
            for near, far in ((one, other), (other, one)):
                if near == here and far not in fallen and far not in trapping:
                    fallen.add(far)
                    todo.append(far)
    assert asyncio.run(scenario()) == set(range(6)) - fallen


def test_the_budget_is_kept_in_a_storm_of_refusals() -> None:
    async def scenario() -> tuple[object, int]:
        async with running_node(seed=1) as node:
            starts = 0

            class Never(GenServer):
                def init(self) -> None:
                    nonlocal starts
                    starts += 1
                    if starts > 1:
                        raise Boom

                @cast
                def fault(self) -> None:
                    raise Boom

            root = await node.start(supervisor(child(Never, name="n"), max_restarts=5, within=60.0))
            Never.fault(node["n"])
            await node.advance(1)
            return root.reason, starts

    assert asyncio.run(scenario()) == ("shutdown", 6)


EXAMPLE = Case(
    Plan(strategy="one_for_all", max_restarts=1, children=(Plan(), Plan("transient", 9.0))),
    (Fault("crash", 0), Fault("kill", 1)),
)


@pytest.mark.parametrize("case", [EXAMPLE])
def test_a_case_survives_its_way_through_the_command_line(case: Case) -> None:
    assert Case.decoded(case.encoded()) == case


def test_what_fails_prints_a_command_that_shows_it() -> None:
    """The whole way: the note of a failing case is a command, and the command tells the story."""
    broken = Case(EXAMPLE.tree, (Fault("kill_supervisor", 0),))  # the model does not know this fault
    with pytest.raises(AssertionError) as caught:
        run(broken, 7, model=True)
    [note] = caught.value.__notes__
    command = note.splitlines()[1].strip()
    assert command == f"{broken.command(7)} --model"
    told = subprocess.run(
        command.replace("python", sys.executable, 1),
        shell=True,
        check=False,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert told.returncode == 1
    assert "r: permanent, one_for_all, 1 restarts" in told.stdout
    assert "NOT AS IT SHOULD BE: starts and ends" in told.stdout
    assert "killed" in told.stdout
