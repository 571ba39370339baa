"""Log lines: `logging` for people and machines, as one more subscriber.

    with logging_to(settings.log, garden, redactor, node) as logs: ...

One handler at the root logger: our warnings, those of libraries, and one line for what telemetry tells: failed spans
and finished turns at `info`, every span at `debug`; crashes and restarts (`log_processes`) at `warning`. Lines carry
the process and the trace they belong to; secrets are masked. A thread of its own writes them, so a slow disk holds up
nobody; what cannot be written (full disk, broken pipe, more than 10 000 lines waiting) is counted, and said once.
Does badly: a file that was moved away is written on until the node is started anew.
"""

import io
import logging
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

import msgspec

from planaria.config.settings import LogSettings
from planaria.cortex.redact import Redactor
from planaria.cortex.telemetry.conventions import ERROR_TYPE
from planaria.cortex.telemetry.handlers import attach, detach
from planaria.cortex.telemetry.signal import Point, Signal, SpanFailed, SpanStarted
from planaria.otp import (
    ChildRestarted,
    KernelEvent,
    Node,
    ProcessExited,
    ProcessStalled,
    RestartsExceeded,
    is_orderly,
    reason_text,
)
from planaria.otp.kernel.process import running

MOST_WAITING = 10_000
CLOSING_TIME = 2.0
"""Seconds the last lines may take to be written."""
QUIET = 60.0
"""Seconds between two words about lines that were lost."""
TOLD_AT_INFO = frozenset({"turn", "workflow.run"})
FIELDS = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "planaria"}

log = logging.getLogger("planaria.telemetry")


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, process, trace_id, what was given as `extra`, error."""

    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self.redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: value for name, value in _where(record).items() if value}
        line |= {name: _plain(value) for name, value in record.__dict__.items() if name not in FIELDS}
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        masked = self.redactor.value(line)
        return msgspec.json.encode(masked).decode("utf-8", "replace")


class HumanFormatter(logging.Formatter):
    """One line to read: time, level, message, process and trace; a traceback below it."""

    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self.redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).astimezone().strftime("%H:%M:%S.%f")[:-3]
        where = _where(record)
        given = {name: value for name, value in record.__dict__.items() if name not in FIELDS}
        said = " ".join(f"{_short(name)}={value}" for name, value in (given | where).items() if value)
        text = f"{at} {record.levelname.lower():<7} {record.name.removeprefix('planaria.')}: {record.getMessage()}"
        text = _one_line(f"{text}  [{said}]" if said else text)
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return self.redactor.text(text)


class LogWriter(logging.Handler):
    """Hands lines to a thread that writes them.

    Args:
        open_stream: the file to write to; asked anew when it fails, and never closed if it is a standard stream.
        formatter: makes the line, in the thread that logs.
        complain: told once when lines are lost, and once when they are written again.

    Attributes:
        lost: lines that were never written.
        written: lines that were.
    """

    def __init__(
        self,
        open_stream: Callable[[], TextIO],
        formatter: logging.Formatter,
        complain: Callable[[str], object],
    ) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self.lost = 0
        self.written = 0
        self._open = open_stream
        self._complain = complain
        self._stream: TextIO | None = None
        self._waiting: deque[str] = deque()
        self._wake = threading.Condition()
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
            line = f"a log record of {record.name} cannot be shown: {record.msg!r}"
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
        super().close()

    def _write_all(self) -> None:
        while True:
            with self._wake:
                while not self._waiting and not self._closing:
                    self._wake.wait()
                lines = list(self._waiting)
                self._waiting.clear()
                closing = self._closing
            if lines:
                self._write(lines)
            if closing and not self._waiting:
                self._drop_stream()
                return

    def _write(self, lines: list[str]) -> None:
        try:
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


@contextmanager
def logging_to(settings: LogSettings, garden: Path, redactor: Redactor, node: Node) -> Generator[LogWriter]:
    """Write log lines as the settings say, as long as the node runs; then put `logging` back as it was."""
    formatter = JsonFormatter(redactor) if settings.format == "json" else HumanFormatter(redactor)
    writer = LogWriter(_opener(settings, garden), formatter, _complaint(settings))
    root = logging.getLogger()
    ours = logging.getLogger("planaria")
    before = (root.handlers[:], root.level, ours.level)
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    root.handlers[:] = [writer]
    # Libraries say at `info` what is of use to their authors.
    root.setLevel(max(level, logging.WARNING))
    ours.setLevel(level)
    loop_thread = threading.get_ident()
    writer.addFilter(lambda record: _note_where(record, loop_thread))
    if level <= logging.INFO:
        attach(log_signal, node=node)
    try:
        yield writer
    finally:
        detach(log_signal, node=node)
        root.handlers[:], root.level, ours.level = before[0], before[1], before[2]
        root.setLevel(before[1])
        ours.setLevel(before[2])
        writer.close()


def log_signal(signal: Signal) -> None:
    """One line for what a span or point says."""
    if isinstance(signal, SpanStarted):
        return
    # What a point warns of is logged where it happens, too.
    useful = isinstance(signal, Point | SpanFailed) or signal.name in TOLD_AT_INFO
    level = logging.INFO if useful else logging.DEBUG
    if not log.isEnabledFor(level):
        return
    extra: dict[str, object] = dict(signal.attributes)
    if not isinstance(signal, Point):
        extra["duration_ms"] = round(signal.duration * 1000, 3)
    if isinstance(signal, SpanFailed):
        extra |= {ERROR_TYPE: signal.error_type, "reason": signal.error}
    where = {"process": _name(signal.process), "trace_id": signal.trace_id}
    log.log(level, "%s", signal.name, extra=extra | {"planaria": where})


def log_processes(node: Node) -> Callable[[], None]:
    """From now on log crashes and restarts; returns the way to stop it.

    Begun once a node is up: a start that fails has one sentence to say, and says it itself.
    """
    return node.subscribe_events(log_kernel_event)


def log_kernel_event(event: KernelEvent) -> None:
    """One line for what a person should know of processes."""
    match event:
        case ProcessExited(process=process, name=name, label=label, reason=reason) if not is_orderly(reason):
            if reason not in ("killed", "noproc"):
                where = {"process": name or str(process)}
                log.warning("%s ended: %s", name or label, reason_text(reason), extra={"planaria": where})
        case ChildRestarted(id=id, process=process) if process is not None:
            log.warning("%s was started again", process.name or id, extra={"planaria": {}})
        case RestartsExceeded(supervisor=supervisor, id=id):
            who = supervisor.name or supervisor.label
            log.error("%s gave up: %s ended too often", who, id, extra={"planaria": {}})
        case ProcessStalled(name=name, label=label, where=where, seconds=seconds):
            who = name or label or "code outside any process"
            log.warning("%s held up the node for %.1f s at %s", who, seconds, where, extra={"planaria": {}})
        case _:
            pass


def _note_where(record: logging.LogRecord, loop_thread: int) -> bool:
    """Whose line it is, noted while that is known: the running process belongs to the loop's thread alone."""
    if not hasattr(record, "planaria"):
        process = running.process if record.thread == loop_thread else None
        trace = process.current[4] if process is not None and process.current is not None else None
        record.planaria = {"process": _name(process), "trace_id": trace or ""}
    return True


def _name(process: Any) -> str:
    return "" if process is None else process.name or str(process)


def _where(record: logging.LogRecord) -> dict[str, str]:
    where: dict[str, str] = getattr(record, "planaria", {})
    return where


def _plain(value: object) -> object:
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _short(attribute: str) -> str:
    """An attribute's name as people need it."""
    return attribute.removeprefix("gen_ai.").removeprefix("planaria.")


def _one_line(text: str) -> str:
    return text.replace("\r", "\\r").replace("\n", "\\n")


def _opener(settings: LogSettings, garden: Path) -> Callable[[], TextIO]:
    if settings.file is None:
        return lambda: sys.stderr
    path = garden / settings.file
    return lambda: io.TextIOWrapper(
        open(path, "ab", opener=_private), encoding="utf-8", errors="backslashreplace"
    )


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _complaint(settings: LogSettings) -> Callable[[str], object]:
    """Where the trouble of the log itself is told: the terminal, unless that is what is broken."""

    def complain(text: str) -> None:
        try:
            sys.stderr.write(f"planaria: {text}\n")
        except (OSError, ValueError):
            pass  # nobody is there to be told; the count remains

    return (lambda _: None) if settings.file is None else complain
