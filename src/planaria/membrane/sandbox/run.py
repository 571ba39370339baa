"""Run one program in the sandbox and wait for it.

    result = await run_sandboxed(["sh", "-c", "ls"], SandboxPolicy(read=(garden / "notes",)))

Runs in the process that calls, a task as a rule: when it is cancelled or killed, the program and everything it started
are killed, whatever they did to get away. The work is done by the keeper, an OS process of its own (`keeper.py`).
Does badly: a start costs some 50 ms of processor time, most of it the keeper's.
"""

import os
import re
import shutil
import sys
import tempfile
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import msgspec

import planaria
from planaria.membrane.sandbox import bubblewrap
from planaria.membrane.sandbox.available import MEND, Found, find_sandbox, why_not
from planaria.membrane.sandbox.errors import NoSandbox, PolicyRefused, SandboxBroken
from planaria.membrane.sandbox.plan import Limits, Plan, Relay, Report, read_report, write_plan
from planaria.membrane.sandbox.policy import SEARCH, SYSTEM, SYSTEM_FILES, KilledBy, SandboxPolicy, check
from planaria.membrane.sandbox.proxy import Attempt, Proxy, Reach, reach_of
from planaria.membrane.sandbox.starting import NO_PROGRAM, NOT_RUNNABLE
from planaria.membrane.sandbox.strength import Backend, Strength
from planaria.otp import exit_signal, receive, run_blocking, self_, send, spawn_link, unlink
from planaria.otp.io.streams import serve_unix
from planaria.otp.io.subprocess import Completed, run_command

type OnOutput = Callable[[int, bytes], None]
"""Called with 1 (stdout) or 2 (stderr) and what came, as it comes; also with what is beyond the limit."""

GRACE = 10.0
"""Seconds beyond the program's own time until the keeper is given up."""
PYTHON = os.path.realpath(sys.executable)
"""The interpreter, as a program inside can start it if `PYTHON_FILES` can be read."""
PYTHON_FILES = (Path(sys.base_prefix),)
_RELAY = Path(__file__).with_name("relay.py")
SOURCES = Path(planaria.__file__).parent.parent
_NOT_STARTED = re.compile(rb"(?:\A|\n)bwrap: execvp .*: ([^:\n]+)\n?\Z")
_PROXY = f"http://127.0.0.1:{bubblewrap.RELAY_PORT}"


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
    reach: Reach | None = None,
    answer: int = 0,
    backend: Backend | None = None,
) -> SandboxResult:
    """Run a program.

    Args:
        argv: program and arguments; a program without `/` is looked up on PATH inside.
        stdin: what it may read.
        on_output: called outside of any process, so it must be quick.
        reach: which hosts it may reach, instead of `hosts`.
        answer: bytes it may write to descriptor 3, at most; 0: it has none.
        backend: which must hold it; None: the one of the policy, else the best there is.
    Raises:
        PolicyRefused: the policy cannot be granted; says what to change.
        NoSandbox: this machine has none; says what to install.
        SandboxBroken: it could not be set up.
    """
    check(policy)
    if not argv or any(not isinstance(word, str) or "\0" in word for word in argv) or not argv[0]:
        raise PolicyRefused("a command is a list of texts without zero bytes, the program first")
    found = await run_blocking(find_sandbox)
    chosen = choose(found, backend or policy.backend)
    if reach is None and policy.hosts:
        reach = reach_of(policy.hosts)
    async with serving(reach) as (proxy, socket):
        plan = await run_blocking(plan_of, list(argv), policy, found, chosen, socket)
        report, done, said = await _keep(plan, stdin, policy, on_output, answer)
    if report is not None and report.broken and (unfit := _NOT_STARTED.search(done.stderr)):
        # Bubblewrap's words where a shell has 127 and 126.
        code = NO_PROGRAM if unfit[1] in (b"No such file or directory", b"Not a directory") else NOT_RUNNABLE
        report = report._replace(exit_code=code, broken="")
        done = replace(done, stderr=argv[0].encode() + b": " + unfit[1] + b"\n")
    if report is None or report.broken:
        last = done.stderr.decode("utf-8", "replace").strip()[-500:]
        why = report.broken if report else "its keeper ended without a report"
        raise SandboxBroken(f"the sandbox could not be set up: {why}{': ' + last if last else ''}")
    if report.refused:
        raise PolicyRefused(report.refused)
    return SandboxResult(
        report.exit_code,
        done.stdout,
        done.stderr,
        done.truncated,
        msgspec.convert(report.killed_by, KilledBy | None),
        report.wall,
        report.cpu,
        report.peak,
        Strength(
            chosen,
            memory=report.memory,
            processes=report.processes,
            cpu=report.cpu_held,
            disk=report.disk,
            weaker=report.weaker,
        ),
        said,
        tuple(proxy.attempts) if proxy else (),
    )


def choose(found: Found, backend: Backend | None) -> Backend:
    """What holds a program here.

    Raises:
        NoSandbox: there is none, or not this one.
    """
    chosen = backend or found.backend
    if chosen is None or not found.has(chosen):
        why = why_not(found, chosen)
        raise NoSandbox(f"there is no sandbox here, so nothing is run: {why}; {MEND}")
    return chosen


def plan_of(argv: list[str], policy: SandboxPolicy, found: Found, backend: Backend, socket: str) -> Plan:
    """What the keeper is told, but for its descriptors."""
    environment = {"PATH": SEARCH, "LANG": "C.UTF-8", "HOME": "/tmp", **policy.environment}
    read = [str(path) for path in policy.read]
    if socket:
        environment |= dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), _PROXY)
        read += [str(path) for path in PYTHON_FILES]
    system = [*SYSTEM, *SYSTEM_FILES]
    hidden = {each for path in policy.hidden for each in (str(path), os.path.realpath(path))}
    return Plan(
        parent=os.getpid(),
        backend=backend,
        bwrap=found.program,
        argv=argv,
        environment=environment,
        folder=str(policy.folder or ""),
        read=[each for each in read if not _is_system(each)],
        write=[str(path) for path in policy.write],
        kept=[str(path) for path in policy.kept],
        over=[str(path) for path in policy.over],
        hidden=sorted(hidden),
        below=[str(path) for path in policy.below],
        dotted=policy.dotted,
        system=system,
        limits=Limits(
            policy.memory_bytes,
            policy.processes,
            policy.cpu_seconds,
            policy.wall_seconds,
            policy.file_bytes,
            policy.disk_bytes,
            policy.temporary_bytes,
        ),
        report=-1,
        answer=None,
        relay=Relay(PYTHON, str(_RELAY), socket) if socket else None,
    )


def _is_system(path: str) -> bool:
    return any(path == each or path.startswith(f"{each}/") for each in SYSTEM)


async def _keep(
    plan: Plan, stdin: bytes, policy: SandboxPolicy, on_output: OnOutput | None, answer: int
) -> tuple[Report | None, Completed, bytes]:
    """Let the keeper run a plan: its report, the output, and the answer."""
    told, report = os.memfd_create("plan"), os.memfd_create("report")
    said = os.memfd_create("answer") if answer else None
    opened = [each for each in (told, report, said) if each is not None]
    try:
        os.write(told, write_plan(plan._replace(report=report, answer=said)))
        done = await run_command(
            [sys.executable, "-S", "-s", "-P", "-m", "planaria.membrane.sandbox.keeper", str(told)],
            cwd="/",
            env={
                "PYTHONPATH": str(SOURCES),
                "PYTHONDONTWRITEBYTECODE": "1",
                "LC_ALL": "C.UTF-8",
                "PATH": SEARCH,
            },
            timeout=policy.wall_seconds + GRACE,
            max_output=policy.output_bytes,
            stdin=stdin,
            pass_fds=opened,
            on_output=on_output,
        )
        return read_report(os.dup(report)), done, os.pread(said, answer, 0) if said is not None else b""
    except TimeoutError as error:
        raise SandboxBroken("the sandbox did not end in time, and was killed") from error
    except OSError as error:
        raise SandboxBroken(f"the sandbox could not be started: {error}") from error
    finally:
        for each in opened:
            os.close(each)


class _Listening:
    """The message that the proxy takes connections."""


@asynccontextmanager
async def serving(reach: Reach | None) -> AsyncGenerator[tuple[Proxy | None, str]]:
    """A proxy, and its socket, while this lasts; none if nothing may be reached."""
    if reach is None:
        yield None, ""
        return
    proxy, me = Proxy(reach), self_()
    folder = await run_blocking(tempfile.mkdtemp, "", "planaria-proxy-")
    try:
        socket = f"{folder}/proxy.sock"
        serving = spawn_link(_serve, socket, proxy, lambda: send(me, _Listening()), label="sandbox proxy")
        await receive(_Listening)
        try:
            yield proxy, socket
        finally:
            unlink(serving)
            exit_signal(serving, "shutdown")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _serve(socket: str, proxy: Proxy, listening: Callable[[], None]) -> None:
    await serve_unix(socket, proxy.talk, listening=listening)
