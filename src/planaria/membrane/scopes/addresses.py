"""Which addresses are on the open internet, and which belong to this machine or its network. Pure."""

import ipaddress

type Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_OPEN_V6 = ipaddress.ip_network("2000::/3")
"""All of IPv6 that is given out to the internet; outside of it lie `::127.0.0.1` and other old wrappings."""


def is_public(address: Address) -> bool:
    """Whether an address is on the open internet, with what is wrapped inside of IPv6 unwrapped."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
        if address.teredo is not None or address not in _OPEN_V6:
            return False
    return address.is_global and not address.is_multicast
