"""Moving one process from one version of its class to another, in place, and back."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from types import CoroutineType
from typing import Any

from planaria.otp.kernel.event import ProcessUpgraded
from planaria.otp.kernel.process import Body, Process, running
from planaria.otp.kernel.reason import Stalled
from planaria.otp.servers.state import state_of
from planaria.otp.servers.transition import Next
from planaria.otp.servers.wrapper import Wrapper, server_of
from planaria.otp.upgrade.redirect import make
from planaria.otp.upgrade.snapshot import Snapshot
from planaria.otp.upgrade.state import attributes_of, set_attributes

ENDS = (CancelledError, SystemExit, GeneratorExit, Stalled)
"""What user code may raise besides `Exception`s; not to be taken for the end of who asked for the upgrade."""
HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: made by a class statement


@dataclass(frozen=True, slots=True)
class Downgrade:
    """What `code_change` is given for `old_version` on the way back to `version` (OTP's `{down, Vsn}`).

    Only a class that says `can_downgrade = True` is asked; the others get their snapshot back.
    """

    version: object


@dataclass(slots=True)
class Moved:
    """How a process was before it moved.

    Attributes:
        body: the server that was inside; mostly it still is.
        snapshot: None if its `init` had not run yet.
        complete: whether the snapshot is good for the way back, and not only for a failure at once.
    """

    old_class: type
    new_class: type
    body: Any
    snapshot: Snapshot | None
    complete: bool


def change_class(body: Any, cls: type) -> Any:
    """The same server with another class: itself if the memory layouts agree, else a new one with all its attributes.

    Raises:
        TypeError, AttributeError: neither is possible.
    """
    try:
        body.__class__ = cls
    except TypeError:
        other = make(cls)
        set_attributes(other, attributes_of(body))
        return other
    return body


def why_not(old: type, new: type) -> str | None:
    """Why servers of one class can never become the other; None if they can."""
    if not callable(getattr(new, "handle", None)):
        return f"{new.__qualname__} is no server any more"
    if old is new or getattr(new, "code_change", None) is not getattr(_solid(new), "code_change", None):
        return None  # its code_change says that it knows what to do
    if _solid(old) is not _solid(new):
        return (
            f"the layouts of {old.__qualname__} differ: it was made of {_solid(old).__name__}, now of "
            f"{_solid(new).__name__}; write a code_change that takes care"
        )
    return None


def _solid(cls: type) -> type:
    """The nearest base that was not made by a class statement; of servers, the behaviour they are made of."""
    base = cls
    while not base.__module__.startswith("planaria.otp.") and base.__flags__ & HEAP_TYPE:
        assert base.__base__ is not None  # only object has none, and it is no heap type
        base = base.__base__
    return base


def replace_server(process: Process, server: Any) -> None:
    """Put a server in the place of the one inside, behind the wrappers."""
    body: Body | None = process.body
    outer: Wrapper | None = None
    while isinstance(body, Wrapper):
        outer = body
        body = body.inner
    if outer is None:
        process.body = server
    else:
        outer.inner = server


def has_begun(process: Process) -> bool:
    """Whether the `init` of a process that is between messages has run."""
    return process.pending is None or process.pending[0] != "start"


class Move:
    """The way from some classes to others, for as many processes as needed.

    Args:
        classes: old class to new class.
        old_vsn, vsn: what the versions are called, by old class.
        extra: handed to `code_change`.
        owned: see `Snapshot`; None: it is good for the failure of a `code_change` only.
    """

    def __init__(
        self,
        classes: dict[type, type],
        old_vsn: Callable[[type], object],
        vsn: Callable[[type], object],
        extra: object = None,
        owned: Callable[[type], bool] | None = None,
    ) -> None:
        self.classes = classes
        self.old_vsn = old_vsn
        self.vsn = vsn
        self.extra = extra
        self.owned = owned

    def target(self, process: Process) -> type | None:
        """What class the server inside should have; None if it need not move."""
        server = server_of(process)
        return None if server is None else self.classes.get(type(server))

    def begin(self, process: Process) -> tuple[Moved, Coroutine[Any, Any, Any] | None]:
        """Change the class, call `code_change`; the coroutine is the rest, if that is async. Then call `finish`.

        Raises:
            Exception: whatever `code_change` raised; the process is as it was.
        """
        server: Any = server_of(process)
        old = type(server)
        new = self.classes[old]
        begun = has_begun(process)
        snapshot = Snapshot(server, self.owned) if begun else None
        moved = Moved(old, new, server, snapshot, self.owned is not None)
        changed = change_class(server, new)
        if changed is not server:
            replace_server(process, changed)
        if begun:
            try:
                value = self.call(process, changed, self.old_vsn(old))
            except BaseException:
                self.undo(process, moved)
                raise
            if type(value) is CoroutineType:
                return moved, value
            self.finish(process, moved, value)
        else:
            self.finish(process, moved, None)
        return moved, None

    def call(self, process: Process, server: Any, old_vsn: object) -> Any:
        """Call `code_change` as the process itself."""
        change = getattr(server, "code_change", None)
        if change is None:
            return None
        before, running.process = running.process, process
        try:
            return change(old_vsn, self.extra)
        except ENDS as error:
            raise RuntimeError(f"code_change ended with {type(error).__name__}") from error
        finally:
            running.process = before

    def finish(self, process: Process, moved: Moved, value: object) -> None:
        """After `code_change`: what it answered is done, and the change is told."""
        server: Any = server_of(process)
        if isinstance(value, Next):
            server.set_state((value.state, state_of(server)))
        node = process.node
        if node.listeners:
            old, new = self.old_vsn(moved.old_class), self.vsn(moved.old_class)
            node.emit(ProcessUpgraded(process, process.name, process.label, old, new))

    def undo(self, process: Process, moved: Moved) -> None:
        """Make a process what it was: class, instance, and the state of the snapshot."""
        server = server_of(process)
        if server is not moved.body:
            replace_server(process, moved.body)
        else:
            moved.body.__class__ = moved.old_class
        if moved.snapshot is not None:
            moved.snapshot.restore(moved.body)


class MoveBack(Move):
    """The way back: `former` says how each process was before it came."""

    def __init__(
        self,
        classes: dict[type, type],
        old_vsn: Callable[[type], object],
        vsn: Callable[[type], object],
        extra: object,
        former: dict[Process, Moved],
        keep_state: bool,
    ) -> None:
        super().__init__(classes, old_vsn, vsn, extra)
        self.former = former
        self.keep_state = keep_state

    def begin(self, process: Process) -> tuple[Moved, Coroutine[Any, Any, Any] | None]:
        """Let `code_change` transform the state back if the class can, else restore the snapshot.

        A process that was born on the version given up has neither: it keeps its state.
        """
        server: Any = server_of(process)
        cls = type(server)
        moved = Moved(cls, self.classes[cls], server, None, complete=False)
        if has_begun(process) and not self.keep_state and getattr(cls, "can_downgrade", False):
            try:
                value = self.call(process, server, Downgrade(self.vsn(cls)))
            except Exception:  # noqa: BLE001  there is nowhere to go but back
                self.go_back(process, moved, transformed=False)
                return moved, None
            if type(value) is CoroutineType:
                return moved, value
            self.finish(process, moved, value)
        else:
            self.go_back(process, moved, transformed=False)
        return moved, None

    def finish(self, process: Process, moved: Moved, value: object) -> None:
        """The state is transformed; now the class."""
        if isinstance(value, Next):
            server: Any = server_of(process)
            server.set_state((value.state, state_of(server)))
        self.go_back(process, moved, transformed=True)

    def go_back(self, process: Process, moved: Moved, *, transformed: bool) -> None:
        """Change the class, and the state unless it is transformed already."""
        former = self.former.get(process)
        server = moved.body
        if (
            former is not None
            and former.complete
            and former.snapshot is not None
            and not transformed
            and not self.keep_state
        ):
            if former.body is not server:
                set_attributes(former.body, _kernel_part(former.body, server))
                replace_server(process, former.body)
            else:
                server.__class__ = moved.new_class
            former.snapshot.restore(former.body)
        else:
            changed = change_class(server, moved.new_class)
            if changed is not server:
                replace_server(process, changed)
        super().finish(process, moved, None)


def _kernel_part(old: object, new: object) -> dict[str, Any]:
    """The attributes of the old instance, but what the kernel keeps beside the state as it is now in the new one."""
    kept = attributes_of(old)
    now = attributes_of(new)
    state_then, state_now = state_of(old), state_of(new)
    found = {name: value for name, value in kept.items() if name in state_then}
    found.update({name: value for name, value in now.items() if name not in state_now})
    return found
