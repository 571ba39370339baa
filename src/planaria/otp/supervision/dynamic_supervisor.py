"""The dynamic supervisor: children come and go at run time, are restarted one for one, and stop all at once.

Source: OTP's simple_one_for_one and Elixir's DynamicSupervisor: each child has its own specification, children
are addressed by pid, and all share one shutdown time when the supervisor ends. A template makes one specification
serve all, as in OTP: `dynamic(template=lambda visitor: child(Session, settings, visitor))`, then
`DynamicSupervisor.start_with(pid, visitor)`; what comes before the argument are Elixir's `extra_arguments`.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, ClassVar

from planaria.otp.kernel.ambient import Server, node_, now, resolve, self_
from planaria.otp.kernel.event import ChildRestarted, RestartsExceeded
from planaria.otp.kernel.mailbox import deliver_kernel
from planaria.otp.kernel.message import ExitSignal
from planaria.otp.kernel.process import DEAD, Process
from planaria.otp.kernel.reason import ChildError, FailedToStartChild, StartFailed, is_orderly
from planaria.otp.kernel.signals import link
from planaria.otp.kernel.table import publish, read_table
from planaria.otp.servers.gen_server import GenServer, start_server
from planaria.otp.servers.handler import Deferred, call
from planaria.otp.supervision.child import ChildSpec, Restart, ShutdownTime
from planaria.otp.supervision.restart_window import RestartWindow, check_budget
from planaria.otp.supervision.shutdown import stop_all, stop_child
from planaria.otp.supervision.supervisor import AutoShutdown, Child, ChildCounts, ChildInfo, start_of

type Template = Callable[..., ChildSpec]


class TryAgainChild:
    """To itself: the restart of this child failed and is tried once more."""

    __slots__ = ("child", "failed")

    def __init__(self, child: Child, failed: FailedToStartChild) -> None:
        self.child = child
        self.failed = failed


class _Template:
    """What may be read past the supervisor's mailbox."""

    __slots__ = ("make",)

    def __init__(self, make: Template | None) -> None:
        self.make = make


class DynamicSupervisor(GenServer):
    """Use `dynamic(...)` to describe one; children are added with `start_child`."""

    trap_exit: ClassVar[bool] = True
    call_timeout: ClassVar[float | None] = None  # a child may take long to start or stop

    def init(
        self,
        max_restarts: int = 3,
        within: float = 5.0,
        max_children: int | None = None,
        template: Template | None = None,
        auto_shutdown: AutoShutdown = "never",
    ) -> None:
        """Begin without children."""
        self.window = RestartWindow(max_restarts, within)
        self.max_children = max_children
        publish(self.pid, _Template(template))
        self.auto_shutdown = auto_shutdown
        self.children: dict[Process, Child] = {}
        self.waiting: list[Child] = []  # those whose restart failed and is tried again
        self.declined: Child | None = (
            None  # the last that declined its restart: as in OTP it stays in the list
        )

    @call
    async def start_child(self, spec: ChildSpec) -> Process | Deferred[Process | None] | None:
        """Start a child. None if it declined; it is not kept then.

        Raises:
            StartFailed: it did not start and is not kept; `"max_children"` if there are that many.
            ChildError: `bad_combination`: it is significant, but `auto_shutdown` is `never`.
        """
        if spec.significant and self.auto_shutdown == "never":
            return self.refuse(ChildError("bad_combination", spec.id))
        if self.full:
            return self.refuse(StartFailed(spec.id, "max_children"))
        try:
            process = await start_of(spec)
        except StartFailed as error:
            return self.refuse(error)
        if process is not None:
            added = self.children[process] = Child(spec)
            added.process = process
        return process

    @staticmethod
    async def start_with(supervisor: Server, *args: Any, **kwargs: Any) -> Process | None:
        """Start a child from the template: these arguments make its specification, in the caller.

        A restart uses the same specification again. What the template raises is raised here.

        Raises:
            ChildError: `no_template`: the supervisor was made without one.
            StartFailed: as `start_child`.
        """
        template = read_table(supervisor, resolve(supervisor), _Template).make
        if template is None:
            raise ChildError("no_template", supervisor)
        return await DynamicSupervisor.start_child(supervisor, template(*args, **kwargs))

    @call
    async def terminate_child(self, process: Process | str) -> Deferred[None] | None:
        """Stop a child and forget it. A dead process is fine, a living one that is no child is not.

        Raises:
            ChildError: `not_found`; `simple_one_for_one` for anything but a pid.
        """
        if not isinstance(process, Process):
            return self.refuse(ChildError("simple_one_for_one", process))
        known = self.children.pop(process, None)
        if known is not None:
            await stop_child(process, known.spec.shutdown)
            return None
        for waiting in self.waiting:
            if waiting.process is process:  # it ended, and its restart is tried: no more of that
                self.waiting.remove(waiting)
                return None
        if process.status != DEAD:
            return self.refuse(ChildError("not_found", process))
        self.declined = None  # as in OTP: whoever had no process is forgotten with any of the dead
        return None

    @call
    def get_child_spec(self, process: Process) -> ChildSpec | Deferred[ChildSpec]:
        """The specification of a child, living or being restarted.

        Raises:
            ChildError: `not_found`.
        """
        known = self.children.get(process)
        for waiting in self.waiting:
            if waiting.process is process:
                known = waiting
        return known.spec if known is not None else self.refuse(ChildError("not_found", process))

    @call
    def which_children(self) -> list[ChildInfo]:
        """The children, oldest first; those being restarted have no process, nor has one that declined its restart."""
        listed = [ChildInfo(c.spec.id, p, False, c.spec.kind, c.restarts) for p, c in self.children.items()]
        if self.declined is not None:
            spec = self.declined.spec
            listed.append(ChildInfo(spec.id, None, False, spec.kind, self.declined.restarts))
        return listed + [ChildInfo(c.spec.id, None, True, c.spec.kind, c.restarts) for c in self.waiting]

    @call
    def count_children(self) -> ChildCounts:
        """How many there are."""
        known = [*self.children.values(), *self.waiting]
        supervisors = sum(c.spec.kind == "supervisor" for c in known)
        active = sum(p.status != DEAD for p in self.children)
        if self.declined is not None:  # OTP counts it as active, though it has no process
            known.append(self.declined)
            active += 1
            supervisors += self.declined.spec.kind == "supervisor"
        return ChildCounts(len(known), active, supervisors, len(known) - supervisors)

    @property
    def full(self) -> bool:
        """Whether there are as many children as may be; those being restarted count."""
        return self.max_children is not None and len(self.children) + len(self.waiting) >= self.max_children

    def adopt(self, process: Process, spec: ChildSpec) -> None:
        """Take a process that another has just made as a child; for `Task`, which cannot wait for a call."""
        link(self.pid, process)
        process.parent = self.pid
        added = self.children[process] = Child(spec)
        added.process = process

    def handle_info(self, message: Any) -> Coroutine[Any, Any, None] | None:
        """The end of a child, or another try at a restart."""
        # No coroutine for those that are not started again, as all tasks are.
        if isinstance(message, ExitSignal):
            known = self.children.pop(message.sender, None)
            if known is not None:
                kind = known.spec.restart
                if kind == "permanent" or (kind == "transient" and not is_orderly(message.reason)):
                    return self._restart(known, message.reason)
                if known.spec.significant and self._shuts_down():
                    self.stop("shutdown")
        elif isinstance(message, TryAgainChild) and message.child in self.waiting:
            self.waiting.remove(message.child)
            return self._restart(message.child, message.failed)
        return None

    def _shuts_down(self) -> bool:
        """Whether the end of a significant child ends this supervisor."""
        if self.auto_shutdown != "all_significant":
            return self.auto_shutdown == "any_significant"
        return not any(known.spec.significant for known in (*self.children.values(), *self.waiting))

    async def _restart(self, known: Child, reason: object) -> None:
        node = node_()
        if not self.window.allow(now()):
            node.emit(RestartsExceeded(self_(), known.spec.id, reason))
            self.stop("shutdown")
            return
        try:
            process = await start_of(known.spec)
        except StartFailed as error:
            self.waiting.append(known)
            failed = FailedToStartChild(known.spec.id, error.reason)
            deliver_kernel(self_(), "info", TryAgainChild(known, failed))
            return
        known.restarts += 1
        known.process = process
        if process is None:
            self.declined = known
        else:
            self.children[process] = known
            node.restarts[process] = known.restarts
        if node.listeners:
            node.emit(ChildRestarted(self_(), known.spec.id, process, reason))

    def children_now(self) -> list[tuple[object, Process | None, int]]:
        """(id, process, restarts) of the children in order, for those who look."""
        return [(c.spec.id, p, c.restarts) for p, c in self.children.items()]

    async def terminate(self, reason: object) -> None:
        """Tell all children to stop at once and wait for them."""
        await stop_all((process, known.spec.shutdown) for process, known in self.children.items())


def dynamic(
    *,
    name: str | None = None,
    id: object = None,
    max_restarts: int = 3,
    within: float = 5.0,
    max_children: int | None = None,
    template: Template | None = None,
    auto_shutdown: AutoShutdown = "never",
    restart: Restart = "permanent",
    shutdown: ShutdownTime = "infinity",
    significant: bool = False,
) -> ChildSpec:
    """A dynamic supervisor as a child; see `supervisor` for the other arguments.

    Args:
        max_restarts, within: one budget for all children together.
        max_children: a start beyond it is refused.
        template: makes the specification of a child from the arguments of `start_with`.
        auto_shutdown: whether the end of one (`any_significant`) or the last (`all_significant`) of the significant
            children ends it.
    """
    check_budget(max_restarts, within)

    async def start(*, link: bool = True) -> Process | None:
        args = (max_restarts, within, max_children, template, auto_shutdown)
        return await start_server(DynamicSupervisor, args, {}, name=name, label=name or "dynamic", link=link)

    return ChildSpec(id or name or "dynamic", start, restart, shutdown, "supervisor", significant)
