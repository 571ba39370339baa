"""What a worker prints and logs, brought home a line at a time and attributed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from planaria.otp.kernel.process import Process

LONGEST = 64 * 1024
"""Bytes after which a line is cut in two."""
_READ = 64 * 1024

type Stream = Literal["stdout", "stderr"]


@dataclass(frozen=True, slots=True)
class OutputLine:
    """One line a worker wrote.

    Attributes:
        process: whose worker; None while a worker waits in the pool.
        os_pid: of the worker.
        text: without its end of line.
    """

    process: Process | None
    os_pid: int
    stream: Stream
    text: str


def print_line(line: OutputLine) -> None:
    """Write a line to the node's own stream, the process before it: `[parser <node.17>] text`."""
    who = f"worker {line.os_pid}" if line.process is None else f"{line.process.label} {line.process!s}"
    out = sys.stdout if line.stream == "stdout" else sys.stderr
    if out is not None:
        out.write(f"[{who}] {line.text}\n")
        out.flush()


class LineReader:
    """Reads one pipe of a worker and hands on whole lines.

    Args:
        told: called with each line, decoded, in order.
    """

    def __init__(self, fd: int, loop: asyncio.AbstractEventLoop, told: Callable[[str], None]) -> None:
        os.set_blocking(fd, False)
        self.fd = fd
        self.loop = loop
        self.told = told
        self.rest = b""
        loop.add_reader(fd, self._readable)

    def _readable(self) -> None:
        try:
            data = os.read(self.fd, _READ)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        *lines, self.rest = (self.rest + data).split(b"\n")
        if len(self.rest) > LONGEST:
            lines.append(self.rest)
            self.rest = b""
        for line in lines:
            self.told(line.decode("utf-8", "backslashreplace").rstrip("\r"))

    def close(self) -> None:
        """Read what is left and let go."""
        if self.fd < 0:
            return
        fd, self.fd = self.fd, -1
        with contextlib.suppress(RuntimeError, OSError, ValueError):
            self.loop.remove_reader(fd)
        with contextlib.suppress(OSError):
            for _ in range(64):
                data = os.read(fd, _READ)
                if not data:
                    break
                self.rest += data
        os.close(fd)
        rest, self.rest = self.rest, b""
        for line in rest.split(b"\n") if rest else ():
            if line:
                self.told(line.decode("utf-8", "backslashreplace"))


def log_at_home(
    process: Process,
    os_pid: int,
    name: str,
    level: int,
    text: str,
    trace: str,
    created: float,
    path: str,
    line: int,
    function: str | None,
    thread: str | None,
) -> None:
    """Hand a worker's log record to the logger of the same name here.

    The record has `worker` (the process's label), `worker_pid` (its pid as text), and `process` (its OS pid).
    """
    logger = logging.getLogger(name)
    if not logger.isEnabledFor(level):
        return
    record = logging.LogRecord(
        name, level, path, line, f"[{process.label} {process!s}] {text}", None, None, function
    )
    record.created = created
    record.msecs = (created % 1) * 1000
    record.process = os_pid
    record.threadName = thread
    record.exc_text = trace or None
    record.worker = process.label
    record.worker_pid = str(process)
    logger.handle(record)
