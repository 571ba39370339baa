"""What PostgreSQL, its driver and the network can say, as the journal's errors. No password is in any of them."""

import asyncpg

from planaria.cortex.errors import (
    StoreBusy,
    StoreDamaged,
    StoreError,
    StoreFailed,
    StoreFull,
    StoreReadOnly,
)

DRIVER_FAULTS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
"""All that a call of the driver raises; `TimeoutError` and faults of TLS are `OSError`s."""


class ConnectionLost(StoreFailed):
    """A connection ended in the middle of its use; the next one may be well."""


_RESTORE = "restore it from a backup: planaria journal restore FILE --force"
_START = "start PostgreSQL or mend the network"

# By SQLSTATE, or its class of two characters: which error, what is wrong with the database, the mend.
_BY_STATE: dict[str, tuple[type[StoreError], str, str]] = {
    "53100": (StoreFull, "has no room left on its disk", "free some"),
    "53200": (StoreFailed, "is out of memory", "see the server's log"),
    "53300": (
        StoreBusy,
        "has no connection left",
        "raise max_connections there, or end some who are connected",
    ),
    "53400": (StoreFailed, "has met a limit of its configuration", "see the server's log"),
    "22P05": (
        StoreFailed,
        "has an encoding without some of these characters",
        "make it with ENCODING 'UTF8'",
    ),
    "25006": (StoreReadOnly, "can only be read", "connect to the server that takes writes"),
    "28P01": (StoreFailed, "refuses the user or the password", "set PGPASSWORD, or mend the address"),
    "28000": (StoreFailed, "refuses the user", "see pg_hba.conf there, or mend the address"),
    "3D000": (StoreFailed, "does not exist", "create it: createdb NAME"),
    "42501": (
        StoreFailed,
        "does not let this user do that",
        "give it the right: GRANT CREATE ON DATABASE, or the schema planaria",
    ),
    "57P03": (StoreFailed, "starts or stops just now", "wait until it is up"),
    "57P01": (ConnectionLost, "was stopped", _START),
    "57P02": (ConnectionLost, "was stopped", _START),
    "57P05": (ConnectionLost, "ended a connection that did nothing", "the next try makes a new one"),
    "57014": (StoreBusy, "took too long", "see what else it does: SELECT * FROM pg_stat_activity"),
    "55P03": (StoreBusy, "is held by another", "see who: SELECT * FROM pg_locks WHERE NOT granted"),
    "25P03": (StoreFailed, "ended a transaction that did nothing", "the next try makes a new one"),
    "58030": (StoreFailed, "cannot use its disk", "see the server's log and its disk"),
    "XX001": (StoreDamaged, "is damaged", "restore it from a backup"),
    "XX002": (StoreDamaged, "has a damaged index", "rebuild it: REINDEX DATABASE"),
    "40": (StoreBusy, "had to give way to another", "it is tried again"),
    "42": (
        StoreDamaged,
        "has not the tables of a journal",
        _RESTORE,
    ),
    "3F": (
        StoreDamaged,
        "has not the tables of a journal",
        _RESTORE,
    ),
    "53": (StoreFailed, "lacks resources", "see the server's log"),
}


def from_driver(error: BaseException, shown: str) -> StoreError:
    """The store's error for one of `DRIVER_FAULTS`.

    Args:
        shown: the address of the database without its password.
    """
    match error:
        case asyncpg.PostgresError():
            return _from_server(error, shown)
        case TimeoutError():
            return StoreFailed(f"{shown} does not answer", f"see the server and the network; {_START}")
        case ConnectionRefusedError():
            return StoreFailed(f"{shown} takes no connections", _START)
        case ConnectionError():
            return ConnectionLost(f"the connection to {shown} was lost", _START)
        case OSError():
            what = error.strerror or type(error).__name__
            return StoreFailed(f"{shown} cannot be reached: {what}", "mend the address, or the network")
        case asyncpg.ClientConfigurationError():
            mend = "mend the address, or the variables PGSSLMODE, PGSSLROOTCERT and the like"
            return StoreFailed(f"{shown} cannot be connected to in this way: {error}", mend)
        case _:
            return ConnectionLost(f"the connection to {shown} was lost", _START)


def _from_server(error: asyncpg.PostgresError, shown: str) -> StoreError:
    state: str = getattr(error, "sqlstate", None) or ""
    if state.startswith("08"):
        return ConnectionLost(f"the connection to {shown} was lost", _START)
    found = _BY_STATE.get(state) or _BY_STATE.get(state[:2])
    said = getattr(error, "message", None) or str(error) or type(error).__name__
    if found is None:
        return StoreFailed(f"{shown} said {said!r} ({state})", "see the server's log")
    kind, problem, mend = found
    return kind(f"{shown} {problem} ({said})", mend)
