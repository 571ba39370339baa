"""A stored run as a regression test: the present code decides as it did then, or the test says how not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

import planaria.agents.turn.turn as turns
from planaria.agents.definition import AgentDefinition
from planaria.agents.past.stored import read_run
from planaria.agents.prompt.prompt import choose, compose
from planaria.agents.turn.events import ModelResponded, TurnFinished
from planaria.agents.turn.turn import Turn
from planaria.cortex.event import Event
from planaria.cortex.upkeep.portable import Unfit
from planaria.membrane.tool import Context, Done, tool
from planaria.testing.replay import Checked, Differs, replay

RUN = Path(__file__).parent / "runs" / "weather.jsonl"
SCOUT = AgentDefinition("scout", "You tell the weather. Be brief.", tools=("weather.*",))
GARDEN = {"soul": "We are kind."}


@tool(name="weather.today", idempotent=True)
async def today(context: Context, city: str) -> Done:
    """Tell today's weather.

    Args:
        city: its name.
    """
    return Done(f"Rain in {city}.")


def edited(change: Callable[[Event], Event | None]) -> list[Event]:
    """The run with events changed or left out."""
    return [kept for event in read_run(RUN) if (kept := change(event)) is not None]


def with_payload(event: Event, **values: Any) -> Event:
    return msgspec.structs.replace(event, payload={**event.payload, **values})


def test_a_stored_run_holds():
    assert replay(RUN, agent=SCOUT, tools=[today], garden=GARDEN) == Checked(turns=3, prompts=7, calls=2)


async def test_a_run_is_checked_in_an_asynchronous_test_as_well():
    assert replay(RUN).turns == 3


def test_a_run_holds_without_its_agent_and_tools():
    assert replay(RUN) == Checked(turns=3, prompts=7, calls=0)
    assert replay(str(RUN), session="session:scout@garden", max_steps=12).turns == 3


# --- changes of the code -------------------------------------------------------------------------------------------


def test_a_changed_prompt_is_found(monkeypatch: pytest.MonkeyPatch):
    def louder(agent: str, turn: Turn, shown: Any, system: str, *how: Any) -> Any:
        return compose(agent, turn, shown, system.upper(), *how)

    monkeypatch.setattr("planaria.agents.prompt.request.compose", louder)
    with pytest.raises(Differs, match="another prompt than the one sent") as found:
        replay(RUN)
    assert found.value.what == "prompt"
    assert "YOU TELL THE WEATHER" in str(found.value)


def test_a_changed_choice_of_talk_is_found(monkeypatch: pytest.MonkeyPatch):
    fewer = lambda talk, hidden: choose(talk, hidden)[-1:]  # noqa: E731
    monkeypatch.setattr("planaria.testing.replay.choose", fewer)
    with pytest.raises(Differs, match="would now be shown") as found:
        replay(RUN)
    assert found.value.what == "talk"


def test_a_changed_decision_is_found(monkeypatch: pytest.MonkeyPatch):
    def hasty(turn: Turn, max_steps: int) -> turns.Action:
        """Says what came with the tool calls, and makes none."""
        if turn.steps:
            return turns.Say(turn.steps[-1].response.text or "(no answer)", None)
        return turns.next_action(turn, max_steps)

    monkeypatch.setattr("planaria.testing.replay.next_action", hasty)
    with pytest.raises(Differs, match=r"called weather.today then .*, and would now say") as found:
        replay(RUN)
    assert found.value.what == "action"


def test_another_answer_is_found(monkeypatch: pytest.MonkeyPatch):
    before = turns.next_action

    def polite(turn: Turn, max_steps: int) -> turns.Action:
        action = before(turn, max_steps)
        return turns.Say(f"{action.text} Yours, scout", None) if isinstance(action, turns.Say) else action

    monkeypatch.setattr("planaria.testing.replay.next_action", polite)
    with pytest.raises(Differs, match=r"\+.*Yours, scout") as found:
        replay(RUN)
    assert found.value.what == "answer"


def test_fewer_steps_allowed_are_found():
    with pytest.raises(Differs, match="would now say 'I stopped after 1 steps"):
        replay(RUN, max_steps=1)


# --- changes of the agent and its tools ----------------------------------------------------------------------------


def test_changed_instructions_are_found_with_both_sides():
    other = msgspec.structs.replace(SCOUT, instructions="You tell the weather. Rhyme.")
    with pytest.raises(Differs, match="another system text") as found:
        replay(RUN, agent=other, garden=GARDEN)
    assert "-You tell the weather. Be brief." in str(found.value)
    assert "+You tell the weather. Rhyme." in str(found.value)


def test_other_tools_on_offer_are_found():
    @tool(name="weather.today")
    async def other(context: Context, city: str, day: str = "today") -> Done:
        """Tell a day's weather.

        Args:
            city: its name.
            day: which day.
        """
        return Done("")

    with pytest.raises(Differs, match="other tools on offer") as found:
        replay(RUN, agent=SCOUT, tools=[other], garden=GARDEN)
    assert '+      "day": {' in str(found.value)


def test_a_tool_that_would_refuse_the_call_now_is_found():
    @tool(name="weather.today")
    async def stricter(context: Context, city: int) -> Done:
        """Tell today's weather.

        Args:
            city: its number.
        """
        return Done("")

    with pytest.raises(Differs, match=r"was made then, and would now be refused: .*city"):
        replay(RUN, tools=[stricter])
    with pytest.raises(Differs, match=r"there is no tool 'weather\.today'"):
        replay(RUN, tools=[])


def test_a_call_that_was_refused_and_would_be_made_now_is_found():
    @tool(name="weather.tomorrow")
    async def tomorrow(context: Context) -> Done:
        """Tell tomorrow's weather."""
        return Done("")

    with pytest.raises(Differs, match=r"was refused then \(there is no tool .*, and would now be made"):
        replay(RUN, tools=[today, tomorrow])


# --- runs that are none --------------------------------------------------------------------------------------------


def test_an_answer_changed_in_the_file_is_found():
    def change(event: Event) -> Event:
        return with_payload(event, text="Sun.") if event.kind == ModelResponded.kind else event

    with pytest.raises(Differs):
        replay(edited(change))


def test_a_run_cut_short_by_a_crash_holds_as_far_as_it_goes():
    last = max(event.seq for event in read_run(RUN) if event.kind == TurnFinished.kind)
    events = [event for event in read_run(RUN) if event.seq < last - 2]
    assert replay(events).turns == 3


def test_what_cannot_be_checked_is_said(tmp_path: Path):
    with pytest.raises(ValueError, match="there is none"):
        replay([])
    with pytest.raises(ValueError, match="nothing has happened in session:x"):
        replay(RUN, session="session:x@y")
    with pytest.raises(ValueError, match="was erased"):
        replay(
            edited(
                lambda event: (
                    msgspec.structs.replace(event, payload={}, state="erased")
                    if event.kind == ModelResponded.kind
                    else event
                )
            )
        )
    short = tmp_path / "short.jsonl"
    short.write_bytes(RUN.read_bytes()[:-30])
    with pytest.raises(Unfit):
        replay(short)
