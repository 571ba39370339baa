"""Which sandbox this machine has. Blocking: bubblewrap is tried out, once for each way it may be found."""

import os
import platform
from collections.abc import Mapping
from functools import lru_cache

import msgspec

from planaria.membrane.sandbox import landlock
from planaria.membrane.sandbox.bubblewrap import find_bubblewrap
from planaria.membrane.sandbox.kernel import landlock_version
from planaria.membrane.sandbox.seccomp import has_filter
from planaria.membrane.sandbox.strength import Backend

MEND = (
    "install bubblewrap (apt-get install bubblewrap) and let this user make namespaces; "
    "in a container that takes a seccomp profile which allows them"
)


class Found(msgspec.Struct, frozen=True):
    """What there is.

    Attributes:
        backend: the best there is; None: nothing.
        program: bubblewrap's, if it works.
        why: what stands in the way of bubblewrap.
        landlock: the kernel's version of Landlock; 0: it has none.
    """

    backend: Backend | None
    program: str = ""
    why: str = ""
    landlock: int = 0

    def has(self, backend: Backend) -> bool:
        """Whether this one works."""
        return bool(self.program) if backend == "bubblewrap" else self.landlock >= landlock.OLDEST


def find_sandbox(environ: Mapping[str, str] = os.environ) -> Found:
    """Look what this machine has; the answer is kept for the life of the program."""
    return _find(environ.get("PATH", os.defpath), os.geteuid())


@lru_cache(maxsize=8)
def _find(search: str, user: int) -> Found:
    system = platform.system()
    if system != "Linux":
        return Found(None, why=f"there is no sandbox for {system}")
    if not has_filter():
        return Found(None, why=f"there is no table of system calls for {platform.machine()}")
    program, why = find_bubblewrap(search)
    version = landlock_version()
    backend: Backend | None = "bubblewrap" if program else "landlock" if version >= landlock.OLDEST else None
    return Found(backend, program, why, version)
