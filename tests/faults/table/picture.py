"""Pictures of the dashboard after a fault, taken in a real browser."""

import os
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

from playwright.async_api import async_playwright

from tests.faults.table.case import Case
from tests.faults.table.world import HOME, World

CHROMIUM = Path(os.environ.get("PLANARIA_CHROMIUM", "/usr/bin/chromium"))
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]


def taking(folder: Path) -> Callable[[World, Case], Awaitable[None]]:
    """Takes the room's page, and the one a fault is told on."""
    folder.mkdir(parents=True, exist_ok=True)

    async def take(world: World, case: Case) -> None:
        name = re.sub(r"\W+", "-", case.name).strip("-")
        async with async_playwright() as driver:
            browser = await driver.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
            page = await browser.new_page(viewport={"width": 1280, "height": 860})
            await page.goto(await world.login_link())
            told = case.page[0].format(trace=world.trace)
            for which, path in (("room", f"/rooms/{HOME}"), ("told", told), ("limits", "/limits")):
                await page.goto(world.url + path)
                await page.wait_for_timeout(400)
                await page.screenshot(path=str(folder / f"{name}-{which}.png"))
            await browser.close()

    return take
