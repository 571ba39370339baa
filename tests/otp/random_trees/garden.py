"""A random tree of real processes, the faults done to it, and what was seen."""

import asyncio
from collections import deque
from collections.abc import Callable

from planaria.otp import (
    ChildSpec,
    GenServer,
    KernelEvent,
    Pid,
    TreeNode,
    cast,
    child,
    exit_signal,
    hang,
    sleep,
    stop,
    supervisor,
    trap_exits,
)
from planaria.testing.node import TestNode, running_node
from tests.otp.support import Boom, Journal

from .case import QUIET, Case, Fault, Plan
from .model import Model

START_TIMEOUT = 1.0


class Leaf(GenServer):
    """A worker of the random trees: writes its life into the journal; may be slow to end or not start.

    It traps exits once it is up: one that hangs before that ends with its supervisor, as it would in Erlang.
    """

    async def init(self, journal: Journal, name: str, slow: float, refusals: list[str]) -> None:
        match refusals.pop(0) if refusals else None:
            case "refuse":
                raise Boom("refused")
            case "hang":
                await hang()
            case _:
                pass
        self.journal, self.name, self.slow = journal, name, slow
        trap_exits()
        journal.add(f"+{name}")

    @cast
    def fault(self, kind: str) -> None:
        match kind:
            case "crash":
                raise Boom
            case _:  # normal, shutdown
                self.stop(kind)

    async def terminate(self, reason: object) -> None:
        if self.slow:
            await sleep(self.slow)
        self.journal.add(f"-{self.name}")


class Garden:
    """A running random tree and what was seen of it."""

    def __init__(self, node: TestNode, plan: Plan) -> None:
        self.node = node
        self.journal = Journal()
        self.refusals: dict[str, list[str]] = {}
        self.events: list[KernelEvent] = []
        self.budgets: dict[str, int] = {}
        node.subscribe_events(self.events.append)
        self.spec = self._spec(plan, "r", None)

    def _spec(self, plan: Plan, path: str, above: Plan | None) -> ChildSpec:
        significant = (
            above is not None
            and plan.significant
            and plan.restart != "permanent"
            and above.auto_shutdown != "never"
        )
        if plan.strategy is None:
            refusals = self.refusals[path] = []
            return child(
                Leaf,
                *(self.journal, path, plan.slow, refusals),
                id=path,
                label=path,
                restart=plan.restart,  # type: ignore[arg-type]
                significant=significant,
                start_timeout=START_TIMEOUT,
            )
        self.budgets[path] = plan.max_restarts
        return supervisor(
            *(self._spec(one, f"{path}.{number}", plan) for number, one in enumerate(plan.children)),
            id=path,
            name=path,
            strategy=plan.strategy,  # type: ignore[arg-type]
            restart=plan.restart,  # type: ignore[arg-type]
            significant=significant,
            auto_shutdown=plan.auto_shutdown,  # type: ignore[arg-type]
            max_restarts=plan.max_restarts,
            within=plan.within,
        )

    def leaves(self) -> list[Pid]:
        return [pid for pid in self.node.processes() if self.node.info(pid).kind == "Leaf"]

    def living(self) -> list[str]:
        return sorted(pid.label for pid in self.leaves())

    def victim(self, fault: Fault) -> Pid | None:
        """Whom a fault befalls now."""
        living = sorted(self.leaves(), key=lambda pid: (pid.label, pid.id))
        return living[fault.which % len(living)] if living else None

    async def suffer(self, fault: Fault, victim: Pid | None) -> None:
        """One fault for one living worker (or for its next start), and the time after it."""
        if victim is not None:
            match fault.kind:
                case "refuse" | "hang":
                    self.refusals[victim.label].append(fault.kind)
                case "kill":
                    await self.node.run(kill, victim)
                case "kill_supervisor":
                    if victim.parent is not None:
                        await self.node.run(kill, victim.parent)
                case kind:
                    Leaf.fault(victim, kind)
        await self.node.advance(fault.pause)


async def kill(pid: Pid) -> None:
    exit_signal(pid, "kill")


def no_report(what: str) -> None:
    """Nobody looks."""


async def play(
    case: Case,
    seed: int,
    *,
    model: bool = False,
    watch: Callable[[TestNode], None] = lambda node: None,
    report: Callable[[str], None] = no_report,
) -> Garden:
    """Build the tree, let everything happen, stop it; the node is gone when this returns.

    `model`: compare with the rules after each fault. `watch` is given the node before anything starts, `report` what
    is being done.
    """
    async with running_node(seed=seed) as node:
        watch(node)
        garden = Garden(node, case.tree)
        rules = Model(case.tree) if model else None
        report("start")
        root = await node.start(garden.spec)
        lines = garden.journal.lines
        seen = check(garden, rules, 0)
        for fault in case.faults:
            victim = garden.victim(fault)
            report(f"{fault.kind} {victim.label if victim else 'nobody'}, then {fault.pause:g} s")
            await garden.suffer(fault, victim)
            if rules is not None:
                rules.suffer(fault)
            seen = check(garden, rules, seen, settled=fault.pause >= QUIET)
        if root.alive:
            report("stop")
            stopping = asyncio.ensure_future(node.run(stop, root, "shutdown", None))
            await node.advance(QUIET)
            await asyncio.wait_for(stopping, 5)
        await node.advance(QUIET)
        if rules is not None:
            rules.root.stop()
        check(garden, rules, seen)
        assert garden.journal.lines is lines
        assert not garden.leaves(), "a worker outlived its supervisors"
        assert not node.processes()
        return garden


def check(garden: Garden, rules: Model | None, seen: int, settled: bool = True) -> int:
    """Compare with the rules and look at the tree; how many lines of the journal have been looked at."""
    if rules is not None:
        happened, expected = garden.journal.lines[seen:], rules.take()
        assert happened == expected, (
            f"starts and ends\n  were           {happened}\n  ought to be    {expected}"
        )
        living, expected = garden.living(), rules.living()
        assert living == expected, f"alive\n  are            {living}\n  ought to be    {expected}"
    if settled:
        check_tree(garden.node)
    return len(garden.journal.lines)


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


def run(case: Case, seed: int, *, model: bool = False) -> Garden:
    """`play`, by itself; what fails says how to see it again."""
    try:
        return asyncio.run(play(case, seed, model=model))
    except Exception as error:
        error.add_note(f"see it again:\n  {case.command(seed)}{' --model' if model else ''}")
        raise
