"""What running code may do as the process it is: spawn, send, receive, link, monitor, name, time.

Each function acts for the running process and raises `NotAProcess` where none runs; `Node` has the methods for
code outside. A process that has been killed while its code still runs gets `Killed` from every one of them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from inspect import CO_COROUTINE
from types import FunctionType
from typing import TYPE_CHECKING, Any, overload

from planaria.otp.kernel.alias import AliasMode, AliasMonitor, AnyAlias, watch_with_alias
from planaria.otp.kernel.birth import announce, create
from planaria.otp.kernel.bounded import Bound, limit_process
from planaria.otp.kernel.mailbox import deliver, deliver_kernel, senders, take, take_where
from planaria.otp.kernel.message import Down, Envelope, ExitSignal
from planaria.otp.kernel.process import (
    DEAD,
    READY,
    RECEIVING,
    WAITING,
    Monitor,
    Process,
    Request,
    is_async,
    name_of,
    new_process,
    running,
    wake,
)
from planaria.otp.kernel.reason import Killed, NoProcess, NotAProcess
from planaria.otp.kernel.runner import RECEIVE, Throw, pause, suspend
from planaria.otp.kernel.signals import link as link_processes
from planaria.otp.kernel.signals import new_monitor, unwatch, watch
from planaria.otp.kernel.signals import signal as signal_process
from planaria.otp.kernel.signals import unlink as unlink_processes

if TYPE_CHECKING:
    from planaria.otp.kernel.node import Node
    from planaria.otp.kernel.timers import TimerRef

NOTHING = object()
YIELD_FIRST = object()

type Server = Process | str
"""Whom to address: a pid, or a registered name looked up at each use."""


def self_() -> Process:
    """The running process.

    Raises:
        NotAProcess: in code outside any process.
        Killed: if the process is dead already and only its code still runs.
    """
    process = running.process
    if process is None:
        raise NotAProcess(
            "this acts as the running process: call it in a process, or use the methods of Node"
        )
    if process.status == DEAD:
        raise Killed
    return process


def node_() -> Node:
    """The node of the running process."""
    return self_().node


def resolve(server: Server) -> Process:
    """The process a name stands for now; raises `NoProcess` for an unknown name."""
    if isinstance(server, Process):
        return server
    process = self_().node.names.get(server)
    if process is None:
        raise NoProcess(server)
    return process


# --- processes ---------------------------------------------------------------------------------------------------


def spawn(
    fn: Callable[..., Awaitable[object] | object],
    *args: Any,
    name: str | None = None,
    label: str | None = None,
    mailbox: Bound | None = None,
) -> Process:
    """Run `fn(*args)` as a new process; it starts on its next turn.

    Args:
        mailbox: how many messages may wait and what happens to more, see `bounded`. None: any number.
    Raises:
        StartFailed: with `AlreadyStarted`, if the name is taken.
    """
    return _spawn(self_(), fn, args, name, label, None, mailbox)


def spawn_link(
    fn: Callable[..., Awaitable[object] | object],
    *args: Any,
    name: str | None = None,
    label: str | None = None,
    mailbox: Bound | None = None,
) -> Process:
    """Like `spawn`, linked to the running process from the first moment."""
    me = self_()
    return _spawn(me, fn, args, name, label, me, mailbox)


def spawn_monitor(
    fn: Callable[..., Awaitable[object] | object],
    *args: Any,
    name: str | None = None,
    label: str | None = None,
    link: bool = False,
    mailbox: Bound | None = None,
) -> tuple[Process, Monitor]:
    """Like `spawn`, watched by the running process from the first moment; with `link`, linked to it as well."""
    me = running.process
    if me is None or me.status == DEAD:
        me = self_()  # raises
    process = _spawn(me, fn, args, name, label, me if link else None, mailbox)
    ref = Monitor()  # `watch`, written out
    ref.target = ref.watched_as = process
    ref.watcher = me
    process.watchers = {ref: None}
    if me.monitors is None:
        me.monitors = {ref}
    else:
        me.monitors.add(ref)
    return process, ref


def _spawn(
    me: Process,
    fn: Callable[..., Any],
    args: tuple[Any, ...],
    name: str | None,
    label: str | None,
    linked_to: Process | None,
    mailbox: Bound | None,
) -> Process:
    node = me.node
    plain = type(fn) is not FunctionType
    if name is not None or linked_to is not None or node.closed:
        process = create(node, label or name_of(fn), name, linked_to, linked_to)
    else:  # `create`, written out
        process = new_process(node, label or (name_of(fn) if plain else fn.__qualname__))
        node.table[process.id] = process
    if plain or not fn.__code__.co_flags & CO_COROUTINE:
        process.coro = fn(*args) if plain and is_async(fn) else _plain(fn, args)
    else:
        process.coro = fn(*args)
    if node.listeners:
        announce(process)
    process.status = READY  # `enqueue`, written out
    scheduler = node.scheduler
    scheduler.ready.append(process)
    if not scheduler.scheduled:
        scheduler.schedule()
    if mailbox is not None:
        limit_process(process, mailbox)
    return process


async def _plain(fn: Callable[..., Any], args: tuple[Any, ...]) -> None:
    value = fn(*args)
    if hasattr(value, "__await__"):
        await value


# --- messages ----------------------------------------------------------------------------------------------------


def send(to: Server | AnyAlias, message: object) -> None:
    """Send an info message. The dead and inactive aliases take nothing and say nothing.

    Raises:
        NoProcess: for a name nobody has.
    """
    me = running.process
    if me is None or me.status == DEAD:
        me = self_()  # raises
    if isinstance(to, Process):
        target = to
    elif isinstance(to, str):
        target = resolve(to)
    else:
        addressee = to.addressee()
        if addressee is None:
            return
        target = addressee
    node = me.node
    current = me.current
    envelope: Envelope
    if current is None:
        envelope = ("info", message, me, node.next_id(), None, 0, node.now, target)
    else:
        envelope = ("info", message, me, node.next_id(), current[4], current[3], node.now, target)
    # `deliver`, written out for its two usual cases.
    queue = target.queue
    if queue is not None and target.pending is not None and target.status != RECEIVING:
        queue.append(envelope)
    elif target.status == WAITING and queue is None:
        target.pending = envelope
        scheduler = target.node.scheduler  # not the sender's: it may be another
        target.status = READY
        scheduler.ready.append(target)
        if not scheduler.scheduled:
            scheduler.schedule()
    else:
        deliver(target, envelope)


senders.append(send)


def others_ready() -> bool:
    """Whether anything may reach the running process before what it sends itself now: a process or a message waits."""
    me = self_()
    return me.pending is not None or bool(me.node.scheduler.ready)


def set_trace(trace_id: str | None) -> None:
    """Say to which run of causes the message in hand belongs: what is sent from now on, until it is done with, is too.

    For the places where messages come in from outside; everybody else inherits the trace of what it handles.
    """
    me = self_()
    current = me.current
    if current is None:
        me.current = ("info", None, None, 0, trace_id, 0, me.node.now, me)
    else:
        kind, body, sender, number, _, cause, at, target = current
        me.current = (kind, body, sender, number, trace_id, cause, at, target)


async def receive(
    match: type | tuple[type, ...] | Callable[[object], bool] | None = None, timeout: float | None = None
) -> Any:
    """Take the oldest message that matches, waiting for one; the others keep their order.

    Only for processes that are plain functions: a server's messages go to its handlers. A trapped exit arrives
    as `ExitSignal`, a cast or call made by mistake to such a process as its raw request.

    Args:
        match: a class, a tuple of classes, or a predicate; None takes any message.
        timeout: seconds; 0 only looks.
    Raises:
        TimeoutError: when the time is up.
    """
    me = running.process
    if me is None or me.status == DEAD:
        me = self_()  # raises
    if me.body is not None:
        raise RuntimeError(
            f"{me} is a server: its messages go to its handlers; `receive` is for plain functions"
        )
    timer = None
    try:
        while True:
            envelope = me.pending
            if envelope is not None:
                if match is None or (
                    isinstance(envelope[1], match) if isinstance(match, type) else fits(envelope, match)
                ):
                    # `mailbox.take`, written out
                    queue = me.queue
                    if queue is None:
                        me.pending = None
                    else:
                        me.pending = queue.popleft()
                        if not queue:
                            me.queue = None
                elif me.queue is not None:
                    envelope = take_where(me, lambda envelope: fits(envelope, match))
                else:
                    envelope = None
            if envelope is not None:
                body = envelope[1]
                me.current = envelope
                me.reductions += 1
                if type(body) is Request:  # answered, or failed when this process ends
                    if me.calls is None:
                        me.calls = set()
                    me.calls.add(body)
                scheduler = me.node.scheduler
                scheduler.remember(envelope)
                left = scheduler.budget = scheduler.budget - 1
                if left <= 0:  # a full mailbox must not keep the event loop from its turn
                    await pause()
                return body
            if timeout is not None:
                if timeout <= 0:
                    raise TimeoutError("no matching message")
                if timer is None:
                    timer = me.node.timers.plan(timeout, lambda: time_up(me, RECEIVE))
            me.wait = RECEIVE
            await suspend()
    finally:
        if timer is not None:
            me.node.timers.cancel(timer)


async def receive_compiled(
    match: type | tuple[type, ...] | Callable[[object], bool] | None = None, timeout: float | None = None
) -> Any:
    """`receive` where the kernel is compiled: one step into it for each look at the mailbox."""
    me = self_()
    if me.body is not None:
        raise RuntimeError(
            f"{me} is a server: its messages go to its handlers; `receive` is for plain functions"
        )
    timer = None
    try:
        while True:
            body = take_body(me, match)
            if body is YIELD_FIRST:
                assert me.current is not None
                body = me.current[1]
                await pause()
                return body
            if body is not NOTHING:
                return body
            if timeout is not None:
                if timeout <= 0:
                    raise TimeoutError("no matching message")
                if timer is None:
                    timer = me.node.timers.plan(timeout, lambda: time_up(me, RECEIVE))
            me.wait = RECEIVE
            await suspend()
    finally:
        if timer is not None:
            me.node.timers.cancel(timer)


def take_body(me: Process, match: type | tuple[type, ...] | Callable[[object], bool] | None) -> Any:
    """For `receive_compiled`: the next body that matches, or `NOTHING`.

    `YIELD_FIRST` if the turn is used up: then the body is that of `me.current`.
    """
    envelope = me.pending
    if envelope is not None:
        envelope = take(me) if fits(envelope, match) else take_where(me, lambda each: fits(each, match))
    if envelope is None:
        return NOTHING
    body = envelope[1]
    me.current = envelope
    me.reductions += 1
    if type(body) is Request:  # answered, or failed when this process ends
        if me.calls is None:
            me.calls = set()
        me.calls.add(body)
    scheduler = me.node.scheduler
    scheduler.remember(envelope)
    scheduler.budget -= 1
    return body if scheduler.budget > 0 else YIELD_FIRST


def fits(envelope: Envelope, match: type | tuple[type, ...] | Callable[[object], bool] | None) -> bool:
    """Whether `receive(match)` takes this message."""
    if match is None:
        return True
    if isinstance(match, (type, tuple)):
        return isinstance(envelope[1], match)
    return match(envelope[1])


def time_up(process: Process, waited_for: object) -> None:
    """Raise `TimeoutError` in `process` if it still waits for that."""
    if process.wait is waited_for:
        wake(process, Throw(TimeoutError("time is up")))


async def sleep(seconds: float) -> None:
    """Wait; the process handles nothing meanwhile. Virtual where the node's clock is."""
    process = running.process
    if process is None:
        await asyncio.sleep(seconds)
        return
    me = self_()
    token = object()
    me.wait = token
    timer = me.node.timers.plan(seconds, lambda: wake(me, None) if me.wait is token else None)
    try:
        await suspend()
    finally:
        me.node.timers.cancel(timer)


async def hang() -> None:
    """Wait for ever: until the process is ended."""
    me = self_()
    me.wait = object()
    await suspend()


def timeout(seconds: float | None) -> asyncio.Timeout:
    """`async with timeout(2):` bounds waits for the outside by the machine's clock, raising `TimeoutError`."""
    return asyncio.timeout(seconds)


# --- links, monitors, signals ---------------------------------------------------------------------------------------


def link(pid: Process) -> None:
    """Share exits with `pid`.

    Raises:
        NoProcess: if it is dead and the running process does not trap exits; one that traps gets `ExitSignal`.
    """
    me = self_()
    if pid.status == DEAD:
        if not me.trap_exit:
            raise NoProcess(pid)
        deliver_kernel(me, "exit", ExitSignal(pid, "noproc"), pid)
        return
    if me.node.on_link is None or not me.node.on_link(me, pid, True):
        link_processes(me, pid)


def unlink(pid: Process) -> None:
    """No longer share exits with `pid`."""
    me = self_()
    if me.node.on_link is None or not me.node.on_link(me, pid, False):
        unlink_processes(me, pid)


@overload
def monitor(server: Server) -> Monitor: ...
@overload
def monitor(server: Server, *, alias: AliasMode) -> AliasMonitor: ...
def monitor(server: Server, *, alias: AliasMode | None = None) -> Monitor:
    """Get one `Down` when `server` ends; at once with reason `noproc` if it is not there.

    Args:
        alias: the reference is an address of the running process too, active as long as this says; see `alias.py`.
    """
    me = self_()
    if isinstance(server, Process):
        target = server
    else:
        found = me.node.names.get(server)
        if found is None:
            found = new_process(me.node, "nobody")
            found.status = DEAD
        target = found
    if alias is not None:
        return watch_with_alias(target, me, server, alias)
    if target is me:
        return new_monitor(
            target, me, server
        )  # as Erlang: nobody hears of his own end, so it is never active
    return watch(target, me, server)


def demonitor(ref: Monitor, *, flush: bool = False) -> bool:
    """End a monitor; True if it was active. `flush` also removes its `Down` from the mailbox."""
    if ref.watcher is not self_():
        return False
    active = unwatch(ref)
    if flush and not active:
        take_where(self_(), lambda envelope: isinstance(envelope[1], Down) and envelope[1].ref is ref)
    return active


def exit_signal(pid: Process, reason: object) -> None:
    """Send an exit signal; `"kill"` cannot be trapped and ends `pid` at once, as `"killed"`."""
    me = running.process
    if me is None or me.status == DEAD:
        me = self_()  # raises
    signal_process(pid, me, reason)
    if me.status == DEAD:
        raise Killed


def trap_exits(on: bool = True) -> None:
    """Receive exit signals as `ExitSignal` messages rather than die of them."""
    self_().trap_exit = on


# --- names ----------------------------------------------------------------------------------------------------------


def register(name: str, pid: Process | None = None) -> None:
    """Give a process (the running one by default) a name, unique in the node.

    Raises:
        ValueError: if the name is taken, or the process is dead or has a name.
    """
    me = self_()
    process = me if pid is None else pid
    holder = me.node.names.get(name)
    if holder is not None:
        raise ValueError(f"the name {name!r} belongs to {holder}")
    if process.status == DEAD or process.name is not None:
        raise ValueError(f"{process!r} is dead or has a name already")
    process.name = name
    me.node.names[name] = process


def unregister(name: str) -> None:
    """Free a name; raises `ValueError` if nobody has it."""
    process = self_().node.names.pop(name, None)
    if process is None:
        raise ValueError(f"nobody has the name {name!r}")
    process.name = None


def whereis(name: str) -> Process | None:
    """Who has the name now."""
    return self_().node.names.get(name)


# --- time -----------------------------------------------------------------------------------------------------------


def send_after(seconds: float, to: Server, message: object) -> TimerRef:
    """Send `message` to `to` after `seconds`; a name is looked up when the time has come."""
    return self_().node.timers.send_after(seconds, to, message)


def start_timer(seconds: float, to: Server, message: object) -> TimerRef:
    """Like `send_after`; the message arrives as `TimerFired(ref, message)`."""
    return self_().node.timers.send_after(seconds, to, message, tagged=True)


def cancel_timer(ref: TimerRef) -> float | None:
    """Forget a timer; the seconds that were left, None if it has fired or was cancelled."""
    return self_().node.timers.cancel(ref)


def read_timer(ref: TimerRef) -> float | None:
    """Seconds until the timer fires; None if it has fired or was cancelled."""
    return self_().node.timers.left(ref)


def now() -> float:
    """Seconds on the node's monotonic clock; the machine's outside a process."""
    process = running.process
    return time.monotonic() if process is None else process.node.clock.now()


def wall_time() -> float:
    """Seconds since 1970 on the node's clock; the machine's outside a process."""
    process = running.process
    return time.time() if process is None else process.node.clock.wall()


# --- groups ----------------------------------------------------------------------------


def join(group: str, pid: Process | None = None) -> None:
    """Add a process to a group; as often as it joins, it must leave."""
    me = self_()
    me.node.groups.join(group, me if pid is None else pid)


def leave(group: str, pid: Process | None = None) -> bool:
    """Take one membership away; False if there was none."""
    me = self_()
    return me.node.groups.leave(group, me if pid is None else pid)


def members(group: str) -> list[Process]:
    """The members of a group, one entry per membership."""
    return self_().node.groups.members(group)


async def wait_down(pid: Process, timeout: float | None = None) -> object:
    """Wait in place for the end of `pid` and return its reason (`noproc` if it was dead before).

    Raises:
        TimeoutError: after `timeout` seconds.
    """
    me = self_()
    if pid.status == DEAD:
        return pid.reason if pid.reason is not None else "noproc"
    token = object()

    def tell(down: Down) -> None:
        if me.wait is token:
            wake(me, down.reason)

    ref = watch(pid, tell)
    timer = None if timeout is None else me.node.timers.plan(timeout, lambda: time_up(me, token))
    me.wait = token
    try:
        return await suspend()
    finally:
        unwatch(ref)
        if timer is not None:
            me.node.timers.cancel(timer)
