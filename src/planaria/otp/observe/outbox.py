"""Lines on their way to one client, sent by a thread of their own: whoever writes, as the loop does, never waits.

A client that does not read loses events, which are counted, never answers.
"""

from __future__ import annotations

import json
import queue
import socket
import threading
from typing import Any

__all__ = ["Outbox"]

MOST_BYTES = 16 << 20
"""Bytes that wait for a client that does not read; events that follow are dropped and counted."""


class Outbox:
    """What one connection is still to be sent."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.dropped = 0
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._waiting = 0
        self._room = threading.Condition()
        self._gone = False
        self._writer = threading.Thread(target=self._send, name="planaria observer writer", daemon=True)
        self._writer.start()

    def write(self, value: dict[str, Any]) -> None:
        """Send one object, soon. From any thread."""
        is_event = "event" in value
        if is_event and self._waiting > MOST_BYTES:
            self.dropped += 1
            return
        if self.dropped:
            value = value | {"dropped": self.dropped}
            self.dropped = 0
        line = json.dumps(value, default=str).encode() + b"\n"
        with self._room:
            self._waiting += len(line)
        self._lines.put(line)

    def wait_for_room(self) -> bool:
        """Return when the client has read enough to be given more; False if it is gone. In the thread that reads it."""
        with self._room:
            self._room.wait_for(lambda: self._gone or self._waiting <= MOST_BYTES)
        return not self._gone

    def close(self) -> None:
        """Send what is left, if that is quick."""
        self._lines.put(None)
        self._writer.join(1.0)

    def _send(self) -> None:
        while (line := self._lines.get()) is not None:
            try:
                self.connection.sendall(line)
            except OSError:  # gone; the reading side notices
                break
            with self._room:
                self._waiting -= len(line)
                self._room.notify_all()
        with self._room:
            self._gone = True
            self._room.notify_all()
