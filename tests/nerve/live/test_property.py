"""Whatever happens, in whatever order it is looked at: the tables are what a plain count of the events says."""

from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from planaria.cortex.event import Event
from planaria.cortex.live.table import ALL
from planaria.nerve.live.providers import Providers
from planaria.nerve.live.sessions import Sessions
from planaria.otp import Node

AGENTS, ROOMS, MESSAGES, PROVIDERS = ("scout", "keeper"), ("garden", "shed"), ("m1", "m2", "m3"), ("a", "b")

payloads: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "room.message": st.fixed_dictionaries(
        {"author": st.sampled_from((*AGENTS, "ada")), "to": st.lists(st.sampled_from(AGENTS), unique=True)}
    ),
    "turn.started": st.fixed_dictionaries(
        {"message": st.sampled_from(MESSAGES)}, optional={"attempt": st.integers(1, 3)}
    ),
    "turn.finished": st.fixed_dictionaries({"outcome": st.just("answered")}),
    "model.requested": st.fixed_dictionaries(
        {"provider": st.sampled_from(PROVIDERS), "model": st.just("x"), "step": st.integers(0, 3)}
    ),
    "model.responded": st.fixed_dictionaries(
        {
            "provider": st.sampled_from(PROVIDERS),
            "usage": st.fixed_dictionaries({"input_tokens": st.integers(0, 9), "output_tokens": st.just(1)}),
        },
        optional={"cost_micro": st.integers(0, 9), "tool_calls": st.just([{"name": "t"}])},
    ),
    "model.failed": st.fixed_dictionaries({"error": st.just("broken")}),
    "tool.started": st.fixed_dictionaries({"call_id": st.sampled_from("cd"), "tool": st.just("t")}),
    "tool.finished": st.fixed_dictionaries({"call_id": st.sampled_from("cd"), "tool": st.just("t")}),
}


@st.composite
def happenings(draw: st.DrawFn) -> list[Event]:
    """Events in any order, sensible or not; some of what was said is erased."""
    found: list[Event] = []
    for seq in range(1, draw(st.integers(1, 40)) + 1):
        kind = draw(st.sampled_from(sorted(payloads)))
        room = draw(st.sampled_from(ROOMS))
        said = kind == "room.message"
        session = f"room:{room}" if said else f"session:{draw(st.sampled_from(AGENTS))}@{room}"
        whole = draw(st.integers(0, 9)) > 0
        payload = draw(payloads[kind]) if whole else {}
        named, cause = draw(st.sampled_from(MESSAGES)), draw(st.none() | st.sampled_from(MESSAGES))
        found.append(
            Event(
                *(
                    seq,
                    named if said else f"E{seq}",
                    float(seq),
                    "T",
                    cause,
                    "n",
                    "p",
                    session,
                    kind,
                    payload,
                ),
                state="whole" if whole else "erased",
            )
        )
    return found


def tables(events: list[Event], looks: set[int]) -> tuple[list[Any], list[Any]]:
    """The rows after these events, with a look after some of them."""
    sessions, providers = Sessions(Node("n")), Providers()
    for event in events:
        for each in (sessions, providers):
            if event.kind in each.kinds:
                each.event(event)
            if event.seq in looks:
                each.table.select(ALL)
    return _rows(sessions), _rows(providers)


def _rows(projection: Sessions | Providers) -> list[Any]:
    rows: list[Any] = projection.table.select(ALL)
    return sorted(rows, key=lambda row: row.key)


@settings(max_examples=150, deadline=None)
@given(events=happenings(), looks=st.sets(st.integers(1, 40)), cut=st.integers(0, 40))
def test_looking_changes_nothing_and_the_figures_are_those_of_the_events(
    events: list[Event], looks: set[int], cut: int
):
    events = events[cut % len(events) :]  # as after a restart: some of what was before is not known
    sessions, providers = tables(events, looks)
    assert (sessions, providers) == tables(events, set())

    counted: Counter[tuple[str, str]] = Counter()
    asked: dict[str, str] = {}
    waiting: dict[str, set[str]] = {}
    for event in events:
        key, payload = event.session, event.payload
        usage = payload.get("usage", {})
        tokens = usage.get("input_tokens", 0)
        match event.kind:
            case "room.message":
                room = key.removeprefix("room:")
                for agent in payload.get("to", ()):
                    waiting.setdefault(f"session:{agent}@{room}", set()).add(event.id)
                waiting.get(f"session:{payload.get('author')}@{room}", set()).discard(event.cause_id or "")
            case "turn.started":
                waiting.get(key, set()).discard(payload.get("message", ""))
            case "turn.finished":
                counted[key, "turns"] += 1
                asked.pop(key, None)
            case "model.requested":
                asked.pop(key, None)
                if event.state == "whole":
                    asked[key] = payload["provider"]
            case "model.responded":
                asked.pop(key, None)
                counted[key, "tokens"] += tokens
                counted[key, "cost"] += payload.get("cost_micro", 0)
                if event.state == "whole":
                    counted[payload["provider"], "calls"] += 1
                    counted[payload["provider"], "tokens"] += tokens
            case "model.failed":
                counted[key, "failures"] += 1
                provider = asked.pop(key, None)
                counted[provider or "", "failures"] += 1
            case _:
                pass
    for row in sessions:
        assert (row.turns, row.failures) == (counted[row.key, "turns"], counted[row.key, "failures"])
        assert (row.tokens_in, row.cost_micro) == (counted[row.key, "tokens"], counted[row.key, "cost"])
        assert row.queue == len(waiting.get(row.key, ()))
    for row in providers:
        assert (row.calls, row.tokens_in) == (counted[row.key, "calls"], counted[row.key, "tokens"])
        assert row.in_flight == [*asked.values()].count(row.key)
        assert row.failures == counted[row.key, "failures"]
    keys = {event.session for event in events if event.session.startswith("session:")} | waiting.keys()
    assert {row.key for row in sessions} == keys
