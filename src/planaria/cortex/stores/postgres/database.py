"""Connections to one database: one that writes and listens, a few that read, each renewed after a fault.

Every fault of driver and network leaves as a `StoreError`, and nothing waits longer than its limit, whatever the
server does. The writing connection also listens: the server then hands a commit's own notification back with its
answer and need not wake another.

The server may go on with what it was told over a connection that was lost or given up. So a new writing connection
first sees to it that the one before has ended there: a commit is written before all that are told later, or never.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import asyncpg

from planaria.config.database import shown_address
from planaria.cortex.errors import StoreBusy, StoreFailed
from planaria.cortex.stores.postgres.faults import DRIVER_FAULTS, ConnectionLost, from_driver
from planaria.otp import timeout

CHANNEL = "planaria"
LOCK = 0x506C616E
"""The first key of our advisory locks; the second is 0 for a commit, 1 for migrations."""

DURABLE = """
SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'
"""
"""Acknowledged means on disk, whatever the server does for others."""
_SELF = "SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()"
_END = "SELECT pg_terminate_backend(pid, $3) FROM pg_stat_activity WHERE pid = $1 AND backend_start = $2"
_END_WITHIN = 5.0
"""Seconds the server may take to end an earlier connection."""

type Connection = Any
"""An asyncpg connection; asyncpg has no types."""


class Database:
    """The database at an address.

    Args:
        address: `postgresql://...`; the driver takes what it lacks from PGPASSWORD, PGUSER and the like.
        connect_within: seconds a new connection may take.
        answer_within: seconds the server may take for one use of a connection.
        readers: most connections that read at a time; more wait.
    """

    def __init__(
        self, address: str, *, connect_within: float = 5.0, answer_within: float = 15.0, readers: int = 4
    ) -> None:
        self.shown = shown_address(address)
        self.losses = 0  # of writing connections; what was remembered with an older one may be wrong
        self._address = address
        self._connect_within = connect_within
        self.answer_within = answer_within
        self._most_readers = readers
        self._writer: Connection | None = None
        self._serving: tuple[int, datetime] | None = None  # the server's process for it, and since when
        self._former: set[tuple[int, datetime]] = set()  # those that may still be at work for earlier ones
        self._readers: Any = None
        self._notice: Callable[[], None] | None = None
        self._open = False

    def follow(self, earlier: "Database") -> None:
        """Write nothing before what was told through this one, closed now, is over."""
        self._former |= earlier._former

    async def open(self) -> None:
        """Allow connections; none is made yet."""
        self._open = True
        self._readers = await asyncpg.create_pool(
            self._address,
            min_size=0,
            max_size=self._most_readers,
            max_inactive_connection_lifetime=60.0,
            reset=_nothing,  # these connections keep no state that the next user could see
            **self._settings(),
        )

    def close(self) -> None:
        """End all connections at once; what was under way fails."""
        self._open = False
        self._drop_writer()
        readers, self._readers = self._readers, None
        if readers is not None:
            readers.terminate()

    def listen(self, notice: Callable[[], None]) -> None:
        """Call `notice` in the event loop when others may have committed, and when listening broke off."""
        self._notice = notice

    async def keep_listening(self) -> None:
        """See that there is a writing connection, which is the one that listens.

        Raises:
            StoreError: there cannot be one now.
        """
        async with self.writing():
            pass

    @asynccontextmanager
    async def writing(self, within: float | None = None) -> AsyncGenerator[Connection]:
        """The connection that writes. One user at a time; after any fault it is given up.

        Raises:
            StoreError: for whatever goes wrong inside.
        """
        connection = None
        sound = False
        try:
            async with timeout(within or self.answer_within):
                connection = await self._writer_now()
                yield connection
            sound = True
        except DRIVER_FAULTS as error:
            raise from_driver(error, self.shown) from error
        finally:
            if not sound and connection is self._writer:
                self._drop_writer()

    async def read[R](self, work: Callable[[Connection], Awaitable[R]]) -> R:
        """Do `work`, which only reads, with a connection that reads; once more if that was lost meanwhile.

        Raises:
            StoreError: as `reading`.
        """
        try:
            async with self.reading() as connection:
                return await work(connection)
        except ConnectionLost:
            async with self.reading() as connection:
                return await work(connection)

    @asynccontextmanager
    async def reading(self, within: float | None = None) -> AsyncGenerator[Connection]:
        """One of the connections that read, and do small writes. After a fault it is given up.

        Raises:
            StoreBusy: all of them are in use for too long.
            StoreError: for whatever else goes wrong inside.
        """
        self._check_open()
        pool = self._readers
        connection = await self._take_reader(pool)
        sound = False
        try:
            async with timeout(within or self.answer_within):
                yield connection
            sound = True
        except DRIVER_FAULTS as error:
            raise from_driver(error, self.shown) from error
        finally:
            if not sound:
                _give_up(connection)
            await _release(pool, connection)

    @asynccontextmanager
    async def alone(self) -> AsyncGenerator[Connection]:
        """A connection of its own, for work that takes long; its user sees to limits of time.

        Raises:
            StoreError: for whatever goes wrong inside.
        """
        self._check_open()
        connection = None
        try:
            async with timeout(self.answer_within):
                connection = await asyncpg.connect(self._address, **self._settings())
            yield connection
        except DRIVER_FAULTS as error:
            raise from_driver(error, self.shown) from error
        finally:
            if connection is not None:
                connection.terminate()

    async def _take_reader(self, pool: Any) -> Connection:
        waiting = pool.get_idle_size() == 0 and pool.get_size() >= self._most_readers
        try:
            async with timeout(self.answer_within):
                return await pool.acquire()
        except TimeoutError as error:
            if waiting:
                mend = "ask for less at once, or try again later"
                raise StoreBusy(f"all connections that read {self.shown} are in use", mend) from error
            raise from_driver(error, self.shown) from error
        except DRIVER_FAULTS as error:
            raise from_driver(error, self.shown) from error

    async def _writer_now(self) -> Connection:
        self._check_open()
        if self._writer is None or self._writer.is_closed():
            self._drop_writer()
            connection = await asyncpg.connect(self._address, **self._settings())
            try:
                await self._end_former(connection)
                serving: tuple[int, datetime] = tuple(await connection.fetchrow(_SELF))
                await connection.execute(DURABLE)
                await connection.add_listener(CHANNEL, self._notified)
            except BaseException:
                connection.terminate()
                raise
            if self._writer is not None:  # another was faster
                connection.terminate()
                return self._writer
            if not self._open:
                connection.terminate()
                self._check_open()
            connection.add_termination_listener(self._ended)
            self._writer, self._serving = connection, serving
            if self.losses and self._notice is not None:
                self._notice()  # what was told in between has been missed
        return self._writer

    async def _end_former(self, connection: Connection) -> None:
        for pid, since in tuple(self._former):
            ended = await connection.fetchval(_END, pid, since, int(_END_WITHIN * 1000))
            if ended is False:  # None: there is none such
                problem = f"{self.shown} may still be at work on an earlier commit"
                raise StoreBusy(problem, f"see what process {pid} does there, and end it")
            self._former.discard((pid, since))

    def _check_open(self) -> None:
        if not self._open:
            raise StoreFailed(f"{self.shown} is not open", "open the store first")

    def _drop_writer(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            self.losses += 1
            writer.terminate()
        if self._serving is not None:
            self._former.add(self._serving)
            self._serving = None

    def _notified(self, connection: Connection, sender: int, channel: str, payload: str) -> None:
        if self._notice is not None and not connection.is_closed() and sender != connection.get_server_pid():
            self._notice()

    def _ended(self, connection: Connection) -> None:
        self.losses += 1
        if self._notice is not None and self._open:
            self._notice()

    def _settings(self) -> dict[str, Any]:
        # The server gives up first, while its word that nothing was written still gets through.
        milliseconds = str(int(self.answer_within * 800))
        return {
            "timeout": self._connect_within,
            "server_settings": {
                "application_name": "planaria",
                "search_path": "planaria",
                "jit": "off",
                "statement_timeout": milliseconds,
                "idle_in_transaction_session_timeout": milliseconds,
            },
        }


def _give_up(connection: Connection) -> None:
    try:
        connection.terminate()
    except asyncpg.InterfaceError:
        pass  # it was lost, and is out of the pool already


async def _release(pool: Any, connection: Connection) -> None:
    try:
        await pool.release(connection)
    except DRIVER_FAULTS:
        _give_up(connection)  # lost meanwhile; what was done with it is done


async def _nothing(connection: Connection) -> None:
    pass
