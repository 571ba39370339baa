"""`planaria stop` with a target: what is meant by it, and what is said of it."""

import pytest

from planaria.agents.guard.halting import Halted
from planaria.otp import GenServer, call


class Session(GenServer):
    """Stands in for a session: remembers who stopped it."""

    def init(self, name: str) -> None:
        self.name = name
        self.stopped: list[tuple[str, str, str]] = []

    @call
    def halt(self, by: str, mode: str = "cancel", why: str = "") -> Halted:
        self.stopped.append((by, mode, why))
        return Halted(self.name, ("turn-1", "turn-2"))

    @call
    def told(self) -> list[tuple[str, str, str]]:
        return self.stopped


@pytest.fixture
def agents(live):
    """Sessions of scout in garden and den, and of keeper in garden."""
    names = ("session:scout@garden", "session:scout@den", "session:keeper@garden")

    async def start() -> None:
        for name in names:
            await Session.start(name, name=name)

    live.tell(start)
    return live


def stopped(live) -> list[str]:
    """Whom a stop has reached."""

    async def ask() -> list[str]:
        names = [name for name in live.node.names if name.startswith("session:")]
        return sorted([name.removeprefix("session:") for name in names if await Session.told(name)])

    found: list[str] = live.tell(ask)
    return found


def test_an_agent_is_stopped_in_all_its_rooms(agents):
    result = agents.run("stop", "scout", "--as", "ada", "--why", "too slow", "--kill")
    assert result.output == "scout@garden: stopped, 2 messages\nscout@den: stopped, 2 messages\n"
    assert stopped(agents) == ["scout@den", "scout@garden"]

    async def told() -> object:
        return await Session.told("session:scout@den")

    assert agents.tell(told) == [("ada", "kill", "too slow")]


@pytest.mark.parametrize(
    ("words", "reached"),
    [
        (("room", "garden"), ["keeper@garden", "scout@garden"]),
        (("garden",), ["keeper@garden", "scout@garden"]),
        (("agent", "keeper"), ["keeper@garden"]),
        (("session", "scout@den"), ["scout@den"]),
        (("scout@den",), ["scout@den"]),
        (("all",), ["keeper@garden", "scout@den", "scout@garden"]),
    ],
)
def test_a_target_is_a_name_or_a_kind_and_a_name(agents, words, reached):
    assert agents.run("stop", *words).exit_code == 0
    assert stopped(agents) == reached


def test_what_was_stopped_is_told_as_json(agents):
    told = agents.json("stop", "keeper")
    assert (told["kind"], told["name"], told["runs"]) == ("agent", "keeper", [])
    assert told["sessions"] == [
        {"session": "session:keeper@garden", "turns": ["turn-1", "turn-2"], "problem": ""}
    ]


def test_nothing_under_way_is_said_so(live):
    assert live.run("stop", "all").output == "nothing was under way\n"


def test_a_wrong_target_is_told_with_what_there_is(agents):
    result = agents.run("stop", "nobody")
    assert result.exit_code == 6
    assert "no agent, room or session 'nobody'" in result.stderr
    assert "scout@den" in result.stderr
    assert agents.run("stop", "room", "a", "b").exit_code == 2
    assert agents.run("stop", "--kill").exit_code == 2
    assert stopped(agents) == []
