"""What protects this machine from a program that runs in the sandbox: in the result of each run, and for the doctor."""

from typing import Literal

import msgspec

type Backend = Literal["bubblewrap", "landlock"]


class Strength(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is in force.

    Attributes:
        backend: what holds the program.
        memory, processes, cpu, disk: how the limit is kept: by a cgroup, by the kernel for each process (`rlimit`), or
            by looking every 50 ms (`watched`).
        weaker: in words, each thing that a better machine would hold and this one does not.
    """

    backend: Backend
    memory: str = ""
    processes: str = ""
    cpu: str = ""
    disk: str = ""
    weaker: tuple[str, ...] = ()

    @property
    def said(self) -> str:
        """In one line: `bubblewrap; memory: cgroup v1, ...`."""
        limits = {"memory": self.memory, "processes": self.processes, "cpu": self.cpu, "disk": self.disk}
        parts = [self.backend, ", ".join(f"{name}: {how}" for name, how in limits.items() if how)]
        return "; ".join([each for each in parts if each] + [f"not held: {each}" for each in self.weaker])
