import pytest

from planaria.membrane.errors import BadAddress
from planaria.membrane.wire.address import is_private, parse_address


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://api.openai.com/v1", "https://api.openai.com/v1"),
        ("https://api.openai.com:443/v1/", "https://api.openai.com/v1"),
        ("http://127.0.0.1:11434/v1", "http://127.0.0.1:11434/v1"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("http://ollama:11434/v1", "http://ollama:11434/v1"),
        ("http://box.lan/v1", "http://box.lan/v1"),
        ("https://bücher.example/v1", "https://xn--bcher-kva.example/v1"),
    ],
)
def test_a_base_url_is_taken_apart(url, shown):
    assert str(parse_address(url)) == shown


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "::1", "10.1.2.3", "192.168.0.9", "172.16.0.1", "100.64.0.1", "fd00::1"]
)
def test_private_networks_are_private(host):
    assert is_private(host)


@pytest.mark.parametrize(
    "host", ["8.8.8.8", "api.openai.com", "169.254.169.254", "2001:4860::8888", "172.32.0.1"]
)
def test_the_rest_of_the_world_is_not(host):
    assert not is_private(host)


def test_plain_http_to_a_public_host_is_refused():
    with pytest.raises(BadAddress, match="unencrypted"):
        parse_address("http://api.example.org/v1")


def test_plain_http_can_be_allowed_in_words():
    assert not parse_address("http://api.example.org/v1", allow_http=True).secure


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.openai.com/v1",
        "ftp://x/y",
        "https://",
        "https://host:port/v1",
        "https://h/v1?k=1",
        "https://h/a\r\nb c",
    ],
)
def test_what_is_no_address_is_refused(url):
    with pytest.raises(BadAddress):
        parse_address(url)


def test_a_password_in_a_url_is_refused_and_not_repeated():
    for url in ("https://me:hunter2@host/v1", "https://me:hunter2@host:port/v1", "ftp://me:hunter2@host/v1"):
        with pytest.raises(BadAddress) as caught:
            parse_address(url)
        assert "hunter2" not in str(caught.value)
