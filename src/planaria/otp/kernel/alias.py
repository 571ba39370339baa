"""Aliases: an address of the running process that it can take back, so that late answers go nowhere (OTP 24).

```python
ref = monitor(server, alias="reply_demonitor")   # one reference: names the monitor, and is an address to answer to
send(server, ("question", ref))
answer = await receive(lambda message: ...)      # the first message through the alias ends monitor and alias
unalias(ref)                                     # given up: what is still sent to it is dropped
```

An alias costs its owner nothing: whether it is active is known by the alias itself.
Source: erlang:alias/1, unalias/1 and monitor/3 with the option alias.
"""

from __future__ import annotations

from typing import Literal

from planaria.otp.kernel.message import Ref
from planaria.otp.kernel.process import DEAD, Monitor, Process, running
from planaria.otp.kernel.reason import Killed, NotAProcess
from planaria.otp.kernel.signals import register_watch, unwatch

type AliasMode = Literal["explicit_unalias", "demonitor", "reply_demonitor"]
"""How long the alias of a monitor is active: until `unalias`; or also only until the monitor ends, by `demonitor` or
its `Down`; or also only until a message comes through it, which ends the monitor too."""


class Alias(Ref):
    """An address of its owner, until it is given up; send to it as to a pid."""

    __slots__ = ("active", "once", "owner")

    def __init__(self, owner: Process, *, once: bool) -> None:
        self.owner = owner
        self.once = once
        self.active = True

    def addressee(self) -> Process | None:
        """Who gets the message being sent to it now; None: nobody any more. For `send`."""
        if not self.active:
            return None
        if self.once:
            self.active = False
        return self.owner

    def give_up(self) -> bool:
        """Deactivate it; False if it was inactive."""
        active, self.active = self.active, False
        return active


class AliasMonitor(Monitor):
    """A monitor whose reference is an alias of the watcher too."""

    __slots__ = ("mode", "unaliased")

    def __init__(self, target: Process, watcher: Process, watched_as: Process | str, mode: AliasMode) -> None:
        self.target = target
        self.watcher = watcher
        self.watched_as = watched_as
        self.mode = mode
        self.unaliased = False

    @property
    def active(self) -> bool:
        """Whether a message sent to it would arrive."""
        if self.unaliased:
            return False
        watchers = self.target.watchers
        return self.mode == "explicit_unalias" or (watchers is not None and self in watchers)

    @property
    def owner(self) -> Process:
        """Whose address it is."""
        assert isinstance(self.watcher, Process)
        return self.watcher

    def addressee(self) -> Process | None:
        """Who gets the message being sent to it now; None: nobody any more. For `send`."""
        if not self.active:
            return None
        if self.mode == "reply_demonitor":
            self.unaliased = True
            unwatch(self)
        return self.owner

    def give_up(self) -> bool:
        """Deactivate the alias, not the monitor; False if it was inactive."""
        active = self.active
        self.unaliased = True
        return active


type AnyAlias = Alias | AliasMonitor


def alias(*, once: bool = False) -> Alias:
    """A new alias of the running process (erlang:alias/1).

    Args:
        once: it takes one message and is inactive from then on (OTP's `reply`).
    """
    return Alias(_me(), once=once)


def unalias(ref: AnyAlias) -> bool:
    """Deactivate an alias of the running process; what was sent before stays in the mailbox (erlang:unalias/1).

    The monitor of an alias made by `monitor` goes on. False if it was inactive, or is another process's.
    """
    return ref.owner is _me() and ref.give_up()


def watch_with_alias(
    target: Process, watcher: Process, watched_as: Process | str, mode: AliasMode
) -> AliasMonitor:
    """`signals.watch` whose reference is an alias of `watcher` too.

    Raises:
        ValueError: for an unknown mode.
    """
    if mode not in ("explicit_unalias", "demonitor", "reply_demonitor"):
        raise ValueError(f"alias={mode!r}: it is 'explicit_unalias', 'demonitor' or 'reply_demonitor'")
    monitor = AliasMonitor(target, watcher, watched_as, mode)
    register_watch(monitor)
    return monitor


def _me() -> Process:
    process = running.process
    if process is None:
        raise NotAProcess("an alias is an address of the running process: call this in a process")
    if process.status == DEAD:
        raise Killed
    return process
