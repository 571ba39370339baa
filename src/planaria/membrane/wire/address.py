"""Base URLs of providers: taken apart, and refused where a key would travel in the clear.

Plain http is for this machine and private networks; anywhere else it must be allowed in words.
Does badly: a name such as `box.lan` is believed to be private; what it resolves to is not looked at.
"""

import ipaddress
from urllib.parse import urlsplit

import msgspec

from planaria.membrane.errors import BadAddress

PRIVATE_NETWORKS = tuple(
    ipaddress.ip_network(network)
    for network in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")
)
PRIVATE_ENDINGS = (".localhost", ".local", ".lan", ".internal", ".home.arpa")


class Address(msgspec.Struct, frozen=True):
    """Where a provider is reached. `path` has no slash at its end."""

    secure: bool
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """Value of the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.secure else 80) else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        """Who answers there: scheme, host, and a port that is not the usual one."""
        return f"{'https' if self.secure else 'http'}://{self.authority}"

    def __str__(self) -> str:
        return f"{self.origin}{self.path}"


def parse_address(url: str, allow_http: bool = False) -> Address:
    """Take a base URL apart.

    Raises:
        BadAddress: not http(s), no host, credentials or a query in it, or plain http to a public host.
    """
    try:
        parts = urlsplit(url.strip())
        host, port = parts.hostname, parts.port
        host = host.encode("idna").decode("ascii") if host and not host.isascii() else host
    except ValueError as error:
        raise BadAddress(f"base_url {_shown(url)} is no address: {error}") from error
    if parts.scheme not in ("http", "https") or not host:
        raise BadAddress(f"base_url {_shown(url)} is no address: write it as https://host/path")
    if parts.username or parts.password:
        raise BadAddress(
            f"base_url for {host!r} carries a password: put the key into an environment variable instead"
        )
    if parts.query or parts.fragment or any(c <= " " or c == "\x7f" for c in parts.path):
        raise BadAddress(
            f"base_url for {host!r} has a query, a fragment or blanks: write only https://host/path"
        )
    secure = parts.scheme == "https"
    if not secure and not allow_http and not is_private(host):
        raise BadAddress(
            f"base_url for {host!r} is plain http, so the key would travel unencrypted: write https, "
            "or allow http for this provider in words"
        )
    return Address(secure, host, port or (443 if secure else 80), parts.path.rstrip("/"))


def is_private(host: str) -> bool:
    """Whether a host is this machine or on a private network, by its address or its name."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        name = host.lower().rstrip(".")
        # A name without a dot is only known to the own network (a container's name, a line in /etc/hosts).
        return "." not in name or name.endswith(PRIVATE_ENDINGS)
    return address.is_loopback or any(address in network for network in PRIVATE_NETWORKS)


def _shown(url: str) -> str:
    """A URL for an error message, without what may be a password."""
    return repr(url.rsplit("@", 1)[-1].split("?", 1)[0][:100])
