"""The dashboard over real sockets: the door, the streams, the end."""

import asyncio
import socket
import time

import httpx2
import pytest

from planaria.config.settings import Settings, WebSettings
from planaria.nerve.web.dashboard import Dashboard
from planaria.nerve.web.server import PortTaken, listen
from planaria.otp import Node, StartFailed, child
from tests.nerve.web.garden import MODELS, read_until, running, visiting


async def test_without_a_session_every_page_is_locked_and_says_how_to_get_in(tmp_path):
    async with running(tmp_path) as node, httpx2.AsyncClient(trust_env=False) as stranger:
        url = await Dashboard.url(node["dashboard"])
        for path in ("", "rooms", "processes/journal", "live/overview", "no/such/page"):
            answer = await stranger.get(url + path)
            assert answer.status_code == 401
            assert "planaria status" in answer.text


async def test_a_login_link_works_once(tmp_path):
    async with visiting(tmp_path) as visit, httpx2.AsyncClient(trust_env=False) as stranger:
        link = await visit.link()
        assert (await stranger.get(link)).status_code == 303
        async with httpx2.AsyncClient(trust_env=False) as another:
            answer = await another.get(link)
            assert answer.status_code == 401
            assert "works once" in answer.text


async def test_a_page_loaded_ahead_does_not_use_the_link_up(tmp_path):
    async with running(tmp_path) as node, httpx2.AsyncClient(trust_env=False) as browser:
        link = await Dashboard.login_link(node["dashboard"])
        assert (await browser.get(link, headers={"Sec-Purpose": "prefetch;prerender"})).status_code == 503
        assert (await browser.get(link)).status_code == 303


async def test_the_session_cookie_is_for_this_dashboard_alone(tmp_path):
    async with running(tmp_path) as node, httpx2.AsyncClient(trust_env=False) as browser:
        answer = await browser.get(await Dashboard.login_link(node["dashboard"]))
        cookie = answer.headers["set-cookie"].lower()
        assert "httponly" in cookie and "samesite=strict" in cookie


async def test_a_session_outlives_a_restart_of_the_dashboard(tmp_path):
    async with visiting(tmp_path) as visit:
        before = visit.client.cookies
        async with running(tmp_path) as node:
            session = next(iter(before.jar)).value
            assert session is not None and await Dashboard.knows(node["dashboard"], session)


async def test_logging_out_ends_the_session(tmp_path):
    async with visiting(tmp_path) as visit:
        assert (await visit.get("/")).status_code == 200
        cookies = dict(visit.client.cookies)
        assert "logged out" in (await visit.post("/logout")).text
        visit.client.cookies.update(cookies)
        assert (await visit.get("/")).status_code == 401


async def test_a_foreign_host_or_origin_is_turned_away(tmp_path):
    async with visiting(tmp_path) as visit:
        foreign = await visit.client.get(visit.url, headers={"Host": "evil.example"})
        assert foreign.status_code == 403
        for headers in ({"Origin": "http://evil.example"}, {}):
            answer = await visit.client.post(visit.url + "/processes/journal/kill", headers=headers)
            assert answer.status_code == 403
        assert visit.node.whereis("journal") is not None


async def test_every_answer_carries_the_security_headers(tmp_path):
    async with visiting(tmp_path) as visit:
        for path in ("/", "/static/planaria.css", "/nowhere", "/live/nowhere"):
            headers = (await visit.get(path)).headers
            assert "default-src 'none'" in headers["content-security-policy"]
            assert "unsafe" not in headers["content-security-policy"]
            assert "frame-ancestors 'none'" in headers["content-security-policy"]
            assert headers["referrer-policy"] == "no-referrer"


async def test_no_page_needs_an_inline_script_or_style(tmp_path):
    async with visiting(tmp_path) as visit:
        for path in ("/", "/problems", "/notes", "/journal", "/rooms/garden", "/processes/journal"):
            html = (await visit.get(path)).text
            assert " style=" not in html and "<style" not in html and " onclick" not in html
            assert html.count("<script") == html.count("<script src=")


async def test_a_stream_sends_everything_once(tmp_path):
    async with visiting(tmp_path) as visit, visit.stream("/live/overview") as stream:
        first = await read_until(stream, 'hx-target="#tree"')
        assert "room:garden" in first


async def test_a_stream_sends_what_changed_and_nothing_else(tmp_path):
    async with visiting(tmp_path) as visit, visit.stream("/live/processes/room:garden") as stream:
        assert 'hx-target="#state"' in await anext(stream)
        await visit.post("/rooms/garden", text="hello", client_id="1")
        later = ""
        async with asyncio.timeout(10):
            while "hello" not in later:
                later += await anext(stream)
        assert 'hx-target="#process-events"' not in later


async def test_a_reply_streams_into_the_room(tmp_path):
    async with (
        visiting(tmp_path) as visit,
        visit.stream("/live/rooms/garden") as stream,
    ):
        answer = await visit.post("/rooms/garden", text="good <i>morning</i>", client_id="1")
        assert answer.status_code == 200
        text = await read_until(stream, "<strong>good")
    assert "is thinking" in text
    assert "streaming" in text
    assert "&lt;i&gt;morning" in text and "<i>morning" not in text
    assert "offline" in text


async def test_a_killed_process_comes_back_on_its_own_page(tmp_path):
    async with visiting(tmp_path) as visit:
        path = "/processes/session:scout@garden"
        before = visit.node["session:scout@garden"]
        async with visit.stream("/live" + path) as stream:
            await read_until(stream, f"&lt;garden.{before.id}&gt;")
            answer = await visit.post(path + "/kill")
            assert "was killed" in answer.text
            await visit.node.wait_exit(before)
            after = visit.node["session:scout@garden"]
            assert after != before
            await read_until(stream, f"&lt;garden.{after.id}&gt;")


async def test_a_restart_comes_back_too(tmp_path):
    async with visiting(tmp_path) as visit:
        before = visit.node["session:scout@garden"]
        await visit.post("/processes/session:scout@garden/restart")
        assert await visit.node.wait_exit(before) is not None
        assert visit.node["session:scout@garden"] != before


async def test_a_port_that_is_taken_refuses_the_start_and_names_the_mend(tmp_path):
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(PortTaken, match=rf"port {port} .* is taken.*planaria\.toml"):
            listen("127.0.0.1", port)
        async with Node("garden") as node:
            with pytest.raises(StartFailed) as failure:
                await node.start(
                    child(Dashboard, tmp_path, Settings(web=WebSettings(port=port)), lambda: MODELS)
                )
            assert str(port) in str(failure.value)


async def test_it_stops_quickly_while_pages_are_open(tmp_path):
    async with (
        visiting(tmp_path) as visit,
        visit.stream("/live/overview") as stream,
    ):
        await read_until(stream, "#beat")
        start = time.monotonic()
        await visit.node.stop()
        assert time.monotonic() - start < 2.0
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", int(visit.url.rpartition(":")[2])), timeout=1)


async def test_a_dashboard_that_crashes_is_back_at_a_new_socket(tmp_path):
    async with visiting(tmp_path) as visit:
        before = visit.node["dashboard"]
        await visit.post("/processes/dashboard/kill")
        await visit.node.wait_exit(before)
        url = await Dashboard.url(visit.node["dashboard"])
        async with httpx2.AsyncClient(trust_env=False) as client:
            assert (await client.get(url)).status_code == 401
