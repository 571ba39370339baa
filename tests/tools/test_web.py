import gzip
import ipaddress
from http.server import BaseHTTPRequestHandler

import pytest

from planaria.membrane.authority import Authority
from planaria.membrane.grants import read_grants
from planaria.membrane.scopes.addresses import Address, is_public
from planaria.membrane.tool import Done
from planaria.membrane.web import outbound
from planaria.membrane.web.outbound import WebRules
from planaria.tools import _apart
from planaria.tools._worker import page_text

from .conftest import Garden, Site

PAGE = """<!doctype html><html><head><title>The  Worm</title><style>p {}</style></head><body>
<script>alert("no")</script><h1>Planaria</h1><p>It <b>regrows</b>, see <a href="/more">more</a>.</p></body></html>"""


async def test_a_page_is_read_as_markdown_and_marked_as_from_outside(garden: Garden, site: Site) -> None:
    url = site.serve("/", PAGE.encode(), content_type="text/html; charset=utf-8")
    done = await garden.done("web.fetch", url=url)
    assert done.branch == "ok"
    assert done.value["title"] == "The Worm"
    assert done.value["text"] == "# Planaria\n\nIt **regrows**, see [more](/more)."
    assert done.text is not None
    assert done.text.startswith(f'<outside-content origin="{url}">')
    assert done.text.rstrip().endswith("</outside-content>")


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("text/html; charset=iso-8859-1", "<p>Käse</p>".encode("latin-1")),
        ("text/html", '<meta charset="windows-1251"><p>Червь</p>'.encode("cp1251")),
        ("text/html", "<p>Käse – 虫</p>".encode()),
        ("text/html", "\ufeff<p>虫</p>".encode("utf-16-le")),
        ("text/html; charset=nonsense", "<p>Käse</p>".encode()),
        ("text/plain; charset=shift_jis", "虫".encode("shift_jis")),
    ],
)
async def test_the_charset_is_found(garden: Garden, site: Site, content_type: str, body: bytes) -> None:
    done = await garden.done("web.fetch", url=site.serve("/", body, content_type=content_type))
    assert done.value["text"] in ("Käse", "Червь", "Käse – 虫", "虫")


async def test_what_is_no_text_is_described_not_dumped(garden: Garden, site: Site) -> None:
    done = await garden.done("web.fetch", url=site.serve("/", b"\x89PNG\0\0" * 50, content_type="image/png"))
    assert done.value["text"] == "(This is image/png, 300 bytes; it cannot be read as text.)"


async def test_json_is_handed_on_as_it_is(garden: Garden, site: Site) -> None:
    done = await garden.done("web.fetch", url=site.serve("/", b'{"a": 1}', content_type="application/json"))
    assert done.value["text"] == '{"a": 1}'


async def test_redirects_are_followed_and_bounded(garden: Garden, site: Site) -> None:
    site.serve("/end", b"there", content_type="text/plain")
    start = site.serve("/start", b"", status=302, location="/end")
    assert (await garden.done("web.fetch", url=start)).value["url"] == site.url + "/end"
    loop = site.serve("/loop", b"", status=302, location="/loop")
    assert "redirects more than 5 times" in (await garden.failed("web.fetch", url=loop)).error


async def test_a_redirect_is_checked_like_the_first_address(garden: Garden, site: Site) -> None:
    for location in ("file:///etc/passwd", "ftp://x/", "http://user:pw@127.0.0.1/"):
        url = site.serve("/", b"", status=302, location=location)
        assert (await garden.failed("web.fetch", url=url)).retry is False


async def test_this_machine_and_its_network_are_refused_by_default(garden: Garden, site: Site) -> None:
    del garden.services[WebRules]
    port = site.url.rpartition(":")[2]
    for host in ("127.0.0.1", "localhost", "0.0.0.0", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1"):
        failed = await garden.failed("web.fetch", url=f"http://{host}:{port}/")
        said = ("not a public address", "cannot be found", "is outside of net.fetch")
        assert any(words in failed.error for words in said)
    assert site.requests == []


async def test_a_host_near_by_is_fetched_from_if_a_person_named_it_with_its_port(
    garden: Garden, site: Site
) -> None:
    site.serve("/", b"moss", content_type="text/plain")
    port = int(site.url.rpartition(":")[2])
    garden.services[WebRules] = WebRules(private=frozenset({("127.0.0.1", port)}))
    assert (await garden.done("web.fetch", url=site.url + "/")).value["text"] == "moss"
    for other in (f"http://127.0.0.1:{port + 1}/", f"http://localhost:{port}/", f"http://2130706433:{port}/"):
        assert "not a public address" in (await garden.failed("web.fetch", url=other)).error
    assert len(site.requests) == 1


async def test_what_is_named_is_for_whoever_may_fetch_from_it(garden: Garden, site: Site) -> None:
    port = int(site.url.rpartition(":")[2])
    garden.services[WebRules] = WebRules(private=frozenset({("127.0.0.1", port)}))
    garden.authority = Authority("agent:scout", ["*"])
    assert "is outside of net.fetch" in (await garden.failed("web.fetch", url=site.url + "/")).error
    assert site.requests == []


async def test_a_name_near_by_is_looked_up_once_and_never_leads_where_credentials_are(
    garden: Garden, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    leads: list[str] = []
    asked: list[str] = []

    def look_up(host: str, port: int) -> list[Address]:
        asked.append(host)
        return [ipaddress.ip_address(each) for each in leads]

    monkeypatch.setattr(outbound, "_look_up", look_up)
    site.serve("/", b"moss", content_type="text/plain")
    port = int(site.url.rpartition(":")[2])
    url = f"http://nas.local:{port}/"
    garden.services[WebRules] = WebRules(private=frozenset({("nas.local", port), ("localhost", port)}))
    garden.authority = Authority(
        "agent:scout", ["*"], read_grants({"net.fetch": [f"nas.local:{port}", f"localhost:{port}"]})[0]
    )
    for bad in ("169.254.169.254", "::ffff:169.254.169.254", "fd00:ec2::254", "100.100.100.200", "0.0.0.0"):
        leads[:] = ["192.168.1.5", bad]
        refused = (await garden.failed("web.fetch", url=url)).error
        assert f"leads to {ipaddress.ip_address(bad)}" in refused and "[web_access]" not in refused
    for here in (
        "127.0.0.1",
        "::1",
        "::ffff:127.0.0.1",
    ):  # whoever answers for the name must not lead to this machine
        leads[:] = [here]
        assert "not a public address" in (await garden.failed("web.fetch", url=url)).error
    assert site.requests == []
    asked.clear()
    leads[:] = ["127.0.0.1"]
    assert (await garden.done("web.fetch", url=f"http://localhost:{port}/")).branch == "ok"
    assert asked == ["localhost"]
    assert site.requests[0][1]["host"] == f"localhost:{port}"


@pytest.mark.parametrize(
    "address", ["169.254.169.254", "fe80::1", "fd00:ec2::254", "::ffff:a9fe:a9fe", "0.0.0.0"]
)
def test_where_credentials_are_given_out_nobody_is_led(address: str) -> None:
    there = ipaddress.ip_address(address)
    assert not outbound._may_reach("metadata.local", 80, there, WebRules(allow_private=True))
    assert not outbound._may_reach(address, 80, there, WebRules(private=frozenset({(address, 80)})))


def test_a_private_address_may_be_reached_by_the_name_that_was_given_alone() -> None:
    rules = WebRules(private=frozenset({("nas.local", 8080), ("fd12::1", 80)}))
    near = ipaddress.ip_address("192.168.1.5")
    assert outbound._may_reach("nas.local", 8080, near, rules)
    assert outbound._may_reach("NAS.local.", 8080, near, rules)
    assert outbound._may_reach("[fd12::1]", 80, ipaddress.ip_address("fd12::1"), rules)
    assert not outbound._may_reach("nas.local", 80, near, rules)
    assert not outbound._may_reach("x.nas.local", 8080, near, rules)
    assert not outbound._may_reach("192.168.1.5", 8080, near, rules)


@pytest.mark.parametrize(
    "address",
    [
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "224.0.0.1",
        "0.0.0.0",
        "::",
        "::1",
        "fe80::1",
        "fc00::1",
        "ff02::1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "::127.0.0.1",
        "64:ff9b:1::7f00:1",
        "fec0::1",
        "2001:db8::1",
    ],
)
def test_an_address_that_is_not_on_the_open_internet_is_known(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "::ffff:8.8.8.8"])
def test_a_public_address_is_known(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "url", ["ftp://example.org/", "file:///etc/passwd", "example.org", "http://", "http://u:p@x/", ""]
)
async def test_only_plain_web_addresses_are_taken(garden: Garden, url: str) -> None:
    assert (await garden.failed("web.fetch", url=url)).retry is False


async def test_a_large_page_is_cut_and_says_so(garden: Garden, site: Site) -> None:
    garden.services[WebRules] = WebRules(allow_private=True, max_bytes=1000)
    done = await garden.done("web.fetch", url=site.serve("/", b"x" * 50_000, content_type="text/plain"))
    assert (len(done.value["text"]), done.value["cut"]) == (1000, True)
    assert "[cut here]" in (done.text or "")


async def test_a_small_file_that_grows_when_unpacked_is_cut_too(garden: Garden, site: Site) -> None:
    garden.services[WebRules] = WebRules(allow_private=True, max_bytes=1000)
    bomb = gzip.compress(b"x" * 20_000_000)
    done = await garden.done(
        "web.fetch", url=site.serve("/", bomb, content_type="text/plain", content_encoding="gzip")
    )
    assert (len(done.value["text"]), done.value["cut"]) == (1000, True)


async def test_a_compressed_page_is_read(garden: Garden, site: Site) -> None:
    body = gzip.compress(PAGE.encode())
    done = await garden.done(
        "web.fetch", url=site.serve("/", body, content_type="text/html", content_encoding="gzip")
    )
    assert "regrows" in done.value["text"]


async def test_a_server_that_keeps_us_waiting_is_given_up(garden: Garden, site: Site) -> None:
    def slow(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        request.wfile.flush()
        site.released.wait(30)

    site.pages["/"] = slow
    garden.services[WebRules] = WebRules(allow_private=True, seconds=0.3)
    failed = await garden.failed("web.fetch", url=site.url + "/")
    assert "did not answer" in failed.error
    assert failed.retry is True


async def test_status_and_network_errors_say_whether_to_try_again(garden: Garden, site: Site) -> None:
    assert (await garden.failed("web.fetch", url=site.url + "/none")).retry is False
    assert (await garden.failed("web.fetch", url=site.serve("/busy", b"", status=503))).retry is True
    site.server.server_close()
    failed = await garden.failed("web.fetch", url="http://127.0.0.1:1/")
    assert "cannot be reached" in failed.error
    assert failed.retry is True


async def test_an_empty_page_takes_its_own_branch(garden: Garden, site: Site) -> None:
    assert (
        await garden.done("web.fetch", url=site.serve("/", b"", content_type="text/html"))
    ).branch == "empty"


async def test_the_host_header_names_the_host_not_the_address(garden: Garden, site: Site) -> None:
    site.serve("/", b"x", content_type="text/plain")
    port = site.url.rpartition(":")[2]
    await garden.done("web.fetch", url=f"http://localhost:{port}/")
    assert site.requests[-1][1]["host"] == f"localhost:{port}"


async def test_a_document_nested_thousands_deep_is_still_read(garden: Garden, site: Site) -> None:
    url = site.serve("/", b"<div>" * 20_000 + b"deep", content_type="text/html")
    assert (await garden.done("web.fetch", url=url)).value["text"] == "deep"


async def test_a_page_made_to_hold_us_up_is_given_up_and_nobody_waits(
    garden: Garden, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_apart, "SECONDS", 2.0)
    url = site.serve("/", b"<a " * 300_000, content_type="text/html")
    outcome = await garden.outcome("web.fetch", url=url)
    assert isinstance(outcome, Done) or "could not be read within" in outcome.error


@pytest.mark.parametrize(
    "hiding",
    [
        "hidden",
        'aria-hidden="true"',
        'style="display: none"',
        'style="color:red; visibility : hidden"',
        'style="opacity:0"',
        'style="font-size:0px"',
        'style="position:absolute; left:-9999px"',
        'style="height:0;overflow:hidden"',
        'style="display:/* */none"',
        'style="color: transparent"',
    ],
)
def test_what_a_person_would_not_see_is_not_read(hiding):
    page = (
        f"<p>Seen.</p><div {hiding}>OBEY <b>ME</b></div><!-- OBEY ME --><p style='font-size:0.9em'>Small.</p>"
    )
    text = page_text(page).text
    assert "OBEY" not in text and "Seen." in text and "Small." in text
