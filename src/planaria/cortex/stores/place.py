"""Where a garden's journal is kept, from its settings to a store: a file, or a PostgreSQL database; and the key to it.

The store of a database is imported here and only when one is named, as it needs the extra `postgres`.
"""

import importlib
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from planaria.config.database import check_address, servers_of, shown_address
from planaria.config.errors import SettingsError
from planaria.config.lock import private_folder
from planaria.config.settings import FILE_NAME, JournalSettings
from planaria.cortex.codec.seal import MasterKey, load_master_key
from planaria.cortex.store import EventStore
from planaria.cortex.stores.sqlite.store import SqliteStore

KEY_FILE = "journal.key"
"""Where the master key is, in the garden's private folder."""
_STORE = "planaria.cortex.stores.postgres.store"


class JournalPlace:
    """Makes stores of one journal. Calling it gives a new one, for the `Journal`.

    Attributes:
        shown: the file or the database as a person may see it.
        servers: hosts and ports of the database.
        is_database: whether it is a PostgreSQL database.
        holder: who holds the node's name there. A file is locked with its garden, so there it is one for all.
    """

    def __init__(self, settings: JournalSettings, garden: Path, environ: Mapping[str, str]) -> None:
        """Look where it is.

        Raises:
            SettingsError: a variable is not set or holds no address, or the extra is not installed.
        """
        address = _address(settings, garden, environ)
        self._path = settings.file(garden)
        self._address = address
        self._module: Any = None
        self._last: Any = None
        self.is_database = address is not None
        self.servers = [] if address is None else servers_of(address)
        if address is None:
            self.shown = str(self._path)
            self.holder = "the garden"
            return
        self.shown = shown_address(address)
        self.holder = f"{socket.gethostname()}:{garden}#{garden.stat().st_ino}"
        try:
            self._module = importlib.import_module(_STORE)
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] != "asyncpg":
                raise
            mend = "install it: pip install 'planaria[postgres]'"
            problem = f"the journal is to be in {self.shown}, and the driver asyncpg is not installed"
            raise SettingsError(garden / FILE_NAME, problem, mend, key="journal.database") from error

    def __call__(self) -> EventStore:
        """A new store, not open. The connections of the one before are ended, should its journal have been killed."""
        if self._address is None:
            sqlite = self._last = SqliteStore(self._path, after=self._last)
            return sqlite
        store = self._last = self._module.PostgresStore(self._address, after=self._last)
        found: EventStore = store
        return found

    def __repr__(self) -> str:
        return f"<JournalPlace {self.shown}>"


def master_key(garden: Path) -> MasterKey:
    """The key that opens the keys of persons; it lies in the garden's private folder, and is made there.

    Raises:
        SealError: its file cannot be used.
        PrivateFolderError: so the folder.
    """
    return load_master_key(private_folder(garden) / KEY_FILE)


def _address(settings: JournalSettings, garden: Path, environ: Mapping[str, str]) -> str | None:
    name = settings.database_env
    if name is None:
        return settings.database
    address = environ.get(name)
    if not address:
        mend = f"set it to an address such as postgresql://user:password@host/database, or mend {FILE_NAME}"
        problem = f"the variable {name}, which is to have the address of the journal's database, is not set"
        raise SettingsError(garden / FILE_NAME, problem, mend, key="journal.database_env")
    fault = check_address(address, password=True)
    if fault is not None:
        problem = f"what the variable {name} has {fault.problem}"
        raise SettingsError(garden / FILE_NAME, problem, fault.mend, key="journal.database_env")
    return address
