"""A cgroup of its own for one run, where this user may make one: version 1 or 2. Blocking; standard library only.

Made below the group the keeper is in, or beside it. What a killed keeper left behind is taken away by the next.
"""

import os
import signal
import time
from typing import Self

_PREFIX = "planaria-"
_GOING = 1.0
"""Seconds to wait until a group whose processes are killed can be removed."""
_V1 = ("memory", "pids", "cpuacct")


class Group:
    """What counts and limits one run; a controller that cannot be had is missing.

    Attributes:
        version: 1 or 2; 0: there is none.
        folders: of each controller that was had: `memory`, `pids`, `cpuacct` (which is `cpu` in version 2).
    """

    def __init__(self, version: int, folders: dict[str, str]) -> None:
        self.version = version
        self.folders = folders

    @classmethod
    def make(cls, name: str, memory_bytes: int, processes: int) -> Self:
        """Make one; with no controller at all if none can be had."""
        mounts, own = _mounts(), _own_groups()
        made = _make_second(mounts, own, _PREFIX + name)
        group = cls(2, made) if made else cls(1, _make_first(mounts, own, _PREFIX + name))
        group._limit("memory", ("memory.max", "memory.limit_in_bytes"), memory_bytes)
        group._limit("pids", ("pids.max",), processes)
        if (memory := group.folders.get("memory")) is not None:
            _write(f"{memory}/memory.memsw.limit_in_bytes", memory_bytes)
            _write(f"{memory}/memory.swap.max", 0)
            _write(f"{memory}/memory.oom.group", 1)
        return group

    def add(self, pid: int) -> None:
        """Put a process in; what it starts is in it too.

        Raises:
            OSError: it has ended.
        """
        for folder in set(self.folders.values()):
            with open(f"{folder}/cgroup.procs", "w", encoding="ascii") as file:
                file.write(str(pid))

    def peak(self) -> int:
        """Bytes used at most."""
        return self._number("memory", "memory.peak", "memory.max_usage_in_bytes")

    def cpu(self) -> float:
        """Seconds of processor time."""
        if self.version == 2:
            return self._fields("cpuacct", "cpu.stat").get("usage_usec", 0) / 1e6
        return self._number("cpuacct", "cpuacct.usage") / 1e9

    def out_of_memory(self) -> bool:
        """Whether a process was killed for its memory."""
        name = "memory.events" if self.version == 2 else "memory.oom_control"
        return self._fields("memory", name).get("oom_kill", 0) > 0

    def remove(self) -> None:
        """Take it away. What is still in it, though it should have ended already, is killed."""
        until = time.monotonic() + _GOING
        for folder in set(self.folders.values()):
            while not _removed(folder) and time.monotonic() < until:
                for pid in _read(f"{folder}/cgroup.procs").split():
                    _kill(int(pid))
                time.sleep(0.005)

    def _limit(self, controller: str, names: tuple[str, ...], value: int) -> None:
        """Set a limit; a controller that does not take it is not counted as had."""
        folder = self.folders.get(controller)
        if folder is not None and not any(_write(f"{folder}/{name}", value) for name in names):
            del self.folders[controller]
            if folder not in self.folders.values():
                _removed(folder)

    def _number(self, controller: str, *names: str) -> int:
        folder = self.folders.get(controller)
        for name in names if folder else ():
            assert folder is not None
            if (text := _read(f"{folder}/{name}")).isdecimal():
                return int(text)
        return 0

    def _fields(self, controller: str, name: str) -> dict[str, int]:
        folder = self.folders.get(controller)
        lines = _read(f"{folder}/{name}").splitlines() if folder else []
        return {
            key: int(value) for key, _, value in (line.partition(" ") for line in lines) if value.isdecimal()
        }


def _make_first(mounts: dict[str, tuple[str, str]], own: dict[str, str], name: str) -> dict[str, str]:
    made: dict[str, str] = {}
    for controller in _V1:
        if controller in mounts and controller in own:
            parent = _inside(mounts[controller], own[controller])
            _sweep(parent)
            if _made(f"{parent}/{name}"):
                made[controller] = f"{parent}/{name}"
    return made


def _make_second(mounts: dict[str, tuple[str, str]], own: dict[str, str], name: str) -> dict[str, str]:
    """A group with memory and pids: below our own if that hands them on, else beside it."""
    if "" not in mounts or "" not in own:
        return {}
    here = _inside(mounts[""], own[""])
    for parent in (here, os.path.dirname(here)):
        if {"memory", "pids"} <= set(_read(f"{parent}/cgroup.subtree_control").split()):
            _sweep(parent)
            if _made(f"{parent}/{name}"):
                return dict.fromkeys(_V1, f"{parent}/{name}")
    return {}


def _mounts() -> dict[str, tuple[str, str]]:
    """Where each controller is mounted, and which part of its tree that shows; version 2 by the empty name."""
    found: dict[str, tuple[str, str]] = {}
    for line in _read("/proc/self/mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        parts, kind = before.split(), after.split()
        if kind[:1] == ["cgroup2"]:
            found.setdefault("", (parts[4], parts[3]))
        elif kind[:1] == ["cgroup"]:
            for controller in kind[-1].split(","):
                found.setdefault(controller, (parts[4], parts[3]))
    return found


def _own_groups() -> dict[str, str]:
    lines = (line.split(":", 2) for line in _read("/proc/self/cgroup").splitlines())
    return {each: path for _, controllers, path in lines for each in controllers.split(",")}


def _inside(mount: tuple[str, str], group: str) -> str:
    place, shown = mount
    return os.path.normpath(f"{place}/{os.path.relpath(group, shown)}") if group.startswith(shown) else place


def _sweep(parent: str) -> None:
    """Remove what keepers left that were killed."""
    try:
        names = [each for each in os.listdir(parent) if each.startswith(_PREFIX)]
    except OSError:
        return
    for name in names:
        pid = name.removeprefix(_PREFIX)
        if pid.isdecimal() and not os.path.exists(f"/proc/{pid}"):
            _removed(f"{parent}/{name}")


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except OSError:
        pass  # it has ended meanwhile


def _made(folder: str) -> bool:
    try:
        os.mkdir(folder)
    except OSError:
        return False
    return True


def _removed(folder: str) -> bool:
    try:
        os.rmdir(folder)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _write(file: str, value: int) -> bool:
    try:
        with open(file, "w", encoding="ascii") as opened:
            opened.write(str(value))
    except OSError:
        return False
    return True


def _read(file: str) -> str:
    try:
        with open(file, encoding="utf-8", errors="replace") as opened:
            return opened.read().strip()
    except OSError:
        return ""
