"""Logging in a worker: records go home."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from typing import Any, Protocol

from planaria.otp.isolation.channel import Channel


class Home(Protocol):
    """How records travel."""

    loop: asyncio.AbstractEventLoop
    channel: Channel

    def tell(self, what: str, *args: object) -> None:
        """Say it."""
        ...


class HomeLog(logging.Handler):
    """Sends log records home, where they are handled by the logger of the same name."""

    def __init__(self, bridge: Home) -> None:
        super().__init__()
        self.bridge = bridge
        self.thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        """Send one record as text; arguments and exceptions are formatted here."""
        try:
            text = record.getMessage()
            trace = "" if not record.exc_info else logging.Formatter().formatException(record.exc_info)
        except Exception:  # noqa: BLE001  logging's own way: a broken record must not end the program
            self.handleError(record)
            return
        word = (
            record.name,
            record.levelno,
            text,
            trace,
            record.created,
            record.pathname,
            record.lineno,
            record.funcName,
            record.threadName,
        )
        if threading.get_ident() == self.thread:
            self._send(word)
        else:
            with contextlib.suppress(RuntimeError):
                self.bridge.loop.call_soon_threadsafe(self._send, word)

    def _send(self, word: tuple[Any, ...]) -> None:
        self.bridge.tell("log", *word)
        self.bridge.channel.flush()  # what is said last, before a crash, matters most
