"""The processes below one process: how many, what they use, and the end of them all.

Reads /proc. Standard library only.

Does badly: what a process used that nobody waited for is forgotten when it ends.
"""

import os
import signal
import time
from collections.abc import Iterator
from typing import NamedTuple

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_ENDING = 5.0
"""Seconds to go on killing processes that go on starting others."""


class Use(NamedTuple):
    """What a family uses: processes (threads counted), bytes in memory, seconds of processor time so far."""

    processes: int = 0
    memory: int = 0
    cpu: float = 0.0


def use_of(root: int) -> Use:
    """Of everything below a process, the process left out."""
    processes, memory, cpu = 0, 0, 0.0
    for pid in descendants(root):
        fields = _fields(pid)
        if fields:
            # From the third field of proc_pid_stat(5) on: utime, stime, cutime, cstime, threads, rss.
            cpu += sum(int(each) for each in fields[11:15]) / _TICKS
            processes += int(fields[17])
            memory += int(fields[21]) * _PAGE
    return Use(processes, memory, cpu)


def descendants(root: int) -> Iterator[int]:
    """Every process below one, as far as it is there at the moment."""
    waiting = [root]
    seen = {root}
    while waiting:
        for child in _children(waiting.pop()):
            if child not in seen:
                seen.add(child)
                waiting.append(child)
                yield child


def end(root: int) -> bool:
    """Kill everything below a process that adopts orphans, and collect it; whether nothing is left."""
    until = time.monotonic() + _ENDING
    stopped: set[int] = set()
    while time.monotonic() < until:
        found = set(descendants(root))
        if not found:
            collect()
            return True
        # None is killed before all stand still: each killed one would make room for another.
        if new := found - stopped:
            _send(new, signal.SIGSTOP)
            stopped |= new
            continue
        _send(found, signal.SIGKILL)
        collect()
        time.sleep(0.001)
        stopped &= set(descendants(root))
    return False


def count_of_user(user: int) -> int:
    """How many processes and threads a user has on this machine."""
    count = 0
    for name in os.listdir("/proc"):
        if name.isdecimal():
            try:
                count += int(_fields(int(name))[17]) if os.stat(f"/proc/{name}").st_uid == user else 0
            except (OSError, IndexError):
                pass  # it has ended meanwhile
    return count


def _send(pids: set[int], sign: int) -> None:
    for pid in pids:
        try:
            os.kill(pid, sign)
        except OSError:
            pass


def collect() -> dict[int, int]:
    """Collect the children that have ended: their pids, with status."""
    ended: dict[int, int] = {}
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        ended[pid] = status


def _children(pid: int) -> list[int]:
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", encoding="ascii") as file:
                found += map(int, file.read().split())
    except OSError:
        pass
    return found


def _fields(pid: int) -> list[str]:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()
    except OSError:
        return []
