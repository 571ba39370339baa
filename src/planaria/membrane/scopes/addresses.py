"""Which addresses are on the open internet, and which belong to this machine or its network. Pure."""

import ipaddress

type Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_OPEN_V6 = ipaddress.ip_network("2000::/3")
"""All of IPv6 that is given out to the internet; outside of it lie `::127.0.0.1` and other old wrappings."""


def unwrapped(address: Address) -> Address:
    """The IPv4 address that is wrapped in one of IPv6; else the address itself."""
    if not isinstance(address, ipaddress.IPv6Address):
        return address
    inner = address.ipv4_mapped or address.sixtofour
    if inner is None and address in _NAT64:
        inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address if inner is None else inner


def is_public(address: Address) -> bool:
    """Whether an address is on the open internet, with what is wrapped inside of IPv6 unwrapped."""
    address = unwrapped(address)
    if is_forbidden(address):
        return False  # some of these are global by their number, one of them for Pythons before 3.12.4 only
    if isinstance(address, ipaddress.IPv6Address) and (address.teredo is not None or address not in _OPEN_V6):
        return False
    return address.is_global and not address.is_multicast


_METADATA = tuple(
    map(
        ipaddress.ip_network,
        # Where machines in data centres ask for their own credentials, by no means all of it link-local: Alibaba,
        # Oracle, Azure (an address that is public elsewhere); all of Amazon's own services, Google.
        (
            *("169.254.0.0/16", "100.100.100.200/32", "192.0.0.192/32", "168.63.129.16/32"),
            *("fe80::/10", "fd00:ec2::/32", "fd20:ce::254/128"),
        ),
    )
)


def is_forbidden(address: Address) -> bool:
    """Whether nobody can name this address to be fetched from: where credentials are given out, and what is no host."""
    address = unwrapped(address)
    if address.is_multicast or address.is_unspecified:
        return True
    return any(address in network for network in _METADATA if network.version == address.version)
