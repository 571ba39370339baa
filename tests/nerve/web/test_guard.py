"""Which requests reach the dashboard at all."""

import pytest
from starlette.datastructures import Headers

from planaria.nerve.web.guard import LOOPBACK, refuse

PORT = 4747


def verdict(method: str = "GET", **headers: str) -> str | None:
    given = {"host": f"127.0.0.1:{PORT}"} | {name.replace("_", "-"): value for name, value in headers.items()}
    return refuse(method, Headers(given), LOOPBACK, PORT)


@pytest.mark.parametrize("host", ["127.0.0.1:4747", "localhost:4747", "LOCALHOST:4747", "[::1]:4747"])
def test_loopback_names_are_answered(host):
    assert verdict(host=host) is None


@pytest.mark.parametrize(
    "host",
    [
        "evil.example:4747",
        "127.0.0.1.evil.example:4747",
        "127.0.0.1",
        "127.0.0.1:80",
        "127.0.0.1:4747:4747",
        "127.0.0.1:47²7",
        "localhost.:4747",
        "@127.0.0.1:4747",
        "127.0.0.1:4747@evil.example",
        "",
    ],
)
def test_any_other_host_is_refused(host):
    assert verdict(host=host) is not None


def test_the_refusal_says_where_the_dashboard_is():
    assert "http://127.0.0.1:4747/" in str(verdict(host="evil.example"))


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_our_own_pages_may_change_things(method):
    assert verdict(method, origin="http://127.0.0.1:4747") is None


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "http://127.0.0.1:9999",
        "http://localhost:4747",
        "http://127.0.0.1:4747.evil.example",
        "null",
        "",
    ],
)
def test_other_origins_may_not_change_things(origin):
    assert verdict("POST", origin=origin) is not None


def test_a_change_without_origin_is_refused():
    assert verdict("POST") is not None


def test_a_browser_that_says_same_origin_instead_is_believed():
    assert verdict("POST", sec_fetch_site="same-origin") is None
    assert verdict("POST", origin="null", sec_fetch_site="same-origin") is None
    assert verdict("POST", origin="null", sec_fetch_site="cross-site") is not None
    assert verdict("POST", sec_fetch_site="same-site") is not None
    assert verdict("POST", origin="http://evil.example", sec_fetch_site="same-origin") is not None


def test_looking_needs_no_origin():
    assert verdict("GET") is None
    assert verdict("HEAD") is None
