"""Whatever tree is built and whatever fails in it, under any schedule: the invariants of supervision hold.

A failing case prints the tree, the faults and the seed of the schedule; all three are part of the example.
"""

import asyncio
from collections import deque
from dataclasses import dataclass

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from planaria.otp import (
    ChildRestarted,
    ChildSpec,
    GenServer,
    KernelEvent,
    Pid,
    ProcessExited,
    ProcessStarted,
    RestartsExceeded,
    TreeNode,
    cast,
    child,
    exit_signal,
    link,
    receive,
    sleep,
    stop,
    supervisor,
    trap_exits,
)
from planaria.testing.node import TestNode, running_node

from .support import Boom, Journal

seeds = st.integers(0, 2**16)
fast = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


class Leaf(GenServer):
    """A worker of the random trees: writes its life into the journal; may be slow to end or refuse to start."""

    trap_exit = True

    def init(self, journal: Journal, name: str, slow: float, refusals: list[int]) -> None:
        if refusals and refusals[0] > 0:
            refusals[0] -= 1
            raise Boom("refused")
        self.journal, self.name, self.slow = journal, name, slow
        journal.add(f"+{name}")

    @cast
    def fault(self, kind: str) -> None:
        match kind:
            case "crash":
                raise Boom
            case "normal" | "shutdown":
                self.stop(kind)

    async def terminate(self, reason: object) -> None:
        if self.slow:
            await sleep(self.slow)
        self.journal.add(f"-{self.name}")


@dataclass(frozen=True)
class Plan:
    """A random node of a tree: a worker, or a supervisor if it has children or a strategy."""

    restart: str
    slow: float = 0.0
    strategy: str | None = None
    max_restarts: int = 3
    children: tuple["Plan", ...] = ()


restarts = st.sampled_from(["permanent", "transient", "temporary"])
workers = st.builds(Plan, restart=restarts, slow=st.sampled_from([0.0, 0.0, 0.1, 9.0]))
strategies = st.sampled_from(["one_for_one", "one_for_all", "rest_for_one"])


def supervisors_of(inner: st.SearchStrategy[Plan]) -> st.SearchStrategy[Plan]:
    return st.builds(
        Plan,
        restart=restarts,
        strategy=strategies,
        max_restarts=st.integers(0, 3),
        children=st.lists(inner, min_size=0, max_size=4).map(tuple),
    )


trees = supervisors_of(st.recursive(workers, supervisors_of, max_leaves=6))
faults = st.lists(
    st.tuples(st.sampled_from(["crash", "normal", "shutdown", "kill", "refuse"]), st.integers(0, 30)),
    max_size=12,
)


class Garden:
    """A running random tree and what was seen of it."""

    def __init__(self, node: TestNode, plan: Plan) -> None:
        self.node = node
        self.journal = Journal()
        self.refusals: dict[str, list[int]] = {}
        self.events: list[KernelEvent] = []
        self.budgets: dict[str, int] = {}
        node.subscribe_events(self.events.append)
        self.spec = self._spec(plan, "r")

    def _spec(self, plan: Plan, path: str) -> ChildSpec:
        if plan.strategy is None:
            self.refusals[path] = [0]
            arguments = (self.journal, path, plan.slow, self.refusals[path])
            return child(Leaf, *arguments, id=path, label=path, restart=plan.restart)  # type: ignore[arg-type]
        self.budgets[path] = plan.max_restarts
        return supervisor(
            *(self._spec(one, f"{path}.{number}") for number, one in enumerate(plan.children)),
            id=path,
            name=path,
            strategy=plan.strategy,  # type: ignore[arg-type]
            restart=plan.restart,  # type: ignore[arg-type]
            max_restarts=plan.max_restarts,
            within=1e9,
        )

    def leaves(self) -> list[Pid]:
        return [pid for pid in self.node.processes() if self.node.info(pid).kind == "Leaf"]

    async def inflict(self, kind: str, which: int) -> None:
        """One fault for one living leaf (or, for `refuse`, for its next start)."""
        living = self.leaves()
        if not living:
            return
        victim = living[which % len(living)]
        if kind == "refuse":
            self.refusals[self.node.info(victim).label][0] += 1
        elif kind == "kill":
            await self.node.run(kill, victim)
        else:
            Leaf.fault(victim, kind)
        await self.node.advance(600)  # slow ends and starts that are tried again add up


async def kill(pid: Pid) -> None:
    exit_signal(pid, "kill")


def run(seed: int, plan: Plan, happenings: list[tuple[str, int]]) -> Garden:
    """Build the tree, let everything happen, stop it; the node is gone when this returns."""

    async def scenario() -> Garden:
        async with running_node(seed=seed) as node:
            garden = Garden(node, plan)
            root = await node.start(garden.spec)
            check_tree(node)
            for kind, which in happenings:
                await garden.inflict(kind, which)
                check_tree(node)
            if root.alive:
                stopping = asyncio.ensure_future(node.run(stop, root, "shutdown", None))
                await node.advance(200)
                await asyncio.wait_for(stopping, 5)
            assert not garden.leaves(), "a worker outlived its supervisors"
            assert not node.processes()
            return garden

    return asyncio.run(scenario())


def check_tree(node: TestNode) -> None:
    """Every living worker hangs below a living supervisor that knows it, and every link goes both ways."""
    known = {
        info.pid: {child.pid for child in tree.children}
        for tree in walk(node)
        if tree.pid is not None and (info := node.info(tree.pid)).status != "dead"
    }
    for pid in node.processes():
        info = node.info(pid)
        for peer in info.links:
            assert peer.alive, f"{pid!r} is linked to the dead {peer!r}"
            assert pid in node.info(peer).links, f"{pid!r} - {peer!r} is linked one way"
        if info.kind == "Leaf":
            assert info.parent is not None and info.parent.alive, f"{pid!r} outlived its supervisor"
            assert pid in known[info.parent], f"{pid!r} is unknown to its supervisor"


def walk(node: TestNode) -> list[TreeNode]:
    todo, found = deque(node.tree()), list[TreeNode]()
    while todo:
        tree = todo.popleft()
        found.append(tree)
        todo.extend(tree.children)
    return found


@fast
@given(seeds, trees, faults)
def test_nobody_outlives_its_supervisor_and_nothing_is_left(
    seed: int, plan: Plan, happenings: list[tuple[str, int]]
) -> None:
    run(seed, plan, happenings)


@fast
@given(seeds, trees, faults)
def test_a_supervisor_never_restarts_more_often_than_its_budget(
    seed: int, plan: Plan, happenings: list[tuple[str, int]]
) -> None:
    garden = run(seed, plan, happenings)
    used: dict[Pid, int] = {}
    for event in garden.events:
        if isinstance(event, ChildRestarted):
            used[event.supervisor] = used.get(event.supervisor, 0) + 1
    for process, count in used.items():
        assert count <= garden.budgets[process.label], f"{process!r} restarted {count} times"


@fast
@given(seeds, trees, faults)
def test_a_supervisor_that_gives_up_ends_with_shutdown(
    seed: int, plan: Plan, happenings: list[tuple[str, int]]
) -> None:
    garden = run(seed, plan, happenings)
    gave_up = [event.supervisor for event in garden.events if isinstance(event, RestartsExceeded)]
    ends = {event.process: event.reason for event in garden.events if isinstance(event, ProcessExited)}
    assert len(gave_up) == len(set(gave_up)), "one supervisor gave up twice"
    assert {ends[process] for process in gave_up} <= {"shutdown"}


@fast
@given(seeds, trees)
def test_a_tree_stops_in_the_reverse_order_of_its_start(seed: int, plan: Plan) -> None:
    garden = run(seed, plan, [])
    lines = garden.journal.take()
    started = [line[1:] for line in lines if line.startswith("+")]
    ended = [line[1:] for line in lines if line.startswith("-")]
    slow = {path for path in started if path not in ended}  # killed after their shutdown time: no last word
    assert ended == [path for path in reversed(started) if path not in slow]


@fast
@given(seeds, trees, faults)
def test_every_process_ends_exactly_once_and_after_it_started(
    seed: int, plan: Plan, happenings: list[tuple[str, int]]
) -> None:
    garden = run(seed, plan, happenings)
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
@given(seeds, trees, faults)
def test_the_same_seed_tells_the_same_story(seed: int, plan: Plan, happenings: list[tuple[str, int]]) -> None:
    assert run(seed, plan, happenings).journal.lines == run(seed, plan, happenings).journal.lines


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
