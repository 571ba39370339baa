"""The stacks of a program that answers nobody: a signal makes it write them, even while C code keeps the interpreter.

The signal's handler is Python's own (`faulthandler`): it runs at once and needs no lock. A file beside the observer's
socket says which signal of which process it is, and takes what is written.
Does badly: what was written while threads ran may mix two moments. Not on Windows.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import time

__all__ = ["NoStacks", "StackDump", "read_stacks"]

PATIENCE = 3.0
"""Seconds a program has to write its stacks."""


class NoStacks(Exception):
    """There are none to be had, and why."""


class StackDump:
    """The writing side: registered while a node runs.

    Args:
        path: of the file; replaced at the start, removed at the end.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        first: int | None = getattr(signal, "SIGRTMIN", None)
        self.number = signal.SIGUSR1 if first is None else first + 8
        self._fd = -1

    def start(self) -> None:
        """Register the handler."""
        if signal.getsignal(self.number) != signal.SIG_DFL:
            return  # the program uses that signal itself
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        self._fd = os.open(self.path, flags, 0o600)
        os.write(self._fd, f"{os.getpid()} {int(self.number)}\n".encode())
        faulthandler.register(self.number, file=self._fd, all_threads=True, chain=False)

    def stop(self) -> None:
        """Take it away. May be called twice."""
        if self._fd >= 0:
            faulthandler.unregister(self.number)
            os.close(self._fd)
            self._fd = -1
            os.unlink(self.path)


def read_stacks(path: str) -> str:
    """Make the program whose file this is write the stacks of its threads, and return them.

    Raises:
        NoStacks: no program writes there, or it wrote nothing in time (it is stopped, or waits in the kernel).
    """
    try:
        with open(path, encoding="utf-8") as file:
            head = file.readline().split()
            file.seek(0, os.SEEK_END)
            begin = file.tell()
    except OSError as error:
        raise NoStacks(f"{path}: {error.strerror}; no node with an observer runs there") from error
    if len(head) != 2 or not _catches(int(head[0]), int(head[1])):
        raise NoStacks(f"{path} was left by a program that has ended")
    try:
        os.kill(int(head[0]), int(head[1]))
    except OSError as error:
        raise NoStacks(f"process {head[0]}: {error.strerror}") from error
    until = time.monotonic() + PATIENCE
    text = ""
    while time.monotonic() < until:
        time.sleep(0.05)
        with open(path, encoding="utf-8", errors="replace") as file:
            file.seek(begin)
            now = file.read()
        if now and now == text:
            return now
        text = now
    raise NoStacks(f"process {head[0]} wrote no stacks within {PATIENCE:g} s")


def _catches(pid: int, number: int) -> bool:
    """Whether a process handles the signal: one that does not would be ended by it."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
            caught = next((line.split()[1] for line in file if line.startswith("SigCgt:")), "0")
    except OSError:
        return os.path.isdir("/proc/self") is False  # no such process; or no such way to look
    return bool(int(caught, 16) >> (number - 1) & 1)
