"""Run one command of the operating system and wait for it.

Runs in the process that calls; stands on asyncio's subprocess transport. The command gets its own process group, and
the whole group is killed when the time is up, when the caller is cancelled or killed, and when the command has ended
but left children behind. Output past the limit is read and dropped, so that the command never blocks on it.
Does badly: a child that makes itself a session of its own escapes the group; only a sandbox holds that.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

_READ_ON = 0.5
"""Seconds a command that has ended may still have its output open, before what holds it is killed."""
_DYING = 5.0
"""Seconds to wait for the death of what was killed; the kernel may hold a process that waits for a disk."""


@dataclass(frozen=True, slots=True)
class Completed:
    """A command that ended.

    Attributes:
        returncode: as the system gives it; negative for a signal.
        stdout, stderr: at most `max_output` bytes each.
        truncated: whether there was more.
    """

    returncode: int
    stdout: bytes
    stderr: bytes
    truncated: bool = False


async def run_command(
    argv: Sequence[str],
    *,
    cwd: str | os.PathLike[str],
    env: Mapping[str, str],
    timeout: float = 30.0,
    max_output: int = 1_000_000,
    stdin: bytes | None = None,
    pass_fds: Sequence[int] = (),
    on_output: Callable[[int, bytes], None] | None = None,
) -> Completed:
    """Run a command without a shell.

    Args:
        argv: program and arguments; a program without `/` is looked up on `PATH` of `env`.
        cwd: its working directory.
        env: its whole environment; nothing is inherited.
        timeout: seconds by the machine's clock.
        max_output: bytes of each stream that are kept.
        stdin: what it may read; None: nothing.
        pass_fds: descriptors it has beside those three, under the same numbers.
        on_output: called with 1 or 2 and what came on that stream, as it comes, also with what is not kept. Outside of
            any process, so it must be quick.
    Raises:
        TimeoutError: the time was up; the group is dead.
        OSError: it could not be started: no such program, no such folder, no permission.
    """
    loop = asyncio.get_running_loop()
    # Starting is never interrupted: asyncio would leave half a command behind.
    starting = loop.create_task(
        loop.subprocess_exec(
            lambda: _Collector(max_output, on_output),
            *argv,
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env=dict(env),
            start_new_session=True,
            pass_fds=tuple(pass_fds),
        )
    )
    try:
        async with asyncio.timeout(timeout):
            transport, protocol = await asyncio.shield(starting)
            if stdin is not None:
                pipe = transport.get_pipe_transport(0)
                assert isinstance(pipe, asyncio.WriteTransport)
                pipe.write(stdin)
                pipe.write_eof()
            await protocol.exited.wait()
            with suppress(TimeoutError):
                async with asyncio.timeout(_READ_ON):
                    await protocol.ended.wait()
        code = transport.get_returncode()
        assert code is not None
        return Completed(code, bytes(protocol.kept[1]), bytes(protocol.kept[2]), protocol.truncated)
    except GeneratorExit:
        raise  # thrown away: nothing may be awaited
    except BaseException:
        with suppress(TimeoutError, OSError, ValueError):  # what failed to start is told by the first await
            async with asyncio.timeout(_DYING):
                transport, protocol = await asyncio.shield(starting)
                _kill(transport.get_pid())
                await protocol.exited.wait()  # so that it is reaped while the loop still runs
        raise
    finally:
        if starting.done():
            _end(starting)
        else:
            starting.add_done_callback(_end)


type _Starting = asyncio.Task[tuple[asyncio.SubprocessTransport, _Collector]]


def _end(starting: _Starting) -> None:
    """Kill what is left of a command and let go of it."""
    if starting.cancelled() or starting.exception() is not None:
        return
    transport, protocol = starting.result()
    if not protocol.ended.is_set() or transport.get_returncode() is None:
        _kill(transport.get_pid())
    transport.close()


def _kill(group: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


class _Collector(asyncio.SubprocessProtocol):
    """Keeps the first bytes of both streams."""

    def __init__(self, limit: int, told: Callable[[int, bytes], None] | None) -> None:
        self.kept = {1: bytearray(), 2: bytearray()}
        self.truncated = False
        self.exited = asyncio.Event()
        self.ended = asyncio.Event()  # exited, and both streams closed
        self._limit = limit
        self._told = told

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        kept = self.kept[fd]
        room = self._limit - len(kept)
        kept += data[:room]
        self.truncated = self.truncated or len(data) > room
        if self._told is not None:
            self._told(fd, data)

    def process_exited(self) -> None:
        self.exited.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended.set()
