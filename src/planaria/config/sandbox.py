"""`[sandbox]` of `planaria.toml`: what programs that tools run may use, and what holds them.

[sandbox]
backend = "auto"          # or "bubblewrap", "landlock": nothing else is taken, nothing is run where it is missing
memory_mb = 512           # all processes of a run together
processes = 64            # threads included
cpu_seconds = 30.0
seconds = 600.0           # the longest a run may take, whatever a call asks for
disk_mb = 256             # by which the disk may fill up meanwhile
read = ["/srv/node"]      # can be read beside the system's own; nothing of the garden, which agents' grants say
"""

from typing import Annotated, Literal

import msgspec


class SandboxSettings(msgspec.Struct, frozen=True):
    """Limits of one run; see the module for each key."""

    backend: Literal["auto", "bubblewrap", "landlock"] = "auto"
    memory_mb: Annotated[int, msgspec.Meta(ge=16, le=1_000_000)] = 512
    processes: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 64
    cpu_seconds: Annotated[float, msgspec.Meta(ge=1.0, le=86_400.0)] = 30.0
    seconds: Annotated[float, msgspec.Meta(ge=1.0, le=86_400.0)] = 600.0
    disk_mb: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 256
    read: tuple[str, ...] = ()
