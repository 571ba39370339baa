"""The way back: the former version into force again, and every process with it.

The state goes back too. A class that says `can_downgrade = True` is asked to transform it: `code_change` gets a
`Downgrade`, and nothing is lost. The state of others is restored as it was before the upgrade; what messages did to it
since is undone. A process that was born on the new version has no former state and keeps the one it has.
"""

from __future__ import annotations

import time

from planaria.otp.kernel.ambient import self_, sleep
from planaria.otp.kernel.event import CodeRolledBack
from planaria.otp.kernel.node import Node
from planaria.otp.kernel.process import DEAD, running
from planaria.otp.upgrade.apart import in_process_of_its_own, node_here
from planaria.otp.upgrade.errors import UpgradeRefused
from planaria.otp.upgrade.loading import put_into_force
from planaria.otp.upgrade.move import MoveBack
from planaria.otp.upgrade.probation import CrashRate, Probation, remembered_rate
from planaria.otp.upgrade.report import Report, pauses_of
from planaria.otp.upgrade.transaction import Transaction
from planaria.otp.upgrade.version import VERSIONS, Change
from planaria.otp.upgrade.waits import waiters_for

TICK = 0.05
"""Seconds between two looks whether another upgrade is over."""


async def rollback(
    name: str,
    *,
    node: Node | None = None,
    extra: object = None,
    keep_state: bool = False,
    patience: float = 5.0,
    reason: str = "asked for",
) -> Report:
    """Undo the last upgrade of a module, and of those that came with it.

    Args:
        node: whose processes move; that of the running process by default.
        extra: handed to each `code_change`.
        keep_state: only change the code; the state stays as it is, whatever the former code makes of it.
        patience: seconds for those that have a message in hand; then they move when they are done with it.
        reason: for the event.
    Raises:
        UpgradeRefused: there is nothing to go back to, another node made the upgrade, or one is under way.
    """
    here = node_here(node)
    waiting = waiters_for(running.process)
    change = VERSIONS.last.get(name)
    if change is None:
        raise UpgradeRefused(
            f"the former version of {name}", ["it has not been upgraded, or went back already"]
        )
    if change.node is not here and not change.node.closed:
        raise UpgradeRefused(
            f"the former version of {name}", [f"its processes are those of {change.node!r}: go back there"]
        )
    later = sorted(each for each in change.new if VERSIONS.last.get(each) is not change)
    if later:
        raise UpgradeRefused(
            f"the former version of {name}",
            [f"{', '.join(later)} came with it and was upgraded since: roll that back first"],
        )
    if VERSIONS.busy is not None:
        raise UpgradeRefused(f"the former version of {name}", [f"an upgrade of {VERSIONS.busy} is under way"])
    VERSIONS.busy = name

    async def work() -> Report:
        return await _go_back(here, name, change, waiting, extra, keep_state, patience, reason)

    return await in_process_of_its_own(here, f"rollback of {name}", work, VERSIONS.over)


async def _go_back(
    node: Node,
    name: str,
    change: Change,
    waiting: frozenset[object],
    extra: object,
    keep_state: bool,
    patience: float,
    reason: str,
) -> Report:
    began = time.perf_counter()
    if change.probation is not None:
        change.probation.end()
    for gate in list(change.gates.values()):
        gate.open()  # it was still to move; now it need not
    change.gates.clear()
    back = {new: old for old, new in change.classes.items()}
    move = MoveBack(
        back,
        lambda cls: change.new[cls.__module__].vsn,
        lambda cls: change.old[cls.__module__].vsn,
        extra,
        change.moved,
        keep_state,
    )
    transaction = Transaction(
        self_(),
        move,
        lambda: _commit(change),
        lambda: None,
        patience=patience,
        waiting=frozenset(each for each in node.table.values() if each in waiting),
        must=True,
    )
    await transaction.run("together")
    version = change.old[name].number
    node.emit(CodeRolledBack(tuple(change.old), version, len(transaction.moved), reason))
    return Report(
        tuple(change.old),
        version,
        len(transaction.moved),
        tuple(process for process in transaction.late if process in transaction.gates),
        (),
        tuple(transaction.killed),
        time.perf_counter() - began,
        pauses_of(transaction.pauses),
    )


def _commit(change: Change) -> None:
    new = {name: version.module for name, version in change.new.items()}
    put_into_force([version.module for version in change.old.values()], new)
    VERSIONS.take_off(change)


def watch(change: Change, seconds: float, min_crashes: int) -> None:
    """Put a change that was just made on probation, in the place of those below it."""
    for below in change.before.values():
        if below.probation is not None:
            below.probation.end()
    if seconds <= 0:
        return
    node = change.node
    former = change.former_rate
    if former is None:
        former = remembered_rate(node, [each for each in change.moved if each.status != DEAD])

    def go_back(reason: str) -> None:
        name = next(iter(change.new))

        async def work() -> None:
            while VERSIONS.busy is not None:
                await sleep(TICK)
            if VERSIONS.last.get(name) is change:
                await rollback(name, reason=reason)

        node.spawn(work).label = "rollback"

    servers = frozenset(cls for cls in change.classes.values() if callable(getattr(cls, "handle", None)))
    change.probation = Probation(node, servers, former, seconds, min_crashes, go_back)


def former_rate(change: Change) -> CrashRate | None:
    """What the version before was measured to crash, while it was watched."""
    before = {id(last): last for last in (VERSIONS.last.get(name) for name in change.new) if last is not None}
    rates = [last.probation.rate() for last in before.values() if last.probation is not None]
    if not rates:
        return None
    return CrashRate(sum(rate.crashes for rate in rates), sum(rate.process_seconds for rate in rates))
