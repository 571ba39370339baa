"""Questions about a worker, answered from a thread of its own: also while its loop is busy or stuck.

A question is one byte, an answer a length and JSON. The answers are text, so that looking can never run code at home.
"""

from __future__ import annotations

import json
import os
import resource
import socket
import struct
import sys
import threading
import traceback
from typing import Any, Protocol

from planaria.otp.kernel.introspection import (
    await_chain,
    message_text,
    process_state,
    queued_messages,
    safe_repr,
)
from planaria.otp.kernel.node import Node
from planaria.otp.kernel.process import STATUS_NAMES, Process

ASK = b"?"
LENGTH = struct.Struct("<I")
QUEUED = 100
"""Waiting messages that are told, oldest first."""


class Resident(Protocol):
    """What is asked about."""

    node: Node
    resident: Process | None


def answer_questions(look: socket.socket, bridge: Resident) -> None:
    """Answer until home is gone; then end, should the system not have seen to it."""
    main = threading.main_thread().ident
    look.setblocking(True)
    while True:
        try:
            asked = look.recv(1)
        except OSError:
            asked = b""
        if not asked:
            os._exit(70)
        try:
            told = describe(bridge, main)
        except Exception as error:  # noqa: BLE001  user code inside repr, or a change while looking: never end for it
            told = {"error": f"{type(error).__name__}: {error}"}
        data = json.dumps(told, default=safe_repr).encode()
        look.sendall(LENGTH.pack(len(data)) + data)


def describe(bridge: Resident, main: int | None) -> dict[str, Any]:
    """What the worker does now, as plain text and numbers."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    told: dict[str, Any] = {
        "os_pid": os.getpid(),
        "memory": _memory(),
        "cpu": usage.ru_utime + usage.ru_stime,
        "processes": len(bridge.node.table),
    }
    process = bridge.resident
    frame = sys._current_frames().get(main) if main is not None else None
    stack = traceback.extract_stack(frame) if frame is not None else traceback.StackSummary()
    told["stack"] = [(f.filename, f.lineno, f.name) for f in stack if "planaria/otp/" not in f.filename]
    if process is None:
        return told
    current = process.current
    told |= {
        "status": STATUS_NAMES[process.status],
        "reductions": process.reductions,
        "current": None if current is None else message_text(current[0], current[1]),
        "queued": [view.text for view in queued_messages(process)[:QUEUED]],
        "awaits": [(f.file, f.line, f.function) for f in await_chain(process)],
        "state": {name: safe_repr(value)[:500] for name, value in process_state(process).items()},
    }
    return told


def _memory() -> int:
    """Bytes of the worker's private memory in use, or the most there was where the system does not tell."""
    try:
        with open("/proc/self/statm", "rb") as file:
            pages = file.read().split()
        return (int(pages[1]) - int(pages[2])) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
