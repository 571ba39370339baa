"""Reads the journal of a garden that no node runs. A node of its own is started for it, with the journal alone."""

import os
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from planaria.cli.errors import NOT_RUNNING, REFUSED, CliError
from planaria.config.settings import load_settings
from planaria.cortex.errors import JournalUnavailable
from planaria.cortex.event import Event
from planaria.cortex.journal import Journal, JournalOptions
from planaria.cortex.query import Query
from planaria.cortex.redact import Redactor
from planaria.cortex.stores.sqlite import SqliteStore
from planaria.otp import Node, StartFailed, child, root_cause, supervisor
from planaria.otp.program import Program

type Read = Callable[[Query], Awaitable[list[Event]]]


def read_stopped[T](garden: Path, work: Callable[[Read], Awaitable[T]]) -> T:
    """What `work` makes of the journal.

    Raises:
        CliError: there is no journal yet, or it cannot be read.
    """
    settings = load_settings(garden)
    file = settings.journal.file(garden)
    if not file.exists():
        mend = f"start it with `planaria up --garden {garden}`"
        raise CliError(NOT_RUNNING, f"the garden {garden} has no journal yet", mend, "not_running")
    outcome: list[T] = []
    faults: list[Exception] = []

    async def ready(node: Node) -> None:
        journal = node["journal"]

        async def read(query: Query) -> list[Event]:
            return await Journal.read(journal, query, within=60.0)

        try:
            outcome.append(await work(read))
        except (JournalUnavailable, LookupError) as error:
            faults.append(error)
        program.stop()

    redactor = Redactor(os.environ, settings.secret_variables())
    store = partial(SqliteStore, file)
    root = supervisor(child(Journal, store, JournalOptions(), redactor, name="journal"), name="reader")
    said: list[str] = []
    program = Program(Node("reader"), root, ready, said.append, around=None)
    try:
        program.run()
    except StartFailed as error:
        raise CliError(REFUSED, f"the journal cannot be opened: {root_cause(error.reason)}") from error
    if faults:
        fault = faults[0]
        if isinstance(fault, JournalUnavailable):
            raise CliError(REFUSED, fault.cause, fault.mend, "unavailable") from fault
        raise fault
    if not outcome:
        raise CliError(REFUSED, f"the journal could not be read: {'; '.join(said)}")
    return outcome[0]
