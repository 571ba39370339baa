"""Model services that fail."""

import asyncio

from planaria.testing.faults import FAULTS
from planaria.testing.model_answer import Answer
from tests.faults.table.case import Case
from tests.faults.table.world import SILENCE, Setting, World, free_port

GROUP = "Model services"
SECOND = "from the second"


def _first(*answers: Answer):
    """The first service gives these answers."""

    async def play(world: World) -> None:
        world.first.answers.extend(answers)
        await world.ask()

    return play


def _fault(name: str):
    async def play(world: World) -> None:
        world.first.answers.append(FAULTS[name].answer("openai"))
        await world.ask()

    return play


def _other(name: str, fault: str, kind: str, shows: str, waits: float = 0.0) -> Case:
    """A fault of the first service after which the second answers."""
    return Case(
        GROUP,
        name,
        _fault(fault),
        SECOND,
        ("model.failed", "model.responded"),
        ("/traces/{trace}", shows),
        waits=waits,
    )


def refusal(status: int, message: str, **headers: str) -> Answer:
    """An answer that refuses."""
    told = {"error": {"type": "error", "message": message}}
    return Answer(status=status, body=told, headers={k.replace("_", "-"): v for k, v in headers.items()})


async def _down_then_back(world: World) -> None:
    """Both refuse to serve for a while; then both do again."""
    for server in (world.first, world.second):
        server.answers.extend([refusal(503, "down for maintenance")] * 2)
    await world.ask()


async def _closed_then_back(world: World) -> None:
    """No port listens; after a second it does."""
    server = world.first._server
    assert server is not None
    port = world.first.port
    server.close()
    await asyncio.sleep(0)
    world.begin()
    accepted = await world.post()
    await world.until_event("model.failed")
    world.first._port = port
    await world.first.__aenter__()
    await world.answer(accepted)


async def _ask(world: World) -> None:
    await world.ask()


async def _pings(world: World) -> None:
    """Signs of life without a word; the guard's clock ends it."""
    world.first.answers.append(Answer("from the first", endless=b": ping\n\n", pace=0.1))
    await world.ask()


async def _hour(world: World) -> str:
    """It asks for an hour; the next message is given up at once. A person presses *Release*, and it is asked again."""
    world.first.answers.append(refusal(429, "come back later", retry_after="3600"))
    await world.ask("one")
    await world.ask("two")
    assert len(world.first.requests) == 1
    told = await world.press("/models/first/release")
    await world.ask("three")
    return "*Release* on the page Models: asked again" if "first is asked again" in told else told


CASES = (
    Case(GROUP, "no fault", _ask, "from the first", page=("/traces/{trace}", "from the first")),
    Case(
        GROUP,
        "slow first byte, within the time-out",
        _first(Answer("from the first", wait=SILENCE / 2)),
        "from the first",
        page=("/traces/{trace}", "from the first"),
        waits=SILENCE / 2,
    ),
    _other("no first byte", "slow_first_byte", "timed_out", "another model is asked", SILENCE),
    _other("hang in the middle of an answer", "hang", "timed_out", "another model is asked", SILENCE),
    _other("cut in the middle of a token", "cut_mid_token", "stream_cut", "another model is asked"),
    _other("429 with Retry-After", "rate_limited", "rate_limited", "another model is asked"),
    Case(
        GROUP,
        "429 with Retry-After: 1, nobody else to ask",
        _first(refusal(429, "slow down", retry_after="1")),
        "from the first",
        ("model.failed",),
        ("/traces/{trace}", "slow down"),
        setting=Setting(alone=True),
    ),
    Case(
        GROUP,
        "429 with Retry-After: 3600, nobody else to ask, released by hand",
        _hour,
        "from the first",
        ("model.failed", "provider.released"),
        ("/traces/{trace}", "from the first"),
        setting=Setting(alone=True),
    ),
    _other("500", "server_error", "overloaded", "another model is asked"),
    Case(
        GROUP,
        "503",
        _first(refusal(503, "service unavailable")),
        SECOND,
        ("model.failed",),
        ("/traces/{trace}", "service unavailable"),
    ),
    _other("529", "overloaded", "overloaded", "another model is asked"),
    _other("malformed JSON in an event", "bad_json", "bad_answer", "another model is asked"),
    _other("malformed event stream", "bad_events", "stream_cut", "another model is asked"),
    _other("one event of nine megabytes", "huge_event", "bad_answer", "another model is asked"),
    _other("words without an end", "endless", "bad_answer", "over and over"),
    Case(
        GROUP,
        "signs of life without a word or an end",
        _pings,
        "from the first",
        ("session.tripped", "restart.chosen"),
        ("/traces/{trace}", "Nothing came of it"),
        waits=2.0,
        setting=Setting(front=("guards: {stall_seconds: 2}",)),
    ),
    Case(
        GROUP,
        "the same, and the agent's record says to turn to another model",
        _pings,
        SECOND,
        ("session.tripped", "restart.chosen"),
        ("/traces/{trace}", "Nothing came of it"),
        waits=2.0,
        setting=Setting(front=("guards: {stall_seconds: 2}", "restart: [{on: stall, do: reroute}]")),
    ),
    _other("wrong key, 401", "no_key", "authentication_failed", "another model is asked"),
    Case(
        GROUP,
        "wrong key, 401, nobody else to ask",
        _fault("no_key"),
        "I could not answer",
        ("model.failed",),
        ("/traces/{trace}", "invalid x-api-key"),
        useful=0,
        setting=Setting(alone=True),
    ),
    _other("no credit, 402", "no_credit", "out_of_credit", "another model is asked"),
    _other("model not found, 404", "no_model", "model_not_found", "another model is asked"),
    _other("context too long, 400", "too_long", "context_too_long", "another model is asked"),
    Case(
        GROUP,
        "both services answer 503 twice, then work",
        _down_then_back,
        "meanwhile: waiting: second/m failed (overloaded), the next try is in 1 s",
        ("model.failed",),
        ("/traces/{trace}", "down for maintenance"),
    ),
    Case(
        GROUP,
        "port gone, comes back",
        _closed_then_back,
        "from the first",
        ("model.failed",),
        ("/traces/{trace}", "again"),
        setting=Setting(alone=True),
    ),
    Case(
        GROUP,
        "port gone, another to ask",
        _ask,
        SECOND,
        ("model.failed",),
        ("/traces/{trace}", "another model is asked"),
        setting=Setting(first=f"http://127.0.0.1:{free_port()}/v1"),
    ),
    Case(
        GROUP,
        "name gone from the DNS",
        _ask,
        SECOND,
        ("model.failed",),
        ("/traces/{trace}", "another model is asked"),
        setting=Setting(first="https://models.invalid/v1"),
    ),
)
