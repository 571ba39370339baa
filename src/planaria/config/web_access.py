"""`[web_access]` of `planaria.toml`: which hosts of this machine's own network tools may fetch from.

[web_access]
private = ["nas.local:8080", "192.168.1.5"]

Each is one host with one port (without one: 80 and 443), written as it stands in the address that is fetched. Whoever
fetches from it needs a `net.fetch` that covers it as well.
"""

import ipaddress
import re

import msgspec

_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*", re.ASCII)
MEND = "write one host and port, such as 'nas.local:8080', '192.168.1.5' or '[fd12::1]:8080'"
STANDARD_PORTS = (80, 443)


class WebAccessSettings(msgspec.Struct, frozen=True):
    """Hosts that are not on the internet and may be fetched from, each as `host` or `host:port`."""

    private: tuple[str, ...] = ()

    def places(self) -> frozenset[tuple[str, int]]:
        """Each host in small letters (an address in its shortest form) with each of its ports.

        Raises:
            ValueError: an entry is no such thing; says what to write.
        """
        return frozenset(place for each in self.private for place in places_of(each))


def places_of(text: str) -> tuple[tuple[str, int], ...]:
    """The host and ports of one entry.

    Raises:
        ValueError: it names none, or more than one host; says what to write.
    """
    if text.startswith("["):
        host, end, rest = text[1:].partition("]")
        fits = bool(end) and (not rest or rest.startswith(":"))
        port = rest[1:] if rest else None
    else:
        host, colon, after = text.partition(":")
        fits, port = True, after if colon else None
    if not fits or (
        port is not None and not (port.isdecimal() and port.isascii() and 0 < int(port[:6]) < 65536)
    ):
        raise ValueError(MEND)
    ports = STANDARD_PORTS if port is None else (int(port),)
    return tuple((_host(host, text.startswith("[")), each) for each in ports)


def _host(text: str, bracketed: bool) -> str:
    small = text.lower().removesuffix(".")
    if bracketed or re.fullmatch(r"[0-9.]+|0x[0-9a-f.x]*", small):
        try:
            address = ipaddress.ip_address(small)
        except ValueError as error:
            raise ValueError(MEND) from error
        if address.is_link_local or address.is_unspecified or address.is_multicast:
            raise ValueError("such addresses are never fetched from: machines keep their credentials there")
        return str(address)
    if len(small) > 253 or not _NAME.fullmatch(small):
        raise ValueError(MEND)
    return small
