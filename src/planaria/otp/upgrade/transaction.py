"""Moving all processes of some classes, or none of them.

Two orders. *Together*, OTP's suspend, change, resume: all are held between messages, then changed, then let go; nobody
works with new code beside somebody with old code, and going back is exact since nothing was handled meanwhile. *One by
one*: each changes between two of its messages and goes on at once; short pauses, two versions side by side for a while.

A process that has a message in hand finishes it first. One held process may be what another waits for that must finish:
it is let go until that is answered, and handles nothing else.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Literal

from planaria.otp.kernel.process import DEAD, Process, wake
from planaria.otp.kernel.reason import Stalled
from planaria.otp.kernel.runner import pause, suspend
from planaria.otp.kernel.signals import die
from planaria.otp.upgrade.hold import Arrival, Gate, between_messages, hold, release, serve_first
from planaria.otp.upgrade.move import Move, Moved
from planaria.otp.upgrade.version import Former
from planaria.otp.upgrade.waits import awaited_from_held

log = logging.getLogger(__name__)

type Order = Literal["together", "one_by_one"]

SLICE = 0.005
"""Seconds of the machine before the others get a turn."""
TICK = 0.002
"""Seconds between two looks at those that are waited for."""


class ChangeFailed(Exception):
    """`error` was raised by the code change of `process`; whoever had changed went back."""

    def __init__(self, process: Process, error: BaseException) -> None:
        super().__init__(process, error)
        self.process = process
        self.error = error


class Transaction:
    """Runs in a process of its own, `me`.

    Args:
        commit, revert: put the versions into force, or the former ones again.
        patience: seconds for those that have a message in hand; then they move when they are done, as *late* ones.
        waiting: processes that wait for this transaction themselves, so are late.
    Attributes:
        moved: how each process was that has moved; grows while late ones arrive.
        gates: those still to arrive.
        pauses: seconds of the machine each process was held.
        killed: those that could neither move nor stay (only of a move that must not fail).
    """

    def __init__(
        self,
        me: Process,
        move: Move,
        commit: Callable[[], None],
        revert: Callable[[], None],
        *,
        patience: float,
        waiting: frozenset[Process] = frozenset(),
        must: bool = False,
    ) -> None:
        self.me = me
        self.node = me.node
        self.move = move
        self.commit = commit
        self.revert = revert
        self.patience = patience
        self.waiting = waiting
        self.must = must
        self.moved = Former()
        self.gates: dict[Process, Gate] = {}
        self.held: dict[Process, float] = {}
        self.late: list[Process] = []
        self.pauses: list[float] = []
        self.killed: list[Process] = []
        self.failed: ChangeFailed | None = None
        self.over = False

    async def run(self, order: Order) -> None:
        """Move them all.

        Raises:
            ChangeFailed: one could not; all are what they were.
        """
        work = self._together if order == "together" else self._one_by_one
        done = False
        try:
            await work()
            done = True
        finally:
            self.over = True
            if not done:
                self._undo()
            for process in list(self.held):
                self._let_go(process)

    # --- together ------------------------------------------------------------------------------------------------

    async def _together(self) -> None:
        await self._gather(self.patience)
        while True:
            began = time.perf_counter()
            for process in [each for each in self.held if each not in self.moved]:
                await self._change(process)
                if time.perf_counter() - began > SLICE:
                    await pause()
                    began = time.perf_counter()
            if not await self._gather(0.0):  # those started meanwhile
                break
        self.commit()

    async def _gather(self, patience: float) -> bool:
        """Hold all there are; whether there were more than before. Nobody has run since when it answers no."""
        clock = self.node.clock
        until = clock.now() + patience
        found = False
        while True:
            for process in self._affected():
                found = True
                if process in self.waiting:
                    self._expect(process, self._arrive_to_move)
                    self.late.append(process)
                elif between_messages(process):
                    self._hold(process)
                else:
                    self._expect(process, self._arrive_to_wait)
            if not self._busy():
                return found
            while self._busy() and clock.now() < until:
                self._lend()
                await self._wait(min(TICK, until - clock.now()))
            if self._busy():
                self._leave_behind()
                return found

    def _affected(self) -> list[Process]:
        """Who is to move and neither held nor expected; ids order them as they were started."""
        target, held, gates = self.move.target, self.held, self.gates
        return [
            process
            for process in self.node.table.values()
            if process.body is not None
            and process not in held
            and process not in gates
            and process not in self.moved
            and target(process) is not None
        ]

    def _busy(self) -> list[Process]:
        """Those that are waited for."""
        for process in [each for each in self.gates if each.status == DEAD]:
            del self.gates[process]
        return [process for process in self.gates if process not in self.late]

    def _hold(self, process: Process) -> None:
        hold(process)
        self.held.setdefault(process, time.perf_counter())

    def _let_go(self, process: Process) -> None:
        self.pauses.append(time.perf_counter() - self.held.pop(process))
        release(process)

    def _expect(self, process: Process, arrived: Callable[[Process], Arrival]) -> None:
        self.gates[process] = Gate(process, arrived)

    def _arrive_to_wait(self, process: Process) -> Arrival:
        del self.gates[process]
        self._hold(process)
        if not self._busy():
            self._wake()
        return False

    def _leave_behind(self) -> None:
        """Those still busy move when they are done; nobody waits for them any longer."""
        for process in self._busy():
            self.gates[process].arrived = self._arrive_to_move
            self.late.append(process)

    def _lend(self) -> None:
        """Let go, for one answer, those that are held and must give it before somebody can finish."""
        for process in self._busy():
            request = awaited_from_held(process)
            if request is not None:
                server = request.target
                self._let_go(server)
                self.gates[server] = Gate(server, self._arrive_to_wait, serves=True)
                serve_first(server, request)

    # --- one by one ------------------------------------------------------------------------------------------------

    async def _one_by_one(self) -> None:
        self.commit()
        until = self.node.clock.now() + self.patience
        while True:
            began = time.perf_counter()
            some = False
            for process in self._affected():
                some = True
                if process.status == DEAD:
                    continue
                if process in self.waiting or not between_messages(process):
                    self._expect(process, self._arrive_to_move)
                    if process in self.waiting:
                        self.late.append(process)
                    continue
                self._hold(process)
                await self._change(process)
                self._let_go(process)
                if time.perf_counter() - began > SLICE:
                    await pause()
                    began = time.perf_counter()
                self._check()
            left = until - self.node.clock.now()
            if not some and not self._busy():
                return
            if left <= 0:
                self.late += self._busy()
                return
            if not some:
                await self._wait(min(TICK, left))
            self._check()

    def _arrive_to_move(self, process: Process) -> Arrival:
        self.gates.pop(process, None)
        try:
            moved, rest = self.move.begin(process)
        except Exception as error:  # noqa: BLE001  ends the transaction, or the process
            self._fail(process, error)
            return True
        if rest is not None:
            return self._finish(process, moved, rest)
        self.moved[process] = moved
        if not self._busy():
            self._wake()
        return True

    async def _finish(self, process: Process, moved: Moved, rest: Coroutine[Any, Any, Any]) -> None:
        try:
            self.move.finish(process, moved, await rest)
        except Exception as error:  # noqa: BLE001  as above
            self.move.undo(process, moved)
            self._fail(process, error)
        else:
            self.moved[process] = moved
            if not self._busy():
                self._wake()

    def _fail(self, process: Process, error: Exception) -> None:
        """Of one that arrives: everything goes back, or, if that is decided already, the process crashes."""
        if self.over:
            raise error
        self.failed = ChangeFailed(process, error)
        self._wake()

    def _check(self) -> None:
        if self.failed is not None:
            raise self.failed

    # --- the change of one -----------------------------------------------------------------------------------------

    async def _change(self, process: Process) -> None:
        """Change one that is held."""
        if process.status == DEAD:
            return
        try:
            moved, rest = self.move.begin(process)
            if rest is not None:
                await self._change_slowly(process, moved, rest)
        except Exception as error:
            if not self.must:
                raise ChangeFailed(process, error) from error
            self.killed.append(process)
            die(process, "killed")
            return
        self.moved[process] = moved

    async def _change_slowly(self, process: Process, moved: Moved, rest: Coroutine[Any, Any, Any]) -> None:
        """An async `code_change` runs in the process itself, before any message."""
        values: list[object] = []
        errors: list[Exception] = []
        arrived: list[bool] = []

        async def work() -> None:
            try:
                values.append(await rest)
            except (SystemExit, GeneratorExit, Stalled) as error:
                errors.append(RuntimeError(f"code_change ended with {type(error).__name__}"))
            except Exception as error:  # noqa: BLE001  handed on below
                errors.append(error)

        def back(_: Process) -> Arrival:
            hold(process)
            arrived.append(True)
            self._wake()
            return False

        process.wait = None
        gate = Gate(process, back)
        process.coro = work()
        self.node.scheduler.enqueue(process)
        until = self.node.clock.now() + self.patience
        try:
            while not arrived and process.status != DEAD:
                left = until - self.node.clock.now()
                if left <= 0:
                    gate.open()
                    die(process, "killed")  # it can neither go on nor go back
                    raise TimeoutError(f"code_change was not done within {self.patience:g} s")
                await self._wait(min(TICK, left))
        finally:
            if not arrived:  # this transaction was killed: who is still at it goes back when done
                gate.arrived = partial(self._arrive_to_undo, moved)
        if errors:
            self.move.undo(process, moved)
            raise errors[0]
        if values:
            self.move.finish(process, moved, values[0])

    def _arrive_to_undo(self, moved: Moved, process: Process) -> Arrival:
        self.move.undo(process, moved)
        return True

    def _undo(self) -> None:
        for gate in self.gates.values():
            gate.open()
        self.gates.clear()
        for process, moved in reversed(self.moved.items()):
            if process.status != DEAD:
                try:
                    self.move.undo(process, moved)
                except Exception:  # the others go back all the same
                    log.exception("%r could not go back and is killed", process)
                    self.killed.append(process)
                    die(process, "killed")
        self.moved.clear()
        self.revert()

    # --- waiting ---------------------------------------------------------------------------------------------------

    async def _wait(self, seconds: float) -> None:
        self.me.wait = self
        timer = self.node.timers.plan(seconds, self._wake)
        try:
            await suspend()
        finally:
            self.node.timers.cancel(timer)

    def _wake(self) -> None:
        if self.me.wait is self:
            wake(self.me, None)
