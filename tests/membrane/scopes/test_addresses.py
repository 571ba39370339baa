"""Which addresses are public, and which nobody may name: where machines are given credentials."""

import ipaddress

import pytest

from planaria.membrane.scopes.addresses import is_forbidden, is_public


@pytest.mark.parametrize(
    "text",
    [
        *("169.254.169.254", "169.254.170.23", "100.100.100.200", "192.0.0.192", "168.63.129.16"),
        *("::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::", "::ffff:168.63.129.16"),
        *("fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254", "fe80::a9fe:a9fe", "0.0.0.0", "::", "224.0.0.1"),
    ],
)
def test_where_credentials_are_given_out_nobody_leads_to(text: str):
    address = ipaddress.ip_address(text)
    assert is_forbidden(address) and not is_public(address)


@pytest.mark.parametrize(
    ("text", "public"),
    [
        *(("93.184.215.14", True), ("168.63.129.17", True), ("2606:2800:21f:cb07::1", True)),
        *(("10.0.0.1", False), ("100.64.0.1", False), ("127.1.2.3", False), ("fd12::1", False)),
        *(("::127.0.0.1", False), ("64:ff9b::7f00:1", False), ("64:ff9b:1::1", False), ("fec0::1", False)),
    ],
)
def test_what_is_public(text: str, public: bool):
    address = ipaddress.ip_address(text)
    assert is_public(address) is public and not is_forbidden(address)
