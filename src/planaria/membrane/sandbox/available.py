"""Which sandbox this machine has. Blocking: bubblewrap is tried out, once for each way it may be found."""

import os
import platform
import shutil
import subprocess
from collections.abc import Mapping
from functools import lru_cache

import msgspec

from planaria.membrane.sandbox import landlock
from planaria.membrane.sandbox.bubblewrap import namespaces
from planaria.membrane.sandbox.cgroups import Group
from planaria.membrane.sandbox.kernel import landlock_version
from planaria.membrane.sandbox.seccomp import has_filter
from planaria.membrane.sandbox.starting import how_counted
from planaria.membrane.sandbox.strength import Backend, Strength

MEND = (
    "install bubblewrap (apt-get install bubblewrap) and let this user make namespaces; "
    "in a container that takes a seccomp profile which allows them"
)

_TRY_SECONDS = 10.0


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


def why_not(found: Found, backend: Backend | None) -> str:
    """Why this one does not work here, or why none does."""
    if backend == "landlock":
        return f"this kernel has Landlock version {found.landlock}, and {landlock.OLDEST} is needed"
    return found.why


def find_sandbox(environ: Mapping[str, str] = os.environ) -> Found:
    """Look what this machine has; the answer is kept for the life of the program."""
    return _find(environ.get("PATH", os.defpath), os.geteuid())


def strength_here(found: Found, backend: Backend | None = None) -> Strength | None:
    """What a run would be held by, as far as it can be told without one; None: nothing is run.

    Args:
        backend: which must hold it; None: the best there is.
    """
    chosen = backend or found.backend
    if chosen is None or not found.has(chosen):
        return None
    group = Group.make(str(os.getpid()), 1 << 30, 64)
    group.remove()
    held = {name: f"cgroup v{group.version}" for name in ("memory", "pids") if name in group.folders}
    return Strength(
        chosen,
        memory=held.get("memory", "rlimit for each process, watched for all"),
        processes=held.get("pids", how_counted(chosen)),
        cpu="rlimit for each process, watched for all",
        disk="rlimit for each file, watched for all",
        weaker=landlock.weaker(found.landlock) if chosen == "landlock" else (),
    )


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


def find_bubblewrap(search: str) -> tuple[str, str]:
    """The program, if it is on this PATH, new enough, and works here for this user; else an empty name, and why."""
    program = shutil.which("bwrap", path=search)
    if program is None:
        return "", "bubblewrap is not installed"
    trial = [
        program,
        *namespaces(),
        "--ro-bind",
        "/",
        "/",
        "--proc",
        "/proc",
        "--dev",
        "/dev",
        "--",
        "/bin/true",
    ]
    try:
        told = subprocess.run(
            [program, "--help"], capture_output=True, timeout=_TRY_SECONDS, env={}, check=False
        )
        if b"--bind-fd" not in told.stdout + told.stderr:
            return "", "bubblewrap is too old: it has no --bind-fd"
        done = subprocess.run(trial, capture_output=True, timeout=_TRY_SECONDS, env={}, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return "", f"bubblewrap does not run: {error}"
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
        return "", f"bubblewrap may not make namespaces here ({said or f'it ended with {done.returncode}'})"
    return program, ""
