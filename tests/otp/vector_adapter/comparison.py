"""Whether what happened is what the vectors say happened: results, events, exits, inboxes, survivors.

Used by the scenario loop only. Pure: no process, no clock. `disagreements` answers with one sentence per
difference, empty when the scenario agrees. Does badly: it stops at the first difference within one step.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

type Json = Any  # whatever `json.loads` gives: the vectors are opaque data
type Entry = Mapping[str, Json]


def disagreements(
    expect: Entry, results: Sequence[Json], trace: Sequence[Entry], alive: Iterable[str]
) -> list[str]:
    """List how an execution differs from the expectation of its scenario.

    Args:
        expect: the scenario's `expect` object.
        results: what each step returned, in order.
        trace: what was observed during each step, in order.
        alive: labels of the processes alive after the last step.
    """
    found: list[str] = []
    for name, wanted, got in (("results", expect["results"], results), ("trace", expect["trace"], trace)):
        if len(wanted) != len(got):
            found.append(f"{len(got)} {name} instead of {len(wanted)}")
    for step, (wanted, got) in enumerate(zip(expect["results"], results, strict=False)):
        if canonical(wanted) != canonical(got):
            found.append(f"step {step}: result {got!r} instead of {wanted!r}")
    for step, (entry, record) in enumerate(zip(expect["trace"], trace, strict=False)):
        if problem := step_disagreement(entry, record):
            found.append(f"step {step}: {problem}")
    if sorted(alive) != expect["alive"]:
        found.append(f"alive at the end {sorted(alive)!r} instead of {expect['alive']!r}")
    return found


def step_disagreement(wanted: Entry, got: Entry) -> str | None:
    """Say how the record of one step differs, or None if it agrees."""
    return (
        _events_disagreement(wanted, got)
        or _exits_disagreement(wanted, got)
        or _inbox_disagreement(wanted, got)
    )


def canonical(value: Json) -> str:
    """One text for all values that count as equal: keys sorted, lists of children sorted."""
    return json.dumps(_without_child_order(value), sort_keys=True)


def _events_disagreement(wanted: Entry, got: Entry) -> str | None:
    wanted_events = _told_apart(wanted.get("events", ()))
    got_events = _told_apart(got.get("events", ()))
    if "before" not in wanted:
        return None if wanted_events == got_events else _differ("events", wanted_events, got_events)
    if set(wanted_events) != set(got_events):
        return _differ("events (in any order)", sorted(wanted_events), sorted(got_events))
    position = {event: index for index, event in enumerate(got_events)}
    for earlier, later in wanted["before"]:
        if position[wanted_events[earlier]] > position[wanted_events[later]]:
            return f"order: {wanted_events[earlier][0]} came after {wanted_events[later][0]}"
    return None


def _exits_disagreement(wanted: Entry, got: Entry) -> str | None:
    if canonical(wanted.get("exits", {})) == canonical(got.get("exits", {})):
        return None
    return _differ("exits", wanted.get("exits", {}), got.get("exits", {}))


def _inbox_disagreement(wanted: Entry, got: Entry) -> str | None:
    wanted_messages = [canonical(message) for message in wanted.get("inbox", ())]
    got_messages = [canonical(message) for message in got.get("inbox", ())]
    if wanted.get("inbox_any_order"):
        wanted_messages, got_messages = sorted(wanted_messages), sorted(got_messages)
    return None if wanted_messages == got_messages else _differ("inbox", wanted_messages, got_messages)


def _told_apart(events: Iterable[Json]) -> list[tuple[str, int]]:
    """Number equal events by their occurrence, so that each is one element."""
    seen: Counter[str] = Counter()
    numbered = []
    for event in map(canonical, events):
        seen[event] += 1
        numbered.append((event, seen[event]))
    return numbered


def _without_child_order(value: Json) -> Json:
    if isinstance(value, dict):
        return {key: _without_child_order(item) for key, item in value.items()}
    if isinstance(value, list):
        items = [_without_child_order(item) for item in value]
        if items and all(isinstance(item, dict) and "child" in item and "id" in item for item in items):
            items.sort(key=lambda item: json.dumps(item, sort_keys=True))
        return items
    return value


def _differ(what: str, wanted: object, got: object) -> str:
    return f"{what}\n    wanted {wanted}\n    got    {got}"
