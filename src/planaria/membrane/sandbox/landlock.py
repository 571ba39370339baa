"""Landlock: a program among the processes and files of this machine that can open only what is granted.

Without namespaces there is more to refuse: every socket, what changes files by their name alone (modes, owners, times),
what is shared between processes by number, and where the kernel is older than 6.12 every signal. Source: landlock(7).
Blocking; standard library only.
"""

import os
import resource
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from planaria.membrane.sandbox import kernel
from planaria.membrane.sandbox.paths import Place, Places
from planaria.membrane.sandbox.seccomp import seccomp_filter

OLDEST = 3
"""Before this version (Linux 6.2) any file could be cut to nothing."""

_EXECUTE, _WRITE, _READ, _LIST = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REMOVE = 1 << 4 | 1 << 5
_MAKE = 1 << 7 | 1 << 8 | 1 << 10 | 1 << 12  # folders, files, pipes, links; neither devices nor sockets
_MOVE, _CUT = 1 << 13, 1 << 14
_ALL_FILES = (1 << 15) - 1
_DEVICE_CALLS = 1 << 15  # ioctl on devices, version 5
_NETWORK = 0b11  # bind and connect TCP, version 4
_SCOPES = 0b11  # abstract sockets and signals, version 6
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
"""What every program may use."""
_SEEN = _READ | _LIST | _EXECUTE
_CHANGED = _SEEN | _WRITE | _REMOVE | _MAKE | _MOVE | _CUT
_FILE_ONLY = _EXECUTE | _WRITE | _READ | _CUT


class Confinement(NamedTuple):
    """What a child process does to itself before it becomes the program."""

    version: int
    places: Places
    system: Sequence[Place]
    devices: Sequence[Place]
    temporary: Place
    limits: Mapping[int, int]

    def enter(self) -> None:
        """Give up everything that is not granted.

        Raises:
            OSError: the kernel refused; the program must not be run.
        """
        os.setsid()
        for limit, value in self.limits.items():
            resource.setrlimit(limit, (value, value))
        kernel.drop_capabilities()
        kernel.no_new_privileges()
        ruleset = self._rules()
        kernel.landlock_restrict(ruleset)
        os.close(ruleset)
        kernel.install_filter(seccomp_filter(namespaces=False, signals=self.version >= 6))

    def _rules(self) -> int:
        version = self.version
        files = _ALL_FILES | (_DEVICE_CALLS if version >= 5 else 0)
        size = 8 if version < 4 else 16 if version < 6 else 24
        ruleset = kernel.landlock_ruleset(
            files, _NETWORK if version >= 4 else 0, _SCOPES if version >= 6 else 0, size
        )
        for place in (*self.system, *self.places.read):
            _allow(ruleset, place, _SEEN)
        for place in (*self.places.write, self.temporary):
            _allow(ruleset, place, _CHANGED)
        for place in self.devices:
            _allow(ruleset, place, _READ | _WRITE)
        return ruleset


def weaker(version: int) -> tuple[str, ...]:
    """What is not held, compared with namespaces, in words."""
    told = (
        "names, sizes and times of files of this machine can be seen, though not what is in them",
        "the size of /tmp is watched, not limited",
        "no network at all: hosts cannot be granted",
    )
    return told if version >= 6 else (*told, "programs inside cannot send signals, not even to their own")


def _allow(ruleset: int, place: Place, rights: int) -> None:
    kernel.landlock_allow(ruleset, rights if place.folder else rights & _FILE_ONLY, place.descriptor)
