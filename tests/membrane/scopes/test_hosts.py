import pytest
from hypothesis import given
from hypothesis import strategies as st

from planaria.membrane.scopes.hosts import host_scope, host_text, read_host
from planaria.membrane.scopes.scope import Place, ScopeError, Unreadable

HERE = Place.__new__(Place)


def covers(scope: str, url: str) -> bool:
    try:
        return host_scope(scope).covers(read_host(url, HERE))
    except Unreadable:
        return False


@pytest.mark.parametrize(
    ("scope", "url", "covered"),
    [
        ("example.org", "https://example.org/a?b#c", True),
        ("example.org", "https://EXAMPLE.org./", True),
        ("example.org", "http://example.org:80/", True),
        ("example.org", "https://example.org:8443/", False),
        ("example.org:8443", "https://example.org:8443/", True),
        ("example.org:8443", "https://example.org/", False),
        ("example.org:*", "https://example.org:8443/", True),
        ("example.org", "https://www.example.org/", False),
        ("*.example.org", "https://a.b.example.org/", True),
        ("*.example.org", "https://example.org/", False),
        ("*.example.org", "https://badexample.org/", False),
        ("example.org", "https://example.org.evil.net/", False),
        ("example.org", "https://example.org@evil.net/", False),
        ("example.org", "https://evil.net\\@example.org/", False),
        ("example.org", "https://evil.net#@example.org/", False),
        ("example.org", "https://evil.net/example.org", False),
        ("example.org", "https://example.org%2eevil.net/", False),
        ("example.org", "https:// example.org/", False),
        ("example.org", "https://example.org:443:80/", False),
        ("example.org", "//example.org/", False),
        ("example.org", "example.org", True),
        ("example.org", "example.org:80", True),
        ("example.org", "gopher://example.org/", False),
        ("example.org", "gopher://example.org:80/", True),
        ("bücher.de", "https://xn--bcher-kva.de/", True),
        ("xn--bcher-kva.de", "https://BÜCHER.de/", True),
        ("strasse.de", "https://straße.de/", False),
        ("example.org", "https://еxample.org/", False),  # a Cyrillic letter
        ("*", "https://example.org/", True),
        ("*", "https://8.8.8.8/", True),
        ("*", "https://example.org:8443/", False),
        ("*:*", "https://example.org:8443/", True),
        *((scope, url, False) for scope in ("*", "*:*") for url in (
            "http://localhost/", "http://127.0.0.1/", "http://2130706433/", "http://0x7f.1/", "http://127.1/",
            "http://0177.0.0.1/", "http://[::1]/", "http://[::ffff:127.0.0.1]/", "http://10.0.0.7/",
            "http://169.254.169.254/latest/meta-data", "http://[fe80::1]/", "http://router/", "http://printer.local/",
            "http://db.internal/", "http://LOCALHOST./", "http://a.localhost/", "http://0/", "http://[64:ff9b::7f00:1]/",
            "http://127。0。0。1/", "http://192。168.1.5/",
        )),
        ("localhost:8080", "http://localhost:8080/", True),
        ("127.0.0.1", "http://2130706433/", True),
        ("10.1.0.0/16", "http://10.1.2.3/", True),
        ("10.1.0.0/16", "http://10.2.2.3/", False),
        ("10.1.0.0/16:9000", "http://10.1.2.3:9000/", True),
        ("[2001:db8::/32]", "https://[2001:db8::7]/", True),
        ("[2001:db8::1]:8080", "https://[2001:DB8::1]:8080/", True),
        ("*.lan", "http://nas.lan/", True),
        ("127.0.0.1", "http://localhost/", False),
    ],
)  # fmt: skip
def test_a_scope_covers_what_it_says(scope: str, url: str, covered: bool) -> None:
    assert covers(scope, url) is covered


@given(st.text(alphabet="exampl.org:/@#?%\\[]0178*ü \n", max_size=40))
def test_no_url_is_covered_whose_host_is_another(text: str) -> None:
    for url in (text, f"https://{text}", f"https://example.org{text}"):
        if covers("example.org", url):
            place = url.partition("://")[2] or url
            for end in "/?#":
                place = place.partition(end)[0]
            assert (
                place.lower().rstrip(".").removesuffix(":443").removesuffix(":80").rstrip(".:")
                == "example.org"
            )


@pytest.mark.parametrize(
    "url", ["https://example.org/", "http://[::1]:9/", "http://10.0.0.1/", "https://ü.de:99/"]
)
def test_the_exact_scope_of_a_host_covers_it(url: str) -> None:
    what = read_host(url, HERE)
    assert host_scope(host_text(what)).covers(what)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "https://example.org",
        "a b",
        "example.org/path",
        "u@example.org",
        "*.127.0.0.1",
        "a:0",
        "a:x",
        "a..b",
    ],
)
def test_what_is_no_host_is_refused_with_a_mend(text: str) -> None:
    with pytest.raises(ScopeError):
        host_scope(text)
