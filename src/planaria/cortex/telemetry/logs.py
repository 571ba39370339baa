"""Log lines: `logging` for people and machines, as one more subscriber.

    with logging_to(settings.log, garden, redactor, node) as logs: ...

One handler at the root logger: our warnings, those of libraries, and one line for what telemetry tells: failed spans
and finished turns at `info`, every span at `debug`; crashes and restarts (`log_processes`) at `warning`. Lines carry
the process and the trace they belong to; how they look is in `log_lines.py`, how they are written in `log_writer.py`.
"""

import logging
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from planaria.config.settings import LogSettings
from planaria.cortex.redact import Redactor
from planaria.cortex.telemetry.conventions import ERROR_TYPE
from planaria.cortex.telemetry.handlers import attach, detach
from planaria.cortex.telemetry.log_lines import HumanFormatter, JsonFormatter
from planaria.cortex.telemetry.log_writer import LogWriter, open_log, was_moved
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

TOLD_AT_INFO = frozenset({"turn", "workflow.run"})

log = logging.getLogger("planaria.telemetry")


@contextmanager
def logging_to(settings: LogSettings, garden: Path, redactor: Redactor, node: Node) -> Generator[LogWriter]:
    """Write log lines as the settings say, as long as the node runs; then put `logging` back as it was."""
    formatter = JsonFormatter(redactor) if settings.format == "json" else HumanFormatter(redactor)
    writer = _writer(settings, garden, formatter)
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
        root.handlers[:] = before[0]
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


def _writer(settings: LogSettings, garden: Path, formatter: logging.Formatter) -> LogWriter:
    if settings.file is None:
        # Of its own trouble the terminal cannot be told; the count remains.
        return LogWriter(lambda: sys.stderr, formatter, lambda _: None)
    path = garden / settings.file
    return LogWriter(partial(open_log, path), formatter, _complain, partial(was_moved, path))


def _complain(text: str) -> None:
    """Tell the terminal of the trouble of a log that is a file."""
    with suppress(OSError, ValueError):
        sys.stderr.write(f"planaria: {text}\n")
