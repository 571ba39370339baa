"""The supervisor: starts children in order, restarts them by rule, stops them in reverse order.

Source: OTP's supervisor, to the letter (`tests/otp/vectors`): the order of stops and starts, what counts as a
restart, retries through a message to itself so that it stays responsive, the escalation when it gives up.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from planaria.otp.kernel.ambient import node_, self_, wait_down
from planaria.otp.kernel.event import ChildRestarted, RestartsExceeded
from planaria.otp.kernel.mailbox import deliver_kernel
from planaria.otp.kernel.message import ExitSignal
from planaria.otp.kernel.process import DEAD, Process, Request
from planaria.otp.kernel.reason import (
    AlreadyStarted,
    ChildError,
    Exit,
    FailedToStartChild,
    Killed,
    Shutdown,
    StartFailed,
    StartRaised,
    Stop,
    is_orderly,
    reason_of,
)
from planaria.otp.servers.gen_server import GenServer, start_server, started
from planaria.otp.servers.handler import Deferred, call
from planaria.otp.supervision.child import ChildKind, ChildSpec, Restart, ShutdownTime
from planaria.otp.supervision.restart_window import RestartWindow, check_budget
from planaria.otp.supervision.shutdown import stop_child

type Strategy = Literal["one_for_one", "one_for_all", "rest_for_one"]
type AutoShutdown = Literal["never", "any_significant", "all_significant"]


@dataclass(frozen=True, slots=True)
class Flags:
    """How a supervisor treats its children; see `supervisor`."""

    strategy: Strategy = "one_for_one"
    max_restarts: int = 3
    within: float = 5.0
    auto_shutdown: AutoShutdown = "never"


@dataclass(frozen=True, slots=True)
class ChildInfo:
    """One line of `which_children`."""

    id: object
    process: Process | None
    restarting: bool
    kind: ChildKind
    restarts: int


@dataclass(frozen=True, slots=True)
class ChildCounts:
    """What `count_children` answers."""

    specs: int
    active: int
    supervisors: int
    workers: int


@dataclass(frozen=True, slots=True)
class TryAgain:
    """To itself: a restart failed and is tried once more."""

    failed: FailedToStartChild


class Child:
    """A child as it stands: its specification and its process, if it has one."""

    __slots__ = ("process", "restarting", "restarts", "spec")

    def __init__(self, spec: ChildSpec) -> None:
        self.spec = spec
        self.process: Process | None = None
        self.restarting = False
        self.restarts = 0


ORPHAN_PATIENCE = 5.0
"""Seconds a start waits for the previous holder of its name, whose supervisor is dead, to end."""


def begin_child(spec: ChildSpec) -> Request | None:
    """Begin to start a child of `child(...)`, for `start_of`; None if that can only be done by waiting, or fails."""
    begin: Callable[[bool], Request] | None = getattr(spec.start, "begin", None)
    if begin is None:
        return None
    try:
        return begin(True)
    except Killed:
        raise
    except Exception:  # noqa: BLE001  the start function will raise it again, where it becomes a reason
        return None


async def start_of(spec: ChildSpec, begun: Request | None = None) -> Process | None:
    """Start a child; whatever its start function raises becomes the reason of a `StartFailed`.

    Args:
        begun: what `begin_child` gave, to go on with.
    """
    try:
        return await (spec.start(link=True) if begun is None else started(begun))
    except StartFailed as error:
        if not await _orphan_is_gone(error.reason):
            raise
        # Its name was held by the orphan of a killed supervisor. Erlang burns restarts until that has ended.
        return await spec.start(link=True)
    except Exit as error:
        raise StartFailed(spec.id, StartRaised(error.reason)) from error
    except Exception as error:
        raise StartFailed(spec.id, StartRaised(reason_of(error))) from error


async def _orphan_is_gone(reason: object) -> bool:
    if not isinstance(reason, AlreadyStarted) or not isinstance(reason.process, Process):
        return False
    holder = reason.process
    if holder.parent is None or holder.parent.status != DEAD:
        return False
    try:
        await wait_down(holder, ORPHAN_PATIENCE)
    except TimeoutError:
        return False
    return True


class Supervisor(GenServer):
    """Use `supervisor(...)` to describe one, the calls below to change it while it runs."""

    trap_exit: ClassVar[bool] = True
    call_timeout: ClassVar[float | None] = None  # a child may take long to start or stop

    async def init(self, flags: Flags, specs: Sequence[ChildSpec]) -> None:
        """Start the children in order; the first failure stops those started and refuses the start."""
        self.flags = flags
        self.window = RestartWindow(flags.max_restarts, flags.within)
        self.children: dict[object, Child] = {spec.id: Child(spec) for spec in specs}
        failed = await self._start_all(list(self.children.values()))
        if failed is not None:
            await self._stop_all(list(self.children.values()))
            raise Stop(Shutdown(failed))

    # --- requests ------------------------------------------------------------------------------------------------

    @call
    async def start_child(self, spec: ChildSpec) -> Process | Deferred[Process | None] | None:
        """Add and start a child, last in order.

        Returns:
            Its process; None if it declined (it is kept without a process, unless temporary).
        Raises:
            StartFailed: it did not start and is not kept; `AlreadyStarted` if a child with that id runs.
            ChildError: `already_present`: a child with that id is known but not running. `bad_combination`: it is
                significant, but `auto_shutdown` is `never`.
        """
        if spec.significant and self.flags.auto_shutdown == "never":
            return self.refuse(ChildError("bad_combination", spec.id))
        known = self.children.get(spec.id)
        if known is not None:
            if known.process is not None:
                return self.refuse(StartFailed(spec.id, AlreadyStarted(known.process)))
            return self.refuse(ChildError("already_present", spec.id))
        try:
            process = await start_of(spec)
        except StartFailed as error:
            return self.refuse(error)
        if process is not None or spec.restart != "temporary":
            added = self.children[spec.id] = Child(spec)
            added.process = process
        return process

    @call
    async def terminate_child(self, id: object) -> Deferred[None] | None:
        """Stop a child and leave it stopped; a temporary one is forgotten.

        Raises:
            ChildError: `not_found`.
        """
        known = self.children.get(id)
        if known is None:
            return self.refuse(ChildError("not_found", id))
        await self._stop_all([known])
        return None

    @call
    async def restart_child(self, id: object) -> Process | Deferred[Process | None] | None:
        """Start a stopped child again.

        Raises:
            ChildError: `not_found`, `running` or `restarting`.
            StartFailed: it did not start; it stays stopped.
        """
        known = self.children.get(id)
        if known is None:
            return self.refuse(ChildError("not_found", id))
        if known.restarting or known.process is not None:
            return self.refuse(ChildError("restarting" if known.restarting else "running", id))
        try:
            known.process = await start_of(known.spec)
        except StartFailed as error:
            return self.refuse(error)
        return known.process

    @call
    def delete_child(self, id: object) -> Deferred[None] | None:
        """Forget a stopped child.

        Raises:
            ChildError: `not_found`, `running` or `restarting`.
        """
        known = self.children.get(id)
        if known is None:
            return self.refuse(ChildError("not_found", id))
        if known.restarting or known.process is not None:
            return self.refuse(ChildError("restarting" if known.restarting else "running", id))
        del self.children[id]
        return None

    @call
    def which_children(self) -> list[ChildInfo]:
        """The children, in the order they are started."""
        return [
            ChildInfo(c.spec.id, c.process, c.restarting, c.spec.kind, c.restarts)
            for c in self.children.values()
        ]

    @call
    def count_children(self) -> ChildCounts:
        """How many there are."""
        children = self.children.values()
        supervisors = sum(c.spec.kind == "supervisor" for c in children)
        active = sum(c.process is not None and c.process.status != DEAD for c in children)
        return ChildCounts(len(children), active, supervisors, len(children) - supervisors)

    @call
    def get_child_spec(self, id: object) -> ChildSpec | Deferred[ChildSpec]:
        """The specification of a child.

        Raises:
            ChildError: `not_found`.
        """
        known = self.children.get(id)
        return self.refuse(ChildError("not_found", id)) if known is None else known.spec

    # --- ends and restarts ---------------------------------------------------------------------------------------

    def handle_info(self, message: Any) -> Coroutine[Any, Any, None] | None:
        """The end of a child, or another try at a restart."""
        if isinstance(message, ExitSignal):
            ended = message.sender
            for known in self.children.values():
                if known.process is ended:
                    return self._ended(known, message.reason)
        elif isinstance(message, TryAgain):
            known_again = self.children.get(message.failed.id)
            if known_again is not None and known_again.restarting:
                return self._restart(known_again, message.failed)
        return None

    def children_now(self) -> list[tuple[object, Process | None, int]]:
        """(id, process, restarts) of the children in order, for those who look."""
        return [(c.spec.id, c.process, c.restarts) for c in self.children.values()]

    async def terminate(self, reason: object) -> None:
        """Stop the children, last first."""
        await self._stop_all(list(self.children.values()))

    def _ended(self, known: Child, reason: object) -> Coroutine[Any, Any, None] | None:
        kind = known.spec.restart
        if kind == "permanent" or (kind == "transient" and not is_orderly(reason)):
            return self._restart(known, reason)
        self._clear(known)
        if known.spec.significant and self.flags.auto_shutdown != "never":
            others = any(
                c.spec.significant and (c.process is not None or c.restarting) for c in self.children.values()
            )
            if self.flags.auto_shutdown == "any_significant" or not others:
                self.stop("shutdown")
        return None

    def _restart(self, known: Child, reason: object) -> Coroutine[Any, Any, None] | None:
        """Start it again; at once if nothing has to be waited for, else in the coroutine that is returned."""
        pid = self._kernel_process
        node = pid.node
        if not self.window.allow(node.clock.now()):
            node.emit(RestartsExceeded(pid, known.spec.id, reason))
            self._clear(known)
            self.stop("shutdown")
            return None
        begun = None
        if self.flags.strategy == "one_for_one":
            begun = begin_child(known.spec)
            if begun is not None and begun.done and begun.error is None:
                process = begun.value
                self._started(known, process)
                known.restarts += 1
                if process is not None:
                    node.restarts[process] = known.restarts
                    if node.listeners:
                        node.emit(ChildRestarted(pid, known.spec.id, process, reason))
                return None
        return self._restart_waiting(known, reason, begun)

    async def _restart_waiting(self, known: Child, reason: object, begun: Request | None) -> None:
        node = node_()
        strategy = self.flags.strategy
        if strategy == "one_for_one":
            failed = await self._start_all([known], begun)
        else:
            group = list(self.children.values())
            if strategy == "rest_for_one":
                group = group[group.index(known) :]
            # The one that ended has no process to stop, yet is started again with the others, whatever its kind.
            known.process = None
            known.restarting = False
            await self._stop_all(group, keep=known)
            failed = await self._start_all([c for c in group if self.children.get(c.spec.id) is c])
        if failed is not None:
            again = self.children[failed.id]
            again.process = None
            again.restarting = True
            deliver_kernel(self_(), "info", TryAgain(failed))
        known.restarts += 1
        if known.process is not None:
            node.restarts[known.process] = known.restarts
            if node.listeners:
                node.emit(ChildRestarted(self_(), known.spec.id, known.process, reason))

    def _clear(self, known: Child) -> None:
        known.process = None
        known.restarting = False
        if known.spec.restart == "temporary":
            self.children.pop(known.spec.id, None)

    def _started(self, known: Child, process: Process | None) -> None:
        known.process = process
        known.restarting = False
        if process is None and known.spec.restart == "temporary":
            self.children.pop(known.spec.id, None)

    async def _start_all(
        self, children: list[Child], begun: Request | None = None
    ) -> FailedToStartChild | None:
        for known in children:
            try:
                self._started(known, await start_of(known.spec, begun))
            except StartFailed as error:
                return FailedToStartChild(known.spec.id, error.reason)
            begun = None
        return None

    async def _stop_all(self, children: list[Child], keep: Child | None = None) -> None:
        for known in reversed(children):
            process = known.process
            if process is not None:
                await stop_child(process, known.spec.shutdown)
            if known is keep:
                known.process = None
            else:
                self._clear(known)


def supervisor(
    *children: ChildSpec,
    name: str | None = None,
    id: object = None,
    strategy: Strategy = "one_for_one",
    max_restarts: int = 3,
    within: float = 5.0,
    auto_shutdown: AutoShutdown = "never",
    restart: Restart = "permanent",
    shutdown: ShutdownTime = "infinity",
    significant: bool = False,
) -> ChildSpec:
    """A supervisor with its children, itself a child of another or a root.

    Args:
        children: started in this order, stopped in reverse.
        strategy: who else restarts when one ends: `one_for_one` nobody, `one_for_all` all, `rest_for_one` those
            started after it.
        max_restarts, within: more restarts than that in so many seconds, and it stops its children and ends
            with `shutdown`.
        auto_shutdown: whether the end of one (`any_significant`) or the last (`all_significant`) significant
            child ends it.
    Raises:
        ValueError: two children with one id, a significant one without `auto_shutdown`, an unknown word.
    """
    if strategy not in ("one_for_one", "one_for_all", "rest_for_one"):
        raise ValueError(f"strategy={strategy!r}: it is 'one_for_one', 'one_for_all' or 'rest_for_one'")
    if auto_shutdown not in ("never", "any_significant", "all_significant"):
        raise ValueError(
            f"auto_shutdown={auto_shutdown!r}: it is 'never', 'any_significant' or 'all_significant'"
        )
    check_budget(max_restarts, within)
    seen: set[object] = set()
    for spec in children:
        if spec.id in seen:
            raise ValueError(f"two children with the id {spec.id!r}: give one of them id=...")
        if spec.significant and auto_shutdown == "never":
            raise ValueError(f"the child {spec.id!r} is significant: give its supervisor auto_shutdown=...")
        seen.add(spec.id)
    flags = Flags(strategy, max_restarts, within, auto_shutdown)

    async def start(*, link: bool = True) -> Process | None:
        return await start_server(
            Supervisor, (flags, children), {}, name=name, label=name or "supervisor", link=link
        )

    return ChildSpec(id or name or "supervisor", start, restart, shutdown, "supervisor", significant)
