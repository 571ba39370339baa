"""Scopes that are hosts: `example.org`, `*.example.org`, `*`, `10.1.0.0/16`, each with `:port` if wanted.

- Without a port 80 and 443 are meant; `:8443` names another, `:*` all.
- `*.example.org` covers every name below `example.org` and not itself.
- `*` covers public hosts. Those of this machine and its network must be named: `localhost:8080`, `*.lan`,
  `10.1.0.0/16`. What a name leads to is checked again where the connection is made (`membrane/web/outbound.py`).
- Names in other scripts are compared in their ASCII form (IDNA 2008, as the connection uses it).
"""

import ipaddress
import re
import socket
from dataclasses import dataclass

import idna

from planaria.membrane.scopes.addresses import Address, is_public
from planaria.membrane.scopes.scope import Place, ScopeError, Unreadable

STANDARD = frozenset({80, 443})
_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_HOST = re.compile(r"[a-z0-9_](?:[a-z0-9._-]*[a-z0-9_-])?\Z", re.ASCII)
_NUMBERS = re.compile(r"(?:0x[0-9a-f]*|\d+)(?:\.(?:0x[0-9a-f]*|\d+)){0,3}\.?\Z", re.ASCII)
_URL = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<place>[^/?#]*)(?P<rest>[/?#].*)?\Z", re.ASCII | re.IGNORECASE
)
_PRIVATE = (
    "localhost",
    "local",
    "internal",
    "intranet",
    "lan",
    "home",
    "corp",
    "home.arpa",
    "test",
    "invalid",
)
"""Last parts of names that the internet does not know."""


@dataclass(frozen=True, slots=True)
class Host:
    """A host and port as they are connected to: its name in ASCII, or its address."""

    name: str
    port: int
    address: Address | None = None

    @property
    def public(self) -> bool:
        """Whether it is on the internet, as far as its name tells."""
        if self.address is not None:
            return is_public(self.address)
        return "." in self.name and not any(
            self.name == last or self.name.endswith(f".{last}") for last in _PRIVATE
        )


@dataclass(frozen=True, slots=True)
class HostScope:
    """Hosts by a pattern. `port` None: the standard ones; 0: all."""

    text: str
    name: str
    port: int | None
    network: ipaddress.IPv4Network | ipaddress.IPv6Network | None = None

    @property
    def everything(self) -> bool:
        """See `Scope`."""
        return self.name == "*" and self.port == 0

    def covers(self, what: Host) -> bool:
        """See `Scope`."""
        if self.port != 0 and (what.port not in STANDARD if self.port is None else what.port != self.port):
            return False
        return self._is_host(what)

    def concerns(self, what: Host) -> bool:
        """See `Scope`; without a port all are meant."""
        return self.covers(what) or (self.port is None and (self.name == "*" or self._is_host(what)))

    def _is_host(self, what: Host) -> bool:
        if self.network is not None:
            return what.address is not None and what.address in self.network
        if self.name == "*":
            return what.public
        if what.address is not None:
            return False
        return what.name.endswith(self.name[1:]) if self.name.startswith("*.") else what.name == self.name


def host_scope(text: str) -> HostScope:
    """A scope from its text.

    Raises:
        ScopeError: it is none.
    """
    mend = "write a host such as 'example.org', '*.example.org' or 'localhost:8080'"
    if "://" in text or "/" in text.partition("/")[2] or "@" in text:
        raise ScopeError(f"{text!r} is no host; {mend}, without scheme and path")
    host, port = _port_of(text)
    if (
        port is not None
        and port != "*"
        and not (port.isdecimal() and port.isascii() and 0 < int(port) < 65536)
    ):
        raise ScopeError(f"{text!r} has no such port; write a number up to 65535, or *")
    number = None if port is None else 0 if port == "*" else int(port)
    if host == "*":
        return HostScope(text, "*", number)
    if "/" in host or host.startswith("["):
        try:
            return HostScope(text, host, number, ipaddress.ip_network(host.strip("[]")))
        except ValueError as error:
            raise ScopeError(f"{text!r} is no network: {error}") from error
    try:
        name, address = _named(host.removeprefix("*."))
    except Unreadable as error:
        raise ScopeError(f"{error}; {mend}") from error
    if address is not None:
        if host.startswith("*."):
            raise ScopeError(
                f"{text!r}: an address has no names below it; write a network such as '10.1.0.0/16'"
            )
        return HostScope(text, name, number, ipaddress.ip_network(str(address)))
    return HostScope(text, f"*.{name}" if host.startswith("*.") else name, number)


def host_text(what: Host) -> str:
    """The text of the scope that covers this host."""
    name = f"[{what.name}]" if what.address is not None and what.address.version == 6 else what.name
    return name if what.port in STANDARD else f"{name}:{what.port}"


def read_host(what: object, place: Place) -> Host:
    """The host of a URL, or of `host:port`.

    Raises:
        Unreadable: two programs might read it differently, or it names no host.
    """
    if not isinstance(what, str) or not what or not what.isprintable() or re.search(r"[\s\\]", what):
        raise Unreadable(f"{what!r} is no address on the network")
    found = _URL.match(what)
    text, standard = (found["place"], _PORTS.get(found["scheme"].lower())) if found else (what, 443)
    if "@" in text or "%" in text or (not found and re.search(r"[/?#]", text)):
        raise Unreadable(
            f"{what!r} names its host in no plain way; leave out users, passwords and signs such as %"
        )
    host, port = _port_of(text)
    number = standard if port is None else _number(port)
    if number is None or not 0 < number < 65536:
        raise Unreadable(f"{what!r} names no port, and its scheme has none of its own")
    name, address = _named(host)
    return Host(name, number, address)


def _port_of(text: str) -> tuple[str, str | None]:
    """Host and port of `host`, `host:port`, `[v6]:port`."""
    if text.startswith("["):
        host, end, rest = text.partition("]")
        return host + end, rest[1:] if rest.startswith(":") else rest or None
    host, colon, port = text.rpartition(":")
    return (host, port) if colon else (text, None)


def _number(port: str) -> int | None:
    return int(port) if port.isdecimal() and port.isascii() and len(port) <= 5 else None


def _named(host: str) -> tuple[str, Address | None]:
    """The one form of a host: its ASCII name, and its address if it is one."""
    if host.startswith("[") and host.endswith("]"):
        try:
            found = ipaddress.IPv6Address(host[1:-1])
        except ValueError as error:
            raise Unreadable(f"{host!r} is no address: {error}") from error
        if found.scope_id is not None:
            raise Unreadable(f"{host!r} names an interface of this machine")
        address: Address = found.ipv4_mapped or found
        return str(address), address
    small = host.lower().removesuffix(".")
    if not small.isascii():
        try:
            small = idna.encode(small).decode("ascii")  # also 127。0。0。1, which is an address then
        except idna.IDNAError as error:
            raise Unreadable(f"{host!r} is no name of a host: {error}") from error
    if _NUMBERS.match(small):  # also 2130706433 and 0x7f.1, which the system takes for 127.0.0.1
        try:
            number = ipaddress.IPv4Address(socket.inet_aton(small))
        except OSError as error:
            raise Unreadable(f"{host!r} is no address") from error
        return str(number), number
    if len(small) > 253 or not _HOST.match(small) or ".." in small:
        raise Unreadable(f"{host!r} is no name of a host")
    return small, None
