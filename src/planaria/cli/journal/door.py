"""The way to a journal: through the node that runs, or, when none runs, by opening it for this one command.

A stopped garden's journal is opened under the garden's lock, in a node of its own that has nothing but the journal; the
methods that answer are the same.
"""

import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import msgspec

from planaria.cli import output
from planaria.cli.client import Client
from planaria.cli.errors import NO_ANSWER, NO_GARDEN, NOT_RUNNING, REFUSED, RUNNING, CliError
from planaria.config.errors import SettingsError
from planaria.config.lock import GardenInUse, GardenLock, PrivateFolderError, find_holder
from planaria.config.settings import Settings, load_settings


def ignore(event: Any) -> None:
    """For those who show no progress."""


class Door(Protocol):
    """Asks methods of the control protocol; see `Client.ask`."""

    def ask(self, method: str, on_event: Callable[[Any], None] = ignore, **params: Any) -> Any:
        """One request: its events as they come, then its result.

        Raises:
            CliError: refused, or no answer.
        """
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def open_door(garden: Path) -> Door:
    """The running node's journal, else the stopped garden's."""
    try:
        return _Running(garden)
    except CliError as error:
        if error.exit_code != NOT_RUNNING:
            raise
    return _Stopped(garden)


class _Running:
    """Through the control socket."""

    def __init__(self, garden: Path) -> None:
        self._client = Client(garden)

    def ask(self, method: str, on_event: Callable[[Any], None] = ignore, **params: Any) -> Any:
        return output.each(self._client.follow(method, **params), on_event)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()


class _Stopped:
    """In this program."""

    def __init__(self, garden: Path) -> None:
        from planaria.cortex.redact import Redactor
        from planaria.cortex.upkeep.alone import journal_alone
        from planaria.nerve.methods import METHODS, Services
        from planaria.otp import Node, StartFailed, root_cause
        from planaria.otp.blocking_node import BlockingNode

        self._methods = METHODS
        self._lock = lock_garden(garden)
        try:
            settings = settings_of(garden)
            redactor = Redactor(os.environ, settings.secret_variables())
            self._services = Services(garden=garden, settings=settings, stop=lambda: None, redactor=redactor)
            self._node = BlockingNode(Node(settings.node.name)).__enter__()
            try:
                self._node.start(journal_alone(settings, garden, os.environ, redactor))
            except StartFailed as error:
                self._node.__exit__(None, None, None)
                cause = root_cause(error.reason)
                what = getattr(cause, "problem", str(cause))
                raise CliError(REFUSED, str(what), getattr(cause, "mend", ""), "unavailable") from error
        except BaseException:
            self._lock.release()
            raise

    def ask(self, method: str, on_event: Callable[[Any], None] = ignore, **params: Any) -> Any:
        from planaria.nerve.control import bad_parameters, no_answer, to_json
        from planaria.nerve.methods import Channel
        from planaria.nerve.protocol import ControlError
        from planaria.otp import CallError

        found = self._methods[method]
        given = {name: value for name, value in params.items() if value is not None}
        channel = Channel(lambda event: on_event(msgspec.json.decode(to_json(event))))

        async def perform() -> Any:
            try:
                result = await found.function(msgspec.convert(given, found.params), self._services, channel)
                return msgspec.json.decode(to_json(result))
            except msgspec.ValidationError as error:
                return bad_parameters(method, found.params, error)
            except ControlError as error:
                return error.fault
            except CallError as error:
                return no_answer(error)

        answer = self._node.run(perform)
        if isinstance(answer, msgspec.Struct):
            code, message, mend = answer.code, answer.message, answer.mend  # type: ignore[attr-defined]
            raise CliError(NO_ANSWER if code == "timeout" else REFUSED, message, mend, code)
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._node.__exit__(kind, error, trace)
        finally:
            self._lock.release()


def run_alone[R](work: Callable[[], Awaitable[R]]) -> R:
    """What an async function gives that needs no process but its own."""
    from planaria.otp import Node
    from planaria.otp.blocking_node import BlockingNode

    with BlockingNode(Node("garden")) as node:
        return node.run(work)


def lock_garden(garden: Path) -> GardenLock:
    """Keep a node from starting meanwhile.

    Raises:
        CliError: one runs, or the folder cannot be used.
    """
    try:
        return GardenLock(garden, since=time.time())
    except GardenInUse as error:
        what = f"the garden {garden} is in use by process {error.pid}"
        raise CliError(
            RUNNING, what, "end it with `planaria stop`, or wait until it is done", "running"
        ) from error
    except PrivateFolderError as error:
        raise CliError(NO_GARDEN, str(error)) from error


def settings_of(garden: Path) -> Settings:
    """The garden's settings; a `CliError` if they cannot be used."""
    try:
        return load_settings(garden)
    except SettingsError as error:
        raise CliError(NO_GARDEN, str(error), code="settings") from error


def need_stopped(garden: Path, what: str) -> None:
    """For what replaces or adds to the past: nobody may have it in memory.

    Raises:
        CliError: a node runs.
    """
    if holder := find_holder(garden):
        mend = "end it with `planaria stop` first, and start it again afterwards"
        raise CliError(RUNNING, f"{what} while process {holder.pid} runs the garden", mend, "running")


def journal_file(garden: Path) -> Path:
    """The journal's file.

    Raises:
        CliError: the journal is no file.
    """
    journal = settings_of(garden).journal
    if journal.database or journal.database_env:
        mend = "PostgreSQL gives back room by itself (autovacuum), or with VACUUM FULL"
        raise CliError(REFUSED, "this garden's journal is in a PostgreSQL database", mend, "refused")
    return journal.file(garden)
