"""Loading a new version of modules while their processes run.

Checked first, outside the node; then loaded beside the old version; then the processes move; then it is watched.
Source: Erlang's code loading and release_handler (`{update, Mod, ...}`): suspend, change code, resume.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, is_dataclass
from types import ModuleType

from planaria.otp.kernel.ambient import self_
from planaria.otp.kernel.event import CodeLoaded, CodeRefused
from planaria.otp.kernel.node import Node
from planaria.otp.kernel.process import Process, running
from planaria.otp.servers.wrapper import server_of
from planaria.otp.upgrade.apart import in_process_of_its_own, node_here
from planaria.otp.upgrade.check import compile_problems, missing, probe
from planaria.otp.upgrade.errors import UpgradeError, UpgradeFailed, UpgradeRefused
from planaria.otp.upgrade.group import group_of, sources_of
from planaria.otp.upgrade.loading import forget, load_beside, put_into_force
from planaria.otp.upgrade.move import ENDS, Move, why_not
from planaria.otp.upgrade.purge import purge, serves, still_on
from planaria.otp.upgrade.report import Report, pauses_of
from planaria.otp.upgrade.rollback import former_rate, watch
from planaria.otp.upgrade.source import Source, remember_first
from planaria.otp.upgrade.transaction import ChangeFailed, Order, Transaction
from planaria.otp.upgrade.version import VERSIONS, Change, Version, counterparts
from planaria.otp.upgrade.waits import waiters_for


@dataclass(frozen=True, slots=True)
class How:
    """The arguments of `load`."""

    extra: object
    check: bool
    check_timeout: float
    allow_missing: Collection[str] | bool
    submodules: bool
    dependents: bool
    order: Order
    patience: float
    grace: float
    snapshot: bool
    probation: float
    min_crashes: int


async def load(
    *names: str,
    node: Node | None = None,
    extra: object = None,
    check: bool = True,
    check_timeout: float = 30.0,
    allow_missing: Collection[str] | bool = (),
    submodules: bool = True,
    dependents: bool = True,
    order: Order = "together",
    patience: float = 5.0,
    grace: float = 5.0,
    snapshot: bool = True,
    probation: float = 60.0,
    min_crashes: int = 3,
) -> Report:
    """Load what is on disk now as the new version of `names`, and move their processes to it.

    Args:
        names: imported modules or packages, at least one.
        node: whose processes move; that of the running process by default.
        extra: handed to each `code_change`.
        check: import it in a worker first; False trusts it.
        check_timeout: seconds of the machine for that.
        allow_missing: public names that may be gone, `"name"` or `"module.name"`; True: any.
        submodules: with a package go all its modules that are imported.
        dependents: with a class go the modules whose servers inherit from it.
        order: `"together"`: all are held, changed, let go, so that two versions never meet; `"one_by_one"`: each for
            itself, short pauses.
        patience: seconds for those that have a message in hand; then they move when they are done with it.
        grace: seconds for those that still run the version before last; then they are killed.
        snapshot: keep the state as it was, for the way back.
        probation: seconds during which crashes above the former rate roll everything back; 0: not watched.
        min_crashes: fewer do not.
    Raises:
        UpgradeRefused: a check failed; nothing was changed.
        UpgradeFailed: `code_change` raised in a process; all went back.
        NotAProcess: outside a process, and no node given.
    """
    if not names:
        raise UpgradeRefused("nothing", ["no module is named"])
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"load({name!r}): give the module's name, as in load('garden.web')")
    here = node_here(node)
    how = How(
        extra, check, check_timeout, allow_missing, submodules, dependents, order, patience, grace, snapshot,
        probation, min_crashes,
    )  # fmt: skip
    waiting = waiters_for(running.process)
    what = ", ".join(names)
    if VERSIONS.busy is not None:
        raise UpgradeRefused(what, [f"an upgrade of {VERSIONS.busy} is under way: wait for its end"])
    VERSIONS.busy = what

    async def work() -> Report:
        try:
            return await _Loading(here, names, how, waiting).run()
        except UpgradeError as error:
            here.emit(CodeRefused(names, str(error)))
            raise

    return await in_process_of_its_own(here, f"upgrade of {what}", work, VERSIONS.over)


class _Loading:
    """One call of `load`, in its own process."""

    def __init__(self, node: Node, names: tuple[str, ...], how: How, waiting: frozenset[Process]) -> None:
        self.node = node
        self.names = names
        self.what = ", ".join(names)
        self.how = how
        self.waiting = waiting
        self.began = time.perf_counter()

    async def run(self) -> Report:
        """Check, load, move, watch."""
        how = self.how
        group = group_of(self.names, submodules=how.submodules, dependents=how.dependents)
        sources = sources_of(group, self.names, how.allow_missing)
        now = self.node.clock.wall()
        old = {name: VERSIONS.known(name, sys.modules[name], now) for name in sources}
        numbers = {name: VERSIONS.next_number(name) for name in sources}
        await self._check(sources, numbers, {name: version.module for name, version in old.items()})
        oldest = [VERSIONS.old[name] for name in sources if name in VERSIONS.old]
        stuck = [process for process in self.waiting if serves(process, oldest)]
        if stuck:
            raise UpgradeRefused(
                self.what,
                [
                    f"{stuck[0]!r} waits for this in the middle of a message on the version before last: let it end"
                ],
            )
        killed = await purge(self.node, oldest, how.grace, {self_(), *self.waiting})
        added: set[str] = set()
        done = False
        try:
            change = self._load(sources, numbers, old, added)
            transaction = await self._move(change)
            done = True
        finally:
            if not done:
                forget(added)
        late = [process for process in transaction.late if process in transaction.gates]
        left = [each for each in still_on(self.node, change.old.values()) if each not in late]
        report = Report(
            tuple(change.new),
            change.new[self.names[0]].number,
            len(change.moved),
            tuple(late),
            tuple(left),
            tuple(killed),
            time.perf_counter() - self.began,
            pauses_of(transaction.pauses),
        )
        self.node.emit(CodeLoaded(report.modules, report.version, report.moved))
        watch(change, how.probation, how.min_crashes)
        return report

    async def _check(
        self, sources: dict[str, Source], numbers: dict[str, int], old: dict[str, ModuleType]
    ) -> None:
        problems = compile_problems(sources, numbers)
        if not problems and self.how.check:
            problems, exports = await self.node.run_blocking(probe, sources, numbers, self.how.check_timeout)
            problems = problems or missing(old, exports, self.how.allow_missing)
        if problems:
            raise UpgradeRefused(self.what, problems)

    def _load(
        self,
        sources: dict[str, Source],
        numbers: dict[str, int],
        old: dict[str, Version],
        added: set[str],
    ) -> Change:
        """Import the new version; what only shows here is found: classes that are gone, layouts that differ."""
        for version in old.values():
            if version.source is None:
                remember_first(version.module)
        step = "importing it in the node"
        try:
            modules = load_beside(sources, numbers, added)
            step = "its __upgraded__"
            for name, module in modules.items():
                hook: Callable[[ModuleType], object] | None = module.__dict__.get("__upgraded__")
                if hook is not None:
                    hook(old[name].module)
        except (Exception, *ENDS) as error:
            raise UpgradeRefused(self.what, [f"{step} raised {type(error).__name__}: {error}"]) from error
        now = self.node.clock.wall()
        new = {
            name: Version(name, numbers[name], module, sources[name], now) for name, module in modules.items()
        }
        change = Change(self.node, {name: old[name] for name in new}, new)
        change.former_rate = former_rate(change)
        problems = self._pair_classes(change)
        if problems:
            raise UpgradeRefused(self.what, problems)
        return change

    def _pair_classes(self, change: Change) -> list[str]:
        """Fill `change.classes`; why some of the living cannot move."""
        lost: set[type] = set()
        for name, version in change.new.items():
            table, gone = counterparts(change.old[name].module, version.module)
            change.classes.update((one, other) for one, other in table.items() if one is not other)
            lost.update(gone)
        problems: dict[str, None] = {}
        fit: set[type] = set()
        for process in self.node.table.values():
            cls = type(server_of(process))
            if cls in fit:
                continue
            if cls in lost or (cls.__module__ in change.new and "<locals>" in cls.__qualname__):
                problems[f"{process!r} runs {cls.__qualname__}, which the new version does not have"] = None
            elif cls in change.classes:
                why = why_not(cls, change.classes[cls])
                if why is not None:
                    problems[why] = None
                fit.add(cls)
        return list(problems)

    async def _move(self, change: Change) -> Transaction:
        old, new = change.old, change.new

        def owned(cls: type) -> bool:
            return cls.__module__ in new or is_dataclass(cls)

        move = Move(
            change.classes,
            lambda cls: old[cls.__module__].vsn,
            lambda cls: new[cls.__module__].vsn,
            self.how.extra,
            owned if self.how.snapshot else None,
        )
        transaction = Transaction(
            self_(),
            move,
            lambda: _commit(change),
            lambda: _revert(change),
            patience=self.how.patience,
            waiting=self.waiting,
        )
        change.moved = transaction.moved
        change.gates = transaction.gates
        try:
            await transaction.run(self.how.order)
        except ChangeFailed as failed:
            raise UpgradeFailed(self.what, failed.process, failed.error) from failed.error
        return transaction


def _commit(change: Change) -> None:
    old = {name: version.module for name, version in change.old.items()}
    put_into_force([version.module for version in change.new.values()], old)
    VERSIONS.put_on_top(change)


def _revert(change: Change) -> None:
    """Undo `_commit`, if it came to that."""
    if any(VERSIONS.last.get(name) is change for name in change.new):
        new = {name: version.module for name, version in change.new.items()}
        put_into_force([version.module for version in change.old.values()], new)
        VERSIONS.take_off(change)
