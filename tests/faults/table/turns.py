"""Turns that go nowhere, run out of context or money, wait in line, or are stopped."""

import asyncio
import time
from functools import partial
from typing import Any

from planaria.config.budget import BudgetSettings, Limits
from planaria.config.providers import LimitSettings
from planaria.membrane.provider import ToolCall, Usage
from planaria.testing.model_answer import Answer
from tests.faults.table.case import Case
from tests.faults.table.services import refusal
from tests.faults.table.tools import OWN_TOOLS, calling, offered
from tests.faults.table.world import CALL, IN, OUT, Setting, World

GROUP = "Turns"
DONE = Answer("that is all I found")


def _saying(*answers: Answer) -> Any:
    async def play(world: World) -> None:
        await offered(world, "lamp.look")
        world.first.answers.extend(answers)
        await world.ask("look")

    return play


def _look(what: str, number: int) -> Answer:
    return calling("lamp.look", number, what=what)


SWARM = Answer(tool_calls=tuple(ToolCall(f"c{n}", "lamp.look", {"what": f"leaf {n}"}) for n in range(40)))
NOTE = Answer("## Goal\nRead the long thing.\n## State\nRead.\n## Open ends\nSay what was found.")


def _reading(*answers: Answer) -> Any:
    """What a tool answers fills the context."""

    async def play(world: World) -> None:
        await offered(world, "lamp.read")
        read = calling("lamp.read", what="leaf")
        read.usage = Usage(600, 5)  # a real count: from it the tokens of the next prompt are estimated
        world.fair = (605 + 15, 600 * IN + 5 * OUT + CALL)
        world.first.answers.extend([read, *answers])
        await world.ask("read")

    return play


async def _asked(world: World) -> str:
    """What helps against loops does not; then a person is asked, and gives advice in the room."""
    await offered(world, "lamp.look")
    world.first.answers.extend(_look("moss", n) for n in range(9))
    world.begin()
    accepted = await world.post("look")
    await world.until(lambda: [text for text in world.texts() if "How is it to go on?" in text], "a question")
    asked = (time.perf_counter() - world.begun) * 1000
    page = await world.page("/questions")
    world.first.answers.append(DONE)
    await world.post("#1 go on: say what you have")
    await world.answer(accepted)
    shown = "shown" if "How is it to go on?" in page else "not shown"
    return f"a person was asked after {asked:.0f} ms; the question is {shown} on the page For you"


async def _turn_budget(world: World) -> None:
    """The first answer takes most of what a turn may have."""
    await offered(world, "lamp.look")
    world.first.answers.append(
        Answer("I begin.", tool_calls=(ToolCall("c", "lamp.look", {"what": "x"}),), usage=Usage(9000, 900))
    )
    world.first.answers.append(DONE)
    world.fair = (9900, 9000 * 2 + 900 * 10)
    await world.ask("look")


async def _day_budget(world: World) -> None:
    """The first message takes most of the day's money."""
    world.first.answers.append(Answer("dear", usage=Usage(45_000, 500)))
    world.fair = (45_500, 95_000)
    await world.ask("one")
    await world.ask("two")


async def _two_rooms(world: World) -> str:
    """Two long answers of one agent come to its limit together, far from their ends."""
    for _ in range(2):
        world.first.answers.append(Answer(" ".join(f"word{n}" for n in range(40_000)), pace=0.0002))
    world.fair = (15, CALL)
    await world.post("one", "garden")
    await world.post("two", "den")
    await world.until(lambda: world.first.dropped == 2, "quiet")
    world.begin()
    for room in ("garden", "den"):
        await world.until(partial(world.texts, room), "a word about it")
    world.over = time.perf_counter()
    world.trace = (await world.until_event("turn.stopped")).trace_id
    world.aside = [f"in the other room: …{text[-230:]}" for text in world.texts("den")]
    return "both connections are closed"


async def _queue(world: World) -> None:
    """One call is under way, one waits, and there is no room for a third."""
    world.first.answers.append(Answer("held", hold_at=2))
    one = await world.post("one", "garden")
    await world.first.held()
    await world.post("two", "den")
    await world.until(lambda: "waiting" in str(world.doing_in("den")), "the second waits")
    await world.post("three", "shed")
    await world.until(lambda: "wait already" in str(world.doing_in("shed")), "the third stands outside")
    world.begin()
    world.first.release()
    await world.answer(one, "garden")
    for room in ("den", "shed"):
        await world.until(partial(world.texts, room), "an answer")
    world.over = time.perf_counter()
    world.aside = [f"in the third room: {what}" for what in world.doing_in("shed")]


async def _stop(world: World) -> str:
    """A person presses *Stop* on the dashboard while the answer is written."""
    world.first.answers.append(Answer(" ".join(f"word{n}" for n in range(4000)), pace=0.005))
    await world.post()
    await world.until(world.shown, "a piece of the answer")
    await asyncio.sleep(0.1)
    left = world.first.dropped
    world.begin()
    pressed = asyncio.create_task(world.press("/rooms/garden/stop"))
    await world.until(lambda: world.first.dropped > left, "quiet")
    quiet = (time.perf_counter() - world.begun) * 1000
    await pressed
    await world.until(world.texts, "a word about it")
    world.over = time.perf_counter()
    world.trace = (await world.until_event("turn.stopped")).trace_id
    return f"quiet after {quiet:.0f} ms"


LOOK = Setting(front=("tools: [lamp.*]",), files=OWN_TOOLS)

CASES = (
    Case(
        GROUP,
        "the same call three times",
        _saying(*(_look("moss", n) for n in range(3)), DONE),
        "that is all I found",
        ("session.tripped", "restart.chosen"),
        ("/traces/{trace}", "loop"),
        useful=2,
        setting=LOOK,
    ),
    Case(
        GROUP,
        "a cycle of two calls",
        _saying(*(_look(("moss", "fern")[n % 2], n) for n in range(6)), DONE),
        "that is all I found",
        ("session.tripped", "restart.chosen"),
        ("/traces/{trace}", "loop"),
        useful=3,
        setting=LOOK,
    ),
    Case(
        GROUP,
        "a loop that nothing ends: amended, begun afresh, then a person is asked",
        _asked,
        "that is all I found",
        ("session.tripped", "restart.chosen", "question.asked", "question.answered"),
        ("/traces/{trace}", "loop"),
        useful=2,
        setting=LOOK,
    ),
    Case(
        GROUP,
        "steps without news",
        _saying(*(_look(("moss", "fern")[n % 2], n) for n in range(5)), DONE),
        "that is all I found",
        ("session.tripped", "restart.chosen"),
        ("/traces/{trace}", "stall"),
        useful=2,
        setting=Setting(
            front=("tools: [lamp.*]", "guards: {repeats: 0, cycles: 0, paraphrase: 0, no_news: 3}"),
            files=OWN_TOOLS,
        ),
    ),
    Case(
        GROUP,
        "forty calls in one step",
        _saying(SWARM, DONE),
        "that is all I found",
        ("session.tripped", "restart.chosen"),
        ("/traces/{trace}", "fan"),
        useful=1,
        setting=LOOK,
    ),
    Case(
        GROUP,
        "the context is full: hand-off",
        _reading(NOTE, DONE),
        "that is all I found",
        ("session.tripped", "session.handed_off", "restart.chosen"),
        ("/traces/{trace}", "context"),
        useful=2,
        setting=Setting(front=("tools: [lamp.*]",), files=OWN_TOOLS, context=6000),
    ),
    Case(
        GROUP,
        "the context is full, and the hand-off fails",
        _reading(refusal(400, "no notes today"), DONE),
        "that is all I found",
        ("session.tripped", "session.handed_off", "restart.chosen"),
        ("/traces/{trace}", "context"),
        useful=2,
        setting=Setting(front=("tools: [lamp.*]",), files=OWN_TOOLS, context=6000, alone=True),
    ),
    Case(
        GROUP,
        "the budget of a turn is used up",
        _turn_budget,
        "tokens",
        ("budget.exhausted",),
        ("/rooms/garden", "tokens"),
        setting=Setting(front=("tools: [lamp.*]", "budget: {tokens_per_turn: 10000}"), files=OWN_TOOLS),
    ),
    Case(
        GROUP,
        "the garden's budget of the day is used up",
        _day_budget,
        "usd_per_day",
        ("budget.warned", "budget.exhausted"),
        ("/limits", "usd per day"),
        setting=Setting(budget=BudgetSettings(garden=Limits(usd_per_day=0.10))),
    ),
    Case(
        GROUP,
        "an agent's budget of the day is used up while it writes in two rooms",
        _two_rooms,
        "stopped by budget",
        ("budget.exhausted", "turn.stopped"),
        ("/limits", "of it estimated"),
        setting=Setting(front=("budget: {tokens_per_day: 6000}",), rooms=("garden", "den"), alone=True),
    ),
    Case(
        GROUP,
        "our own limit reached and the queue full",
        _queue,
        "held",
        ("model.requested",),
        ("/rooms/shed", "from the first"),
        useful=3,
        setting=Setting(
            alone=True, rooms=("garden", "den", "shed"), limits=LimitSettings(concurrency=1, queue=1)
        ),
    ),
    Case(
        GROUP,
        "stopped by a person while the answer is written",
        _stop,
        "stopped",
        ("turn.stopped",),
        ("/rooms/garden", "stopped"),
    ),
)
