"""The dashboard in a real browser: open, talk, watch an answer arrive, kill an agent and see it return.

Pictures go to `build/pictures/`; with `PLANARIA_PICTURES=1` to `docs/pictures/`, where the documentation finds them.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from planaria.cortex.durable.questions import Questions
from planaria.nerve.web.dashboard import Dashboard
from planaria.otp import Node, exit_signal
from tests.nerve.trace.story import answered
from tests.nerve.web.garden import FakeRoom, running, whole_node
from tests.nerve.web.test_traces import write

playwright = pytest.importorskip("playwright.async_api")

CHROMIUM = Path(os.environ.get("PLANARIA_CHROMIUM", "/usr/bin/chromium"))
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
ROOT = Path(__file__).parents[3]
FOR_DOCS = os.environ.get("PLANARIA_PICTURES") == "1"
PICTURES = ROOT / ("docs/pictures" if FOR_DOCS else "build/pictures")
IN_DOCS = {
    "garden-light-desk",
    "garden-dark-desk",
    "overview-light-desk",
    "overview-dark-desk",
    "overview-dark-phone",
    "room-light-desk",
    "room-light-phone",
    "run-dark-desk",
    "process-light-desk",
    "trace-open-light-desk",
}
LONGEST = 90.0
"""Seconds of one visit: a browser that hangs fails its test."""
DESK, PHONE = {"width": 1280, "height": 860}, {"width": 390, "height": 844}

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no browser at {CHROMIUM}"),
    # The driver's own pipes are closed by the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@asynccontextmanager
async def browsing(node: Node, scheme: str = "light", size: dict[str, int] = DESK) -> AsyncIterator[Any]:
    """A page that is logged in; fails on any script error or refused resource."""
    complaints: list[str] = []
    async with asyncio.timeout(LONGEST), playwright.async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        context = await browser.new_context(
            viewport=size, color_scheme=scheme, device_scale_factor=2 if size == PHONE else 1
        )
        page = await context.new_page()
        page.set_default_timeout(15_000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
        await page.goto(await Dashboard.login_link(node["dashboard"]))
        yield page
        await browser.close()
    assert complaints == []


async def picture(page, name: str) -> None:
    if FOR_DOCS and name not in IN_DOCS:
        return
    PICTURES.mkdir(parents=True, exist_ok=True)
    await page.screenshot(path=str(PICTURES / f"{name}.png"))


async def base(node: Node) -> str:
    return (await Dashboard.url(node["dashboard"])).rstrip("/")


async def test_a_reply_is_written_before_the_reader_s_eyes(tmp_path):
    async with running(tmp_path, pause=0.1) as node, browsing(node) as page:
        await page.goto(await base(node) + "/rooms/garden")
        await page.fill("#say", "what <b>grew</b> today, and what did not grow at all this time?")
        await page.keyboard.press("Enter")
        await page.wait_for_selector(".said.streaming .text:has-text('You said')")
        await picture(page, "room-streaming")
        await page.wait_for_selector(".said.agent:not(.streaming) .text strong")
        assert await page.locator(".said.streaming").count() == 0
        assert await page.locator(".said").count() == 2
        assert "<b>grew</b>" in await page.inner_text(".said.person .text")
        assert "offline" in await page.inner_text(".said.agent .by")
        assert await page.input_value("#say") == ""
        assert await page.evaluate("document.activeElement.id") == "say"


async def test_a_long_talk_stays_at_its_end(tmp_path):
    async with running(tmp_path, pause=0.0) as node, browsing(node) as page:
        await page.goto(await base(node) + "/rooms/garden")
        for number in range(12):
            await page.fill("#say", f"message {number}")
            await page.keyboard.press("Enter")
            await page.wait_for_selector(f".said.agent:has-text('message {number}')")
        last = await page.locator(".said").last.bounding_box()
        composer = await page.locator("#composer").bounding_box()
        assert last is not None and composer is not None
        assert last["y"] + last["height"] <= composer["y"] + 1


async def test_a_person_talks_with_an_agent_that_is_killed_and_talks_on(tmp_path):
    async with whole_node(tmp_path) as node, browsing(node) as page:
        await ask(page, node, "@scout what do the notes say about supervision?")
        await page.goto(await base(node) + "/processes/session:scout@garden")
        before = await page.inner_text("#pid")
        await page.evaluate("window.same = true")
        await page.click("button:has-text('Kill…')")
        await page.wait_for_selector("#kill-sheet:popover-open")
        await picture(page, "kill")
        await page.click("#kill-sheet button.sure")
        await page.wait_for_selector(f"#pid:not(:text-is('{before}'))")
        await page.wait_for_selector("#told .notice")
        assert await page.inner_text("#restarts") == "1"
        assert await page.evaluate("window.same")
        assert await page.locator("#kill-sheet:popover-open").count() == 0
        await ask(page, node, "@scout and about workflows?")


async def test_a_killed_process_regrows_in_the_tree(tmp_path):
    async with whole_node(tmp_path) as node, browsing(node) as page:
        await page.wait_for_selector("#beat[data-beat='1']")
        node.spawn(exit_signal, node["session:scout@garden"], "kill")
        await page.wait_for_selector(".node.regrown:has-text('session:scout@garden')")
        await page.wait_for_selector("#crashes:has-text('was killed')")
        await picture(page, "regrown")


async def test_one_question_is_followed_from_the_room_to_the_answer(tmp_path):
    async with whole_node(tmp_path) as node, browsing(node) as page:
        await ask(page, node, "@scout what do the notes say about supervision?")
        await page.locator(".to-trace").last.click()
        await page.wait_for_selector("#trace-head .pill:text-is('done')")
        kinds = ("message", "turn", "step", "prompt", "model", "decision", "tool")
        for kind in kinds:
            assert await page.locator(f".trace-row.k-{kind}").count() > 0, kind
        await page.evaluate("window.same = true")
        await page.locator(".trace-row.k-tool .what").first.click()
        await page.wait_for_selector("#node-detail h2:has-text('notes.search')")
        assert "supervision" in await page.inner_text("#node-detail pre >> nth=0")
        await picture(page, "trace-open-light-desk")
        await page.keyboard.press("Tab")  # on to the next line, by keyboard alone
        await page.keyboard.press("Enter")
        await page.wait_for_selector("#node-detail h2:not(:has-text('notes.search'))")
        await page.click("#node-detail .close")
        await page.wait_for_selector("#node-detail.nothing")
        assert await page.evaluate("window.same")


async def test_a_trace_grows_and_nothing_jumps(tmp_path):
    whole = answered().events
    async with running(tmp_path) as node, browsing(node) as page:
        await write(node, whole[:4])
        await page.goto(await base(node) + "/traces/T")
        await page.wait_for_selector("#beat[data-beat='1']")
        assert await page.locator(".trace-row").count() == 6
        before = await page.locator(".trace-row >> nth=2").bounding_box()
        await write(node, whole[4:])
        await page.wait_for_selector(".trace-row >> nth=11")
        await page.wait_for_selector("#trace-head .pill:text-is('done')")
        assert await page.locator(".trace-row >> nth=2").bounding_box() == before


async def test_a_question_to_a_person_is_answered_in_the_browser(tmp_path):
    async def asking() -> None:
        await Questions.ask("Deploy now?", key="k", by="agent:scout", options=("yes", "no"), room="garden")

    async with running(tmp_path) as node, browsing(node) as page:
        await page.wait_for_selector("#beat[data-beat='1']")
        await node.run(asking)
        await page.click("#headline a:has-text('1 question waits for you')")
        await page.check("input[value='no']")
        await page.fill(".remark input", "on Monday")
        await page.click(".answer button")
        await page.wait_for_selector("#told:has-text('no: on Monday')")
        await page.wait_for_selector("#questions:has-text('Nobody waits for an answer.')")
        await page.wait_for_selector("#waiting-count:not(:has(*))", state="attached")


async def test_a_run_started_by_hand_draws_its_path(tmp_path):
    async with whole_node(tmp_path) as node, browsing(node) as page:
        await page.goto(await base(node) + "/workflows")
        await page.click("li:has-text('garden-digest') >> text=Run now")
        await page.wait_for_url("**/runs/*")
        await page.wait_for_selector("#run-vitals .pill:text-is('done')")
        assert await page.locator("#graph .taken .edge").count() > 0
        assert await page.locator("#graph .step.done").count() > 0
        await picture(page, "run")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
async def test_no_page_is_wider_than_its_screen(tmp_path, scheme, size):
    kind = f"{scheme}-{'phone' if size == PHONE else 'desk'}"
    async with whole_node(tmp_path) as node, browsing(node, scheme, size) as page:
        await ask(page, node, "@scout what do the notes say about supervision?")
        await page.goto(await base(node) + "/")
        await page.wait_for_selector("#beat[data-beat='1']")
        await picture(page, f"garden-{kind}")
        break_a_record(tmp_path / "garden")
        await ask(page, node, "@scout what do the notes say about supervision?")
        trace = await page.locator(".to-trace").last.get_attribute("href")
        await page.goto(await base(node) + "/problems")
        await page.wait_for_selector(".trouble")
        await page.goto(await base(node) + "/workflows")
        await page.click("#runs a >> nth=0")
        pages = {
            "run": page.url.removeprefix(await base(node)),
            "overview": "/",
            "process": "/processes/session:scout@garden",
            "room": "/rooms/garden",
            "traces": "/traces",
            "trace": trace,
            "questions": "/questions",
            "dead": "/dead",
            "workflows": "/workflows",
            "notes": "/notes",
            "note": "/notes/supervision",
            "problems": "/problems",
            "journal": "/journal",
        }
        for name, path in pages.items():
            await page.goto(await base(node) + path)
            await page.wait_for_selector("#beat[data-beat='1']")
            await picture(page, f"{name}-{kind}")
            wide = await page.evaluate("document.documentElement.scrollWidth")
            assert wide <= size["width"], f"{name} is {wide} pixels wide"
            assert await page.evaluate(OUT_OF_SIGHT) == [], f"entries of the menu cannot be seen on {name}"


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
async def test_long_words_and_code_stay_in_their_bubble(tmp_path, size):
    code = "```\ndef grow(" + "argument, " * 30 + ")\n```"
    async with running(tmp_path, pause=0.0) as node, browsing(node, size=size) as page:
        for text in ("x" * 300, code, "مرحبا بالعالم " * 30):
            await FakeRoom.post(node["room:garden"], "ada", text)
        await page.goto(await base(node) + "/rooms/garden")
        await page.wait_for_selector(".said.agent:not(.streaming) >> nth=2")
        assert await page.evaluate(BURST) == []
        below, menu = (
            await page.locator("#composer").bounding_box(),
            await page.locator(".menu").bounding_box(),
        )
        assert size != PHONE or below["y"] + below["height"] <= menu["y"]


async def test_every_control_has_a_name_and_every_text_enough_contrast(tmp_path):
    async with whole_node(tmp_path) as node:
        break_a_record(tmp_path / "garden")
        for scheme in ("light", "dark"):
            async with browsing(node, scheme) as page:
                await ask(page, node, f"@scout hello in {scheme}")
                trace = await page.locator(".to-trace").last.get_attribute("href")
                paths = ("/", "/rooms/garden", "/processes/journal", "/notes", "/workflows", "/journal")
                for path in (*paths, "/traces", trace, "/questions", "/dead"):
                    await page.goto(await base(node) + path)
                    assert await page.evaluate(NAMELESS) == []
                    assert await page.evaluate(FAINT) == []


async def ask(page: Any, node: Node, text: str) -> None:
    """Say something in the room `garden` and wait for the whole answer."""
    await page.goto(await base(node) + "/rooms/garden")
    answered = await page.locator(".said.agent:not(.streaming)").count()
    await page.fill("#say", text)
    await page.keyboard.press("Enter")
    await page.locator(".said.agent:not(.streaming)").nth(answered).wait_for()


def break_a_record(garden: Path) -> None:
    (garden / "agents" / "scuot.md").write_text("---\nclass: [agent\n---\n")


# Entries of the menu that are not wholly on the screen, or hidden by something.
OUT_OF_SIGHT = """() => [...document.querySelectorAll('.menu a')].filter(e => {
  const {left, right, top, bottom} = e.getBoundingClientRect();
  const there = document.elementFromPoint((left + right) / 2, (top + bottom) / 2);
  return left < 0 || right > innerWidth || top < 0 || bottom > innerHeight || !e.contains(there);
}).map(e => e.textContent.trim())"""

# What is said that sticks out of the talk at either side.
BURST = """() => [...document.querySelectorAll('.said .text')].filter(e => {
  const own = e.getBoundingClientRect(), talk = e.closest('ol').getBoundingClientRect();
  return own.left < talk.left - 1 || own.right > talk.right + 1;
}).map(e => e.textContent.slice(0, 20))"""

NAMELESS = """() => [...document.querySelectorAll('a, button, input:not([type=hidden]), [role=img]')]
  .filter(e => e.checkVisibility() && !(e.textContent.trim() || e.getAttribute('aria-label')
    || e.labels?.length || e.title)).map(e => e.outerHTML)"""

# WCAG 2 contrast of every visible text against the nearest opaque background, drawn to read any colour syntax.
FAINT = """() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgb = (under, over) => {
    canvas.fillStyle = under; canvas.fillRect(0, 0, 1, 1);
    canvas.fillStyle = over; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const css = c => `rgb(${c.join(',')})`;
  const light = c => c.map(v => v / 255).map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const behind = e => {
    const layers = [];
    for (let n = e; n; n = n.parentElement) layers.unshift(getComputedStyle(n).backgroundColor);
    return layers.reduce((under, over) => rgb(css(under), over), [255, 255, 255]);
  };
  const faint = [];
  for (const e of document.querySelectorAll('body *')) {
    const own = [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
    if (!own || !e.checkVisibility({visibilityProperty: true, opacityProperty: true})) continue;
    if (e.closest('svg, .zero, .visually-hidden, .skip, [popover]')) continue;
    const back = behind(e), front = rgb(css(back), getComputedStyle(e).color);
    const [a, b] = [light(back), light(front)].sort((x, y) => y - x);
    const ratio = (a + .05) / (b + .05);
    if (ratio < 4.5) faint.push(`${ratio.toFixed(2)} ${e.className} ${e.textContent.trim().slice(0, 40)}`);
  }
  return [...new Set(faint)];
}"""
