"""A client of the control socket, with plain blocking sockets: it starts quickly and needs no event loop."""

import socket
import time
from collections.abc import Generator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from planaria.cli.errors import NO_ANSWER, NOT_RUNNING, REFUSED, CliError
from planaria.config.lock import find_holder
from planaria.nerve.protocol import Reply, Request, socket_path

CONNECT_TIME = 5.0
RESTART_TIME = 3.0
"""Seconds to wait for the socket of a node that runs."""
ANSWER_TIME = 30.0
LONGEST_ANSWER = 64 << 20
"""Bytes of one line from the node."""

_replies = msgspec.json.Decoder(Reply)


def _connect(garden: Path) -> socket.socket:
    """Connect; while a node holds the garden's lock its socket may be away for a moment, so it is waited for."""
    until = time.monotonic() + RESTART_TIME
    while True:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(CONNECT_TIME)
        try:
            connection.connect(str(socket_path(garden)))
        except (FileNotFoundError, ConnectionRefusedError):
            connection.close()
            if time.monotonic() > until or find_holder(garden) is None:
                raise
            time.sleep(0.05)
        except OSError:
            connection.close()
            raise
        else:
            return connection


class Client:
    """One connection to the node of a garden; a context manager.

    Raises:
        CliError: no node runs there (exit code 4), or it does not take the connection (7).
    """

    def __init__(self, garden: Path) -> None:
        self.garden = garden
        self._buffer = bytearray()
        self._last_id = 0
        try:
            self._socket = _connect(garden)
        except (FileNotFoundError, ConnectionRefusedError) as error:
            if holder := find_holder(garden):
                what = f"the node of {garden} (process {holder.pid}) runs, but takes no connections now"
                mend = "try again in a moment: its control socket is being started"
                raise CliError(NO_ANSWER, what, mend, "no_answer") from error
            mend = f"start it with `planaria up --garden {garden}`"
            raise CliError(NOT_RUNNING, f"no node runs the garden {garden}", mend, "not_running") from error
        except PermissionError as error:
            mend = "only the user who runs the node can talk to it"
            raise CliError(NO_ANSWER, f"the node of {garden} is not yours", mend, "not_allowed") from error
        except OSError as error:
            mend = "look at the node's own output"
            raise CliError(
                NO_ANSWER, f"cannot reach the node of {garden}: {error}", mend, "no_answer"
            ) from error

    def ask(self, method: str, *, within: float | None = ANSWER_TIME, **params: Any) -> Any:
        """One request and its result.

        Args:
            within: seconds for the answer; None waits for ever.
        Raises:
            CliError: the node refused it (6), or there was no answer (7).
        """
        id_ = self._send(method, params)
        while True:
            reply = self._reply(within)
            if reply.id == id_ and reply.event is msgspec.UNSET:
                return reply.result

    def follow(self, method: str, *, within: float | None = None, **params: Any) -> Generator[Any, None, Any]:
        """The events of a streaming request; its result is what the generator returns.

        Args:
            within: seconds between two events; None waits for ever.
        """
        id_ = self._send(method, params)
        while True:
            reply = self._reply(within)
            if reply.id == id_:
                if reply.event is msgspec.UNSET:
                    return reply.result
                yield reply.event

    def close(self) -> None:
        """Close the connection; what was asked and is not answered is dropped."""
        self._socket.close()

    def _send(self, method: str, params: dict[str, Any]) -> int:
        self._last_id += 1
        given = {name: value for name, value in params.items() if value is not None}
        line = msgspec.json.encode(Request(method=method, id=self._last_id, params=given)) + b"\n"
        try:
            self._socket.settimeout(ANSWER_TIME)
            self._socket.sendall(line)
        except OSError as error:
            raise _broken(error) from error
        return self._last_id

    def _reply(self, within: float | None) -> Reply:
        try:
            reply = _replies.decode(self._line(within))
        except msgspec.DecodeError as error:
            mend = "are this command and the node of the same version?"
            raise CliError(
                NO_ANSWER, f"the node said something else than an answer: {error}", mend
            ) from error
        if isinstance(reply.error, msgspec.UnsetType):
            return reply
        fault = reply.error
        raise CliError(
            NO_ANSWER if fault.code == "timeout" else REFUSED, fault.message, fault.mend, fault.code
        )

    def _line(self, within: float | None) -> bytes:
        self._socket.settimeout(within)
        searched = 0
        while (end := self._buffer.find(b"\n", searched)) < 0:
            searched = len(self._buffer)
            if searched > LONGEST_ANSWER:
                raise CliError(NO_ANSWER, f"an answer of more than {LONGEST_ANSWER} bytes", "ask for less")
            try:
                chunk = self._socket.recv(1 << 16)
            except TimeoutError as error:
                mend = "it is busy, or stuck: `planaria tree` shows what runs"
                raise CliError(
                    NO_ANSWER, f"the node did not answer within {within:g} s", mend, "timeout"
                ) from error
            except OSError as error:
                raise _broken(error) from error
            if not chunk:
                raise _broken(None)
            self._buffer += chunk
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _broken(error: OSError | None) -> CliError:
    what = f": {error}" if error is not None else ""
    mend = "see whether it still runs: `planaria status`"
    return CliError(NO_ANSWER, f"the node closed the connection{what}", mend, "closed")
