"""Nothing outlives the node: a worker dies with its parent, however that ended."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15

HAS_DEATH_SIGNAL = sys.platform == "linux"
"""Where it is missing, the end of the control stream is noticed instead, by a thread in each worker."""


def die_with_parent(parent: int, number: int = signal.SIGKILL) -> None:
    """Ask the system to kill this OS process when its parent dies; end at once if it is dead already.

    Args:
        parent: the OS pid the parent is known to have.
        number: the signal; one that can be answered leaves time to take others along.
    """
    if HAS_DEATH_SIGNAL:
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def call_it(name: str) -> None:
    """Let `ps` and `top` show this OS process by `name`, as far as its first 15 bytes, where the system can."""
    if HAS_DEATH_SIGNAL:
        short = name.encode("ascii", "replace")[:15]
        ctypes.CDLL(None).prctl(_PR_SET_NAME, ctypes.c_char_p(short), 0, 0, 0)


def oom_kills() -> int:
    """How many OS processes the system has killed for memory so far; 0 where it does not tell.

    Read before and after, since a kill for memory looks like any other SIGKILL.
    """
    try:
        with open("/proc/vmstat", "rb") as file:
            for line in file:
                if line.startswith(b"oom_kill "):
                    return int(line.split()[1])
    except OSError:
        pass
    return 0
