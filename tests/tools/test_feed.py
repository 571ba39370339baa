from http.server import BaseHTTPRequestHandler

import pytest

from planaria.membrane.web.outbound import WebRules

from .conftest import Garden, Site


def rss(*numbers: int, title: str = "News") -> bytes:
    items = "".join(
        f"<item><guid>item-{n}</guid><title>Item {n}</title><link>https://example.org/{n}</link>"
        f"<pubDate>Mon, 0{n} Jan 2024 10:00:00 GMT</pubDate><description>&lt;p&gt;About &lt;b&gt;{n}&lt;/b&gt;"
        f"&lt;script&gt;x()&lt;/script&gt;&lt;/p&gt;</description></item>"
        for n in numbers
    )
    return f'<?xml version="1.0"?><rss version="2.0"><channel><title>{title}</title>{items}</channel></rss>'.encode()


ATOM = """<?xml version="1.0" encoding="utf-8"?><feed xmlns="http://www.w3.org/2005/Atom"><title>Käfer</title>
<entry><id>urn:1</id><title>Erster</title><link href="https://example.org/a"/><updated>2024-03-01T12:00:00Z</updated>
<summary>Kurz</summary></entry></feed>"""


def ids(done: object) -> list[str]:
    return [item["id"] for item in done.value["items"]]  # type: ignore[attr-defined]


async def test_items_are_told_once_newest_first(garden: Garden, site: Site) -> None:
    url = site.serve("/rss", rss(1, 2), content_type="application/rss+xml")
    done = await garden.done("feed.fetch", url=url)
    assert done.branch == "new"
    assert ids(done) == ["item-2", "item-1"]
    assert done.value["items"][0] == {
        "id": "item-2",
        "title": "Item 2",
        "link": "https://example.org/2",
        "published": "2024-01-02T10:00:00Z",
        "summary": "About **2**",
    }
    assert done.text is not None
    assert done.text.startswith("<outside-content")
    assert (await garden.done("feed.fetch", url=url)).branch == "unchanged"
    site.serve("/rss", rss(1, 2, 3), content_type="application/rss+xml")
    done = await garden.done("feed.fetch", url=url)
    assert ids(done) == ["item-3"]


async def test_an_unchanged_feed_costs_a_conditional_request_and_no_event(garden: Garden, site: Site) -> None:
    def conditional(request: BaseHTTPRequestHandler) -> None:
        body = rss(1)
        unchanged = request.headers.get("If-None-Match") == '"v1"'
        request.send_response(304 if unchanged else 200)
        request.send_header("ETag", '"v1"')
        request.send_header("Last-Modified", "Mon, 01 Jan 2024 10:00:00 GMT")
        request.end_headers()
        if not unchanged:
            request.wfile.write(body)

    site.pages["/rss"] = conditional
    url = site.url + "/rss"
    assert (await garden.done("feed.fetch", url=url)).branch == "new"
    assert (await garden.done("feed.fetch", url=url)).branch == "unchanged"
    assert site.requests[-1][1]["if-modified-since"] == "Mon, 01 Jan 2024 10:00:00 GMT"
    events = await garden.events(f"feed:{url}")
    assert [event.kind for event in events] == ["feed.fetched"]
    assert events[0].payload["new_ids"] == ["item-1"]
    assert events[0].payload["etag"] == '"v1"'


async def test_the_first_fetch_tells_the_newest_and_takes_the_rest_as_seen(
    garden: Garden, site: Site
) -> None:
    url = site.serve("/rss", rss(1, 2, 3, 4))
    assert ids(await garden.done("feed.fetch", url=url, limit=2)) == ["item-4", "item-3"]
    assert (await garden.done("feed.fetch", url=url, limit=2)).branch == "unchanged"


async def test_new_items_past_the_limit_come_with_the_next_fetch(garden: Garden, site: Site) -> None:
    url = site.serve("/rss", rss(1), etag='"a"')
    await garden.done("feed.fetch", url=url)
    site.serve("/rss", rss(1, 2, 3, 4), etag='"b"')
    done = await garden.done("feed.fetch", url=url, limit=2)
    assert (ids(done), done.value["left"]) == (["item-4", "item-3"], 1)
    await garden.done("feed.fetch", url=url, limit=2)
    assert "if-none-match" not in site.requests[-1][1]
    assert (await garden.done("feed.fetch", url=url, limit=2)).branch == "unchanged"


async def test_an_item_that_leaves_and_comes_back_is_not_new(garden: Garden, site: Site) -> None:
    url = site.serve("/rss", rss(1, 2))
    await garden.done("feed.fetch", url=url)
    site.serve("/rss", rss(3))
    await garden.done("feed.fetch", url=url)
    site.serve("/rss", rss(1, 3))
    assert (await garden.done("feed.fetch", url=url)).branch == "unchanged"


async def test_atom_is_read_too(garden: Garden, site: Site) -> None:
    done = await garden.done(
        "feed.fetch", url=site.serve("/atom", ATOM.encode(), content_type="application/atom+xml")
    )
    assert done.value["title"] == "Käfer"
    assert done.value["items"][0]["published"] == "2024-03-01T12:00:00Z"


@pytest.mark.parametrize("url", ["feeds/news.xml", "file:feeds/news.xml", "file:feeds/n%65ws.xml"])
async def test_a_file_in_the_garden_is_a_feed_too(garden: Garden, url: str) -> None:
    (garden.folder / "feeds").mkdir()
    (garden.folder / "feeds" / "news.xml").write_bytes(rss(1))
    assert ids(await garden.done("feed.fetch", url=url)) == ["item-1"]
    assert (await garden.done("feed.fetch", url=url)).branch == "unchanged"
    (garden.folder / "feeds" / "news.xml").write_bytes(rss(1, 2))
    assert ids(await garden.done("feed.fetch", url=url)) == ["item-2"]


@pytest.mark.parametrize(
    "url", ["../secret.xml", "file:///etc/passwd", "/etc/passwd", ".planaria/x", "ftp://x/y", "none.xml"]
)
async def test_a_file_elsewhere_is_refused(garden: Garden, url: str) -> None:
    (garden.folder.parent / "secret.xml").write_bytes(rss(1))
    failed = await garden.failed("feed.fetch", url=url)
    assert failed.retry is False


async def test_what_is_no_feed_is_refused_clearly(garden: Garden, site: Site) -> None:
    for body in (b"", b"<html><body>hello</body></html>", b"{}", b"\xff\xfe\x00", b"<rss"):
        failed = await garden.failed("feed.fetch", url=site.serve("/x", body))
        assert "is no RSS or Atom feed" in failed.error


async def test_a_feed_cut_off_in_the_middle_gives_what_there_is(garden: Garden, site: Site) -> None:
    assert ids(await garden.done("feed.fetch", url=site.serve("/x", rss(1, 2)[:-120]))) != []


async def test_entities_that_grow_without_end_are_not_expanded(garden: Garden, site: Site) -> None:
    laughs = '<!ENTITY a0 "ha">' + "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))
    body = rss(1).replace(b"<rss", f"<!DOCTYPE rss [{laughs}]><rss".encode()).replace(b"Item 1", b"&a9;")
    outcome = await garden.outcome("feed.fetch", url=site.serve("/x", body))
    assert len(repr(outcome)) < 10_000


async def test_an_outside_entity_is_not_read(garden: Garden, site: Site) -> None:
    body = rss(1).replace(b"<rss", b'<!DOCTYPE rss [<!ENTITY x SYSTEM "file:///etc/passwd">]><rss')
    outcome = await garden.outcome("feed.fetch", url=site.serve("/x", body.replace(b"Item 1", b"&x;")))
    assert "root:" not in repr(outcome)


async def test_a_feed_that_is_too_large_is_refused(garden: Garden, site: Site) -> None:
    failed = await garden.failed("feed.fetch", url=site.serve("/x", b"<rss>" + b" " * 4_100_000))
    assert "larger than" in failed.error


async def test_an_outage_is_polite_and_may_pass(garden: Garden, site: Site) -> None:
    assert (await garden.failed("feed.fetch", url=site.serve("/x", b"", status=503))).retry is True
    assert (await garden.failed("feed.fetch", url="http://127.0.0.1:1/feed")).retry is True
    assert (await garden.failed("feed.fetch", url=site.url + "/gone")).retry is False
    del garden.services[WebRules]
    assert "not a public address" in (await garden.failed("feed.fetch", url=site.url + "/x")).error
