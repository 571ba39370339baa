"""Writes log lines in a thread of its own, so that a slow disk holds up nobody.

What cannot be written (full disk, broken pipe, more than 10 000 lines waiting) is counted, and said once. A file that
was moved away or removed is made anew.
"""

import io
import logging
import os
import stat
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from planaria.cortex.telemetry.log_lines import cannot_be_shown

MOST_WAITING = 10_000
CLOSING_TIME = 2.0
"""Seconds the last lines may take to be written."""
QUIET = 60.0
"""Seconds between two words about lines that were lost."""


class LogWriter(logging.Handler):
    """Hands lines to a thread that writes them.

    Args:
        open_stream: the file to write to; asked anew when it fails, and never closed if it is a standard stream.
        formatter: makes the line, in the thread that logs.
        complain: told once when lines are lost, and once when they are written again.
        moved: whether the file that is open is no longer the one to write to.

    Attributes:
        lost: lines that were never written.
        written: lines that were.
    """

    def __init__(
        self,
        open_stream: Callable[[], TextIO],
        formatter: logging.Formatter,
        complain: Callable[[str], object],
        moved: Callable[[TextIO], bool] = lambda _: False,
    ) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self.lost = 0
        self.written = 0
        self._open = open_stream
        self._complain = complain
        self._moved = moved
        self._stream: TextIO | None = None
        self._waiting: deque[str] = deque()
        self._wake = threading.Condition()
        self._writing = 0
        self._closing = False
        self._failing = False
        self._said_at = float("-inf")
        self._said_lost = 0
        self._thread = threading.Thread(target=self._write_all, name="planaria log", daemon=True)
        self._thread.start()

    def figures(self) -> dict[str, float]:
        """Counters for `/metrics`."""
        return {"planaria_log_lines": self.written, "planaria_log_lines_lost": self.lost}

    def emit(self, record: logging.LogRecord) -> None:
        """Take one record; never raises, never blocks."""
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001  as `logging` has it: a record that cannot be shown hurts nobody
            line = self.format(cannot_be_shown(record))
        with self._wake:
            if len(self._waiting) >= MOST_WAITING or self._closing:
                self.lost += 1
                return
            self._waiting.append(line)
            self._wake.notify()

    def close(self) -> None:
        """Write what waits, for two seconds at most."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join(CLOSING_TIME)
        if self._thread.is_alive():
            left = len(self._waiting) + self._writing
            self.lost += left
            self._complain(f"the log is too slow; {left} lines were not written before the end")
        super().close()

    def _write_all(self) -> None:
        while True:
            with self._wake:
                while not self._waiting and not self._closing:
                    self._wake.wait()
                lines = list(self._waiting)
                self._waiting.clear()
                self._writing = len(lines)
                closing = self._closing
            if lines:
                self._write(lines)
                self._writing = 0
            if closing and not self._waiting:
                self._drop_stream()
                return

    def _write(self, lines: list[str]) -> None:
        try:
            if self._stream is not None and self._moved(self._stream):
                self._drop_stream()
            if self._stream is None:
                self._stream = self._open()
            self._stream.write("".join(f"{line}\n" for line in lines))
            self._stream.flush()
        except (OSError, ValueError) as error:  # ValueError: the stream was closed by somebody
            self.lost += len(lines)
            self._drop_stream()
            if not self._failing or time.monotonic() - self._said_at > QUIET:
                self._failing, self._said_at = True, time.monotonic()
                self._complain(f"the log cannot be written ({error}); {self.lost} lines are lost so far")
            return
        self.written += len(lines)
        if self._failing:
            self._failing = False
            self._complain(f"the log is written again; {self.lost - self._said_lost} lines were lost")
            self._said_lost = self.lost

    def _drop_stream(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None and stream not in (sys.stderr, sys.stdout):
            try:
                stream.close()
            except (OSError, ValueError):
                pass  # what it still held is counted already


def open_log(path: Path) -> TextIO:
    """The file, to append to: for its owner's eyes, beginning at a line of its own."""
    raw = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600), "ab")
    with suppress(OSError):
        if stat.S_ISREG(os.fstat(raw.fileno()).st_mode) and not _ends_a_line(path):
            raw.write(b"\n")  # a full disk or a kill cut off the last one
    return io.TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace")


def was_moved(path: Path, stream: TextIO) -> bool:
    """Whether another file, or none, is at this place now: logs are rotated this way."""
    try:
        there, open_ = os.stat(path), os.fstat(stream.fileno())
    except OSError:
        return True
    return (there.st_dev, there.st_ino) != (open_.st_dev, open_.st_ino)


def _ends_a_line(path: Path) -> bool:
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        if size == 0:
            return True
        file.seek(size - 1)
        return file.read(1) == b"\n"
