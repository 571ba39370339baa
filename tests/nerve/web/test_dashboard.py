"""The dashboard's keys on a disk that does not do what it should."""

import os

import httpx2
import pytest

from planaria.nerve.web.dashboard import KEYS_FILE, Dashboard
from planaria.otp import Node
from planaria.records.library import Library
from tests.nerve.web.garden import running


async def problems(node: Node) -> list[str]:
    found = await Library.problems(node["library"])
    return [f"{each.problem}. {each.mend}" for each in found if each.path == KEYS_FILE]


async def test_keys_that_cannot_be_saved_are_kept_in_memory_and_it_is_said(tmp_path):
    draft = tmp_path / f"{KEYS_FILE}.new"
    draft.mkdir(parents=True)
    async with running(tmp_path) as node, httpx2.AsyncClient(trust_env=False) as browser:
        dashboard = node["dashboard"]
        links = [await Dashboard.login_link(dashboard) for _ in range(10)]
        assert (await browser.get(links[-1])).status_code == 303
        assert (await browser.get(await Dashboard.url(dashboard))).status_code == 200
        session = next(iter(browser.cookies.jar)).value or ""
        (said,) = await problems(node)
        assert "cannot be saved (Is a directory), so they are kept in memory" in said
        draft.rmdir()
        await Dashboard.forget(dashboard, session)
        assert node["dashboard"] == dashboard
        assert not await Dashboard.knows(dashboard, session)
        assert await problems(node) == []


@pytest.mark.parametrize("folder", [True, False])
async def test_a_damaged_file_of_keys_is_set_aside_and_it_is_said(tmp_path, folder):
    file = tmp_path / KEYS_FILE
    file.parent.mkdir()
    if folder:
        file.mkdir()
    else:
        file.write_text("{bad")
    async with running(tmp_path) as node, httpx2.AsyncClient(trust_env=False) as browser:
        (said,) = await problems(node)
        assert "set aside as dashboard.json.damaged" in said and "planaria status" in said
        assert (await browser.get(await Dashboard.login_link(node["dashboard"]))).status_code == 303
        assert file.is_file()


async def test_a_pipe_in_the_place_of_the_keys_holds_nobody_up(tmp_path):
    (tmp_path / KEYS_FILE).parent.mkdir()
    os.mkfifo(tmp_path / KEYS_FILE)
    async with running(tmp_path) as node:
        assert await Dashboard.login_link(node["dashboard"])
