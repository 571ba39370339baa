"""Run one program in the sandbox and wait for it.

    result = await run_sandboxed(["sh", "-c", "ls"], SandboxPolicy(read=(garden / "notes",)))

Runs in the process that calls, a task as a rule: when it is cancelled or killed, the program and everything it started are
killed, whatever they did to get away.
"""

from collections.abc import Callable, Sequence

import msgspec

from planaria.membrane.sandbox.errors import NoSandbox
from planaria.membrane.sandbox.policy import KilledBy, SandboxPolicy, check
from planaria.membrane.sandbox.strength import Backend, Strength

type OnOutput = Callable[[int, bytes], None]
"""Called with 1 (stdout) or 2 (stderr) and what came, as it comes; also with what is beyond the limit."""


class Attempt(msgspec.Struct, frozen=True):
    """One try to reach a host; `why` is empty where it was allowed."""

    host: str
    port: int
    why: str = ""


class SandboxResult(msgspec.Struct, frozen=True):
    """How a program ended.

    Attributes:
        exit_code: as a shell tells it: 127 no such program, 126 not to be run, 128 + n ended by signal n.
        stdout, stderr: at most `output_bytes` each.
        truncated: whether there was more.
        killed_by: the limit it was ended for.
        wall: seconds it took.
        cpu: seconds of processor time of all its processes, as far as they could be counted.
        peak: bytes of memory they had at most, as far as that was seen.
        strength: what was in force.
        answer: what it wrote to descriptor 3, if that was asked for.
        network: its tries to reach hosts, at most 100.
    """

    exit_code: int
    stdout: bytes
    stderr: bytes
    truncated: bool
    killed_by: KilledBy | None
    wall: float
    cpu: float
    peak: int
    strength: Strength
    answer: bytes = b""
    network: tuple[Attempt, ...] = ()


async def run_sandboxed(
    argv: Sequence[str],
    policy: SandboxPolicy,
    stdin: bytes = b"",
    on_output: OnOutput | None = None,
    *,
    answer: int = 0,
    backend: Backend | None = None,
) -> SandboxResult:
    """Run a program.

    Args:
        argv: program and arguments; a program without `/` is looked up on PATH inside.
        stdin: what it may read.
        answer: bytes it may write to descriptor 3; 0: it has none.
        backend: which must hold it; None: the best there is.
    Raises:
        PolicyRefused: the policy cannot be granted; says what to change.
        NoSandbox: this machine has none; says what to install.
        SandboxBroken: it could not be set up.
    """
    check(policy)
    raise NoSandbox("the sandbox is not built in yet")
