"""Questions to a worker, from any thread: what it does now, also while its loop is busy."""

from __future__ import annotations

import json
import socket
import threading
import time
from typing import Any

from planaria.otp.isolation.errors import WorkerBroken
from planaria.otp.isolation.questions import ASK, LENGTH

LONGEST_ANSWER = 64 << 20
"""Bytes of the longest answer that is read."""


class Inquiry:
    """The asking end of the stream for questions; `questions.py` is the answering one.

    Args:
        whom: named in errors.
    """

    def __init__(self, look: socket.socket, whom: object) -> None:
        self._look = look
        self._whom = whom
        self._one_at_a_time = threading.Lock()
        self._over = threading.Event()
        self._asked = 0  # questions whose answers are still to come
        self._told = b""

    def ask(self, seconds: float) -> dict[str, Any]:
        """What the worker does now; blocks for up to `seconds`, so not for the event loop.

        Raises:
            TimeoutError: it did not answer: it is stopped, or in a C call that keeps the interpreter.
            ProcessLookupError: it has ended.
            WorkerBroken: its answer is none.
        """
        with self._one_at_a_time:
            if self._over.is_set():
                raise ProcessLookupError(f"{self._whom!r} has ended")
            try:
                self._look.settimeout(seconds)
                self._look.sendall(ASK)
                self._asked += 1
                until = time.monotonic() + seconds
                answer = b""
                while self._asked:  # answers nobody waited for come first
                    answer = self._next_answer(until)
                    self._asked -= 1
                told = json.loads(answer)
            except (ValueError, RecursionError) as error:
                raise WorkerBroken(f"{self._whom!r} told nonsense about itself: {error}") from None
            except (OSError, EOFError) as error:
                if isinstance(error, TimeoutError):
                    raise TimeoutError(f"{self._whom!r} did not answer within {seconds:g} s") from None
                raise ProcessLookupError(f"{self._whom!r} has ended") from None
            finally:
                if self._over.is_set():
                    self._look.close()
            if not isinstance(told, dict):
                raise WorkerBroken("an answer that says nothing")
            return told

    def _next_answer(self, until: float) -> bytes:
        size = LENGTH.size
        while True:
            if len(self._told) >= LENGTH.size:
                size = LENGTH.size + min(LENGTH.unpack_from(self._told)[0], LONGEST_ANSWER)
                if len(self._told) >= size:
                    answer, self._told = self._told[LENGTH.size : size], self._told[size:]
                    return answer
            self._look.settimeout(max(0.001, until - time.monotonic()))
            more = self._look.recv(size - len(self._told))
            if not more:
                raise EOFError
            self._told += more

    def close(self) -> None:
        """The worker has ended: who still waits hears it, and the socket is closed by the last."""
        self._over.set()
        if self._one_at_a_time.acquire(blocking=False):
            self._look.close()
            self._one_at_a_time.release()
