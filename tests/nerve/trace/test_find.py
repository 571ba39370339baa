from typing import Any

import msgspec
import pytest

from planaria.cortex.event import Event
from planaria.cortex.query import Query
from planaria.nerve.trace import find
from planaria.nerve.trace.find import NoTrace, find_trace
from planaria.nerve.trace.reading import latest
from tests.nerve.trace.story import GARDEN, Story
from tests.nerve.trace.test_detail import finder, reader

FIRST, SECOND = "01K0000000000000000000AAAA", "01K0000000000000000000BBBB"


def told() -> Story:
    """Two questions, the second of which failed."""
    story = Story(FIRST).asked("first?").taken_up().called().answers().replied().over()
    story.trace = SECOND
    story.add(
        "room.message", GARDEN, None, id="N", author="ada", author_kind="person", text="second?", to=["scout"]
    )
    story.add("turn.started", cause="N", message="N", author="ada")
    story.add("turn.finished", cause="N", turn="N", outcome="failed")
    return story


@pytest.mark.parametrize(
    ("what", "trace"),
    [
        ("", SECOND),
        (FIRST, FIRST),
        (FIRST.lower(), FIRST),
        ("AAAA", FIRST),
        ("…bbbb", SECOND),
        ("garden", SECOND),
        ("session:scout@garden", SECOND),
        ("e3", FIRST),
    ],
)
async def test_a_trace_is_found_by_whatever_names_it(what, trace):
    assert (await find_trace(reader(told().events), finder(told().events), what)).trace_id == trace


async def test_an_event_is_found_by_its_id_however_old_it_is(monkeypatch):
    monkeypatch.setattr(find, "LOOK_BACK", 0)
    events = told().events
    assert await find_trace(reader(events), finder(events), "e3") == find.Found(FIRST, "e3")


async def test_a_notice_that_nobody_asked_for_is_no_question():
    story = told()
    notice: dict[str, Any] = {"author": "breakers", "author_kind": "notice", "text": "local is not used"}
    story.add("room.message", GARDEN, None, id="B", trace="01K0CCCCCCCCCCCCCCCCCCCCCC", **notice)
    assert (await find_trace(reader(story.events), finder(story.events), "")).trace_id == SECOND
    assert (await find_trace(reader(story.events), finder(story.events), "garden")).trace_id == SECOND
    found = await latest(reader(story.events), 10, now=2000.0, look=None)
    assert [trace.question for trace in found] == ["second?", "first?"]
    alone = story.events[-1:]
    assert (await find_trace(reader(alone), finder(alone), "garden")).trace_id == alone[0].trace_id


async def test_a_piece_of_several_ids_names_them():
    with pytest.raises(NoTrace, match="2 traces have an id that begins or ends with '01K0'") as caught:
        await find_trace(reader(told().events), finder(told().events), "01K0")
    assert set(caught.value.near) == {FIRST, SECOND}


async def test_an_id_with_a_slip_is_answered_with_those_that_come_near():
    with pytest.raises(NoTrace) as caught:
        await find_trace(reader(told().events), finder(told().events), FIRST[:-1] + "X")
    assert FIRST in caught.value.near


async def test_a_long_question_is_listed_by_its_first_words():
    events = told().events
    whole = events[0]
    left = msgspec.structs.replace(
        whole, payload=whole.payload | {"text": {"$content": "hash", "chars": 1865}}
    )

    async def read(query: Query) -> list[Event]:
        found = await reader(events)(query)
        return found if query.contents else [left if event == whole else event for event in found]

    assert [t.question for t in await latest(read, 10, now=2000.0, look=None)] == ["second?", "first?"]


async def test_the_list_has_the_latest_first_and_can_be_of_failures_alone():
    read = reader(told().events)
    assert [t.question for t in await latest(read, 10, now=2000.0, look=None)] == ["second?", "first?"]
    assert [t.question for t in await latest(read, 10, failed=True, now=2000.0, look=None)] == ["second?"]
    assert [t.question for t in await latest(read, 1, now=2000.0, look=None)] == ["second?"]
