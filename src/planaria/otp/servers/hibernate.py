"""Hibernation: a server that expects a long wait lets go of memory it does not need."""

from __future__ import annotations

from planaria.otp.kernel.ambient import self_
from planaria.otp.kernel.process import Process


def hibernate() -> None:
    """Say that the running process will wait for long (OTP's `hibernate`). No visible effect.

    An idle process holds no stack or heap here, so there is little to let go of: the tables for links, monitors and
    deferred calls, where they are empty.
    """
    release_memory(self_())


def release_memory(process: Process) -> None:
    """Drop the empty tables of a process."""
    process.links = process.links or None
    process.monitors = process.monitors or None
    process.watchers = process.watchers or None
    process.calls = process.calls or None
