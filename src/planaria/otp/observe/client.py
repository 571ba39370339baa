"""Asks an `Observer`, with plain blocking sockets."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Generator
from types import TracebackType
from typing import Any, Self

__all__ = ["Asked", "ObserverClient"]

ANSWER_TIME = 10.0


class Asked(Exception):
    """The node refused a request; `code` is short, `mend` says what to do."""

    def __init__(self, code: str, message: str, mend: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.mend = mend


class ObserverClient:
    """One connection to the observer of a node; a context manager.

    Args:
        path: of its socket.
        within: seconds to be let in.
    Raises:
        OSError: nobody listens there, or it is not yours.
    """

    def __init__(self, path: str | os.PathLike[str], within: float = 5.0) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(within)
        until = time.monotonic() + within
        try:
            while True:
                try:
                    self._socket.connect(os.fspath(path))
                    break
                except BlockingIOError:  # many others are at the door
                    if time.monotonic() > until:
                        raise
                    time.sleep(0.02)
        except OSError:
            self._socket.close()
            raise
        self._buffer = bytearray()
        self._last = 0

    def ask(self, method: str, *, within: float | None = ANSWER_TIME, **params: Any) -> Any:
        """One request and its result.

        Args:
            within: seconds for the answer; None waits for ever.
        Raises:
            Asked: it was refused.
            TimeoutError: no answer in time.
            ConnectionError: the node is gone.
        """
        number = self.send(method, **params)
        while True:
            reply = self.read(within)
            if reply.get("id") == number and "event" not in reply:
                return _result(reply)

    def follow(self, method: str, *, within: float | None = None, **params: Any) -> Generator[Any, None, Any]:
        """The events of a streaming request; its result is what the generator returns."""
        number = self.send(method, **params)
        while True:
            reply = self.read(within)
            if reply.get("id") == number:
                if "event" not in reply:
                    return _result(reply)
                yield reply["event"]

    def send(self, method: str, **params: Any) -> int:
        """Send a request without waiting; its id."""
        self._last += 1
        given = {name: value for name, value in params.items() if value is not None}
        request = {"id": self._last, "method": method, "params": given}
        try:
            self._socket.sendall(json.dumps(request).encode() + b"\n")
        except BrokenPipeError:
            self.read(ANSWER_TIME)  # it may have said why
            raise
        return self._last

    def read(self, within: float | None) -> dict[str, Any]:
        """The next line."""
        self._socket.settimeout(within)
        while (end := self._buffer.find(b"\n")) < 0:
            chunk = self._socket.recv(1 << 16)
            if not chunk:
                raise ConnectionError("the node closed the connection")
            self._buffer += chunk
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        reply: dict[str, Any] = json.loads(line)
        if reply.get("id") is None and "error" in reply:
            _result(reply)  # it concerns the connection
        return reply

    def close(self) -> None:
        """Close the connection; what was asked and is not answered is dropped."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _result(reply: dict[str, Any]) -> Any:
    error = reply.get("error")
    if error is not None:
        raise Asked(error["code"], error["message"], error.get("mend", ""))
    return reply.get("result")
