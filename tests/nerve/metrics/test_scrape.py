"""`/metrics` over real HTTP: who may read it, what a scraper gets."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from planaria.config.settings import Settings, WebSettings
from planaria.cortex.event import Event, NewEvent
from planaria.cortex.journal import Journal
from planaria.cortex.live.store import Live
from planaria.nerve.live import projections
from planaria.nerve.metrics.process import Metrics
from planaria.nerve.web.dashboard import Dashboard
from planaria.nerve.web.site import ModelsView
from planaria.otp import GenServer, Node, cast, child, exit_signal, supervisor, sys
from planaria.testing.memory_store import MemoryStore

TOKEN = "a-token-for-the-scraper"
SETTINGS = Settings(web=WebSettings(port=0))


class Fragile(GenServer):
    @cast
    def drop(self) -> None:
        raise ValueError("it broke")


@asynccontextmanager
async def running(garden: Path, token: str = TOKEN) -> AsyncIterator[tuple[Node, str]]:
    sources = {"Log lines": lambda: {"planaria_log_lines_lost": 3.0}}
    async with Node("garden") as node:
        await node.start(
            supervisor(
                child(Journal, MemoryStore, name="journal"),
                child(Live, projections, name="live"),
                child(Metrics, sources, name="metrics"),
                child(Fragile, name="vase"),
                child(
                    Dashboard,
                    garden,
                    SETTINGS,
                    lambda: ModelsView(True, ""),
                    None,
                    token,
                    name="dashboard",
                ),
                name="node",
            )
        )
        yield node, await Dashboard.url(node["dashboard"]) + "metrics"


async def get(url: str, **headers: str) -> httpx2.Response:
    async with httpx2.AsyncClient(trust_env=False) as client:
        return await client.get(url, headers=headers)


BEARER = {"Authorization": f"Bearer {TOKEN}"}


async def test_a_scrape_is_read_by_the_official_parser_in_both_formats(tmp_path: Path):
    async with running(tmp_path) as (node, url):
        await node.run(Journal.append, "journal", [NewEvent("room.message", {"author_kind": "person"})])
        Fragile.drop(node["vase"])
        await node.settle()
        await get(url.removesuffix("metrics"))
        plain = await get(url, **BEARER)
        assert plain.headers["content-type"].startswith("text/plain; version=")
        found = {s.name: s.value for family in parse(plain.text) for s in family.samples}
        assert found["planaria_room_messages_total"] == 1
        assert found["planaria_process_crashes_total"] == 1 and found["planaria_process_restarts_total"] == 1
        assert found["planaria_journal_up"] == 1 and found["planaria_journal_events_total"] >= 1
        assert found["planaria_processes"] > 5 and found["process_resident_memory_bytes"] > 1e6
        assert found["planaria_log_lines_lost_total"] == 3
        assert found["planaria_http_request_duration_seconds_count"] >= 1
        open_ = await get(url, **BEARER, Accept="application/openmetrics-text; version=1.0.0")
        assert open_.headers["content-type"].startswith("application/openmetrics-text")
        assert "planaria_turns" in {family.name for family in parse_openmetrics(open_.text)}


@pytest.mark.parametrize(
    "given",
    ["", "Bearer", "Bearer wrong", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x", "Bearer \u00e9"],
)
async def test_without_the_token_nobody_reads_it(tmp_path: Path, given: str):
    async with running(tmp_path) as (_, url):
        headers = [(b"Authorization", given.encode("latin-1"))] if given else []
        async with httpx2.AsyncClient(trust_env=False) as client:
            answer = await client.get(url, headers=headers)
        assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"
        assert "planaria_" not in answer.text and TOKEN not in answer.text


async def test_without_a_token_in_the_settings_no_token_opens_it(tmp_path: Path):
    async with running(tmp_path, token="") as (_, url):
        for given in ("Bearer", "Bearer None"):
            assert (await get(url, Authorization=given)).status_code == 401


async def test_the_token_opens_nothing_else(tmp_path: Path):
    async with running(tmp_path) as (_, url):
        for path in ("", "processes/journal", "metrics/", "metricsx"):
            assert (await get(url.removesuffix("metrics") + path, **BEARER)).status_code in (401, 404, 307)
        async with httpx2.AsyncClient(trust_env=False) as client:
            answer = await client.post(url, headers={**BEARER, "Origin": url.removesuffix("/metrics")})
        assert answer.status_code == 401


async def test_a_browser_that_is_logged_in_reads_it(tmp_path: Path):
    async with running(tmp_path) as (node, url):
        async with httpx2.AsyncClient(trust_env=False) as client:
            await client.get(await Dashboard.login_link(node["dashboard"]))
            answer = await client.get(url)
        assert answer.status_code == 200 and "planaria_processes" in answer.text


async def test_another_host_name_is_refused(tmp_path: Path):
    async with running(tmp_path) as (_, url):
        assert (await get(url, **BEARER, Host="evil.example.org")).status_code == 403


async def test_a_journal_that_does_not_answer_is_told_and_the_rest_too(tmp_path: Path):
    async with running(tmp_path) as (node, url):
        await node.run(sys.suspend, node["journal"])
        found = {s.name: s.value for f in parse((await get(url, **BEARER)).text) for s in f.samples}
        assert found["planaria_journal_up"] == 0 and found["planaria_processes"] > 5
        assert "planaria_journal_events_total" not in found


async def test_what_other_nodes_at_the_same_database_did_is_in_their_figures_alone(tmp_path: Path):
    async with running(tmp_path) as (node, url):
        for number, name in enumerate(("garden", "meadow", "meadow")):
            said = Event(number, f"E{number}", 0.0, "T", None, name, "p", "room:a", "room.message", {})
            node.broadcast("journal", said)
        found = {s.name: s.value for f in parse((await get(url, **BEARER)).text) for s in f.samples}
        assert found["planaria_room_messages_total"] == 1


async def test_killed_it_counts_anew(tmp_path: Path):
    async with running(tmp_path) as (node, url):

        async def end() -> None:
            exit_signal(node["metrics"], "kill")

        await node.run(end)
        await node.settle()
        answer = await get(url, **BEARER)
        found = {s.name: s.value for family in parse(answer.text) for s in family.samples}
        assert found["planaria_metrics_scrapes_total"] == 1
