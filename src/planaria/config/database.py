"""The address of a PostgreSQL database, `postgresql://user@host/database`: whether it can work, and how it is shown.

Pure functions over text; nothing is connected. A password never stands in `planaria.toml`, and never in what
`shown_address` gives.
"""

import re
from urllib.parse import parse_qsl, urlsplit

import msgspec

EXAMPLE = "postgresql://planaria@localhost/garden"

_HOST = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[^\[\]:@/]*)(:(\d{1,5}))?")


class BadAddress(msgspec.Struct, frozen=True):
    """Why an address cannot be used; neither text shows a password."""

    problem: str
    mend: str


def check_address(address: str, *, password: bool) -> BadAddress | None:
    """What is wrong with the address of a database; None if nothing is.

    Args:
        password: whether it may have one.
    """
    mend = f'write an address such as "{EXAMPLE}"'
    try:
        parts = urlsplit(address)
    except ValueError:
        return BadAddress("is no address", mend)
    if parts.scheme not in ("postgresql", "postgres"):
        return BadAddress("does not begin with postgresql://", mend)
    user, _, hosts = parts.netloc.rpartition("@")
    query = dict(parse_qsl(parts.query))
    if not password and (":" in user or {"password", "passfile"} & query.keys()):
        mend = "leave it out and set the variable PGPASSWORD, or name a variable with the whole address: database_env"
        return BadAddress("has a password", mend)
    for host in hosts.split(","):
        found = _HOST.fullmatch(host)
        if found is None or (found[3] is not None and not 0 < int(found[3]) < 65536):
            return BadAddress("has a host or port that cannot be", mend)
    if not parts.path.strip("/") and "dbname" not in query and "database" not in query:
        return BadAddress("names no database", mend)
    return None


def servers_of(address: str) -> list[tuple[str, int]]:
    """Hosts and ports of an address that has passed `check_address`; empty for a socket of this machine's own."""
    found: list[tuple[str, int]] = []
    for host in urlsplit(address).netloc.rpartition("@")[2].split(","):
        match = _HOST.fullmatch(host)
        if match is not None and match[1]:
            found.append((match[1].strip("[]"), int(match[3] or 5432)))
    return found


def shown_address(address: str) -> str:
    """An address as a person may see it: host and database, and the user if there is one; no password, no options."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return "postgresql://?"
    user, at, hosts = parts.netloc.rpartition("@")
    query = dict(parse_qsl(parts.query))
    hosts = hosts or query.get("host", "")
    name = parts.path.strip("/") or query.get("database", query.get("dbname", ""))
    return f"postgresql://{user.partition(':')[0]}{at}{hosts if '/' not in hosts else ''}/{name}"
