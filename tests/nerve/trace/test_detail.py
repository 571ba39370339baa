import msgspec

from planaria.cortex.event import Event
from planaria.cortex.query import Query
from planaria.cortex.redact import Redactor
from planaria.nerve.trace.detail import Detail
from planaria.nerve.trace.opening import open_nodes
from planaria.nerve.trace.reading import Reading, read_trace
from tests.nerve.trace.story import GARDEN, SCOUT, Story, answered

KEY = "sk-" + "a1b2c3d4e5f6" * 3


def reader(events: list[Event]):
    """A journal of these events alone."""

    async def read(query: Query) -> list[Event]:
        found = [
            event
            for event in events
            if query.session in (None, event.session)
            and (not query.kinds or event.kind in query.kinds)
            and query.trace_id in (None, event.trace_id)
            and event.seq > query.after_seq
            and (query.before_seq is None or event.seq < query.before_seq)
        ]
        found = found[::-1] if query.newest_first else found
        return found[: query.limit]

    return read


def finder(events: list[Event]):
    """Events by id."""

    async def find(id: str) -> Event | None:
        return next((event for event in events if event.id == id), None)

    return find


async def opened(story: Story, kind: str, place: int = 0) -> Detail:
    read = reader(story.events)
    reading = await read_trace(read, "T", now=2000.0)
    assert isinstance(reading, Reading)
    nodes = [node.id for node in reading.trace.nodes if node.kind == kind]
    (detail,) = await open_nodes(read, reading, [nodes[place]], Redactor())
    return detail


async def test_a_prompt_is_opened_in_parts():
    detail = await opened(answered(), "prompt", 1)
    assert [(section.title, section.text) for section in detail.sections] == [
        ("instructions", "Be brief."),
        ("the message", "ada: what grew?"),
        ("the turn so far", 'model: calls notes.search {"query":"beds"}\nnotes.search: two notes'),
        ("tools offered, 1", '[\n  {\n    "name": "notes.search"\n  }\n]'),
    ]


async def test_the_talk_a_prompt_refers_to_is_read_when_it_is_opened():
    story = Story()
    story.add(
        "room.message",
        GARDEN,
        None,
        trace="before",
        author="wren",
        author_kind="agent",
        text="Rain tomorrow.",
    )
    story.add(
        "room.message", GARDEN, None, trace="before", id="left", author="ada", author_kind="person", text="no"
    )
    story.asked().taken_up()
    talk = {"first": 1, "last": 2, "left_out": ["left"]}
    story.add("model.requested", turn="M", step=0, provider="local", model="small", messages=3, talk=talk)
    detail = await opened(story, "prompt")
    assert ("talk, 1 message", "wren: Rain tomorrow.") in [(s.title, s.text) for s in detail.sections]


async def test_the_talk_of_a_branch_is_read_from_the_room_it_left_too():
    story, branch = Story(), "garden-fork-1"
    story.add("room.message", GARDEN, None, trace="before", author="wren", author_kind="agent", text="Rain.")
    story.add(
        "room.message", GARDEN, None, trace="after", author="ada", author_kind="person", text="not this"
    )
    story.add("room.forked", f"room:{branch}", None, trace="fork", from_room="garden", until_seq=1)
    story.add(
        "room.message", f"room:{branch}", None, trace="x", author="ada", author_kind="person", text="Hail?"
    )
    story.add(
        "room.message", f"room:{branch}", None, id="M", author="ada", author_kind="person", text="Snow?"
    )
    session = f"session:scout@{branch}"
    story.add("turn.started", session, message="M", author="ada")
    talk = {"first": 1, "last": 4}
    story.add("model.requested", session, turn="M", step=0, provider="l", model="s", messages=3, talk=talk)
    detail = await opened(story, "prompt")
    (talked,) = [section for section in detail.sections if section.title == "talk, 3 messages"]
    assert talked.text.startswith("wren: Rain.\ngarden-fork-1: This room goes on from garden")
    assert talked.text.endswith("\nada: Hail?")


async def test_a_tool_call_shows_arguments_and_result_as_outside_content():
    detail = await opened(answered(), "tool")
    assert [(section.title, section.outside) for section in detail.sections] == [
        ("arguments", True),
        ("result", True),
    ]
    assert ("branch", "ok") in detail.facts


async def test_a_decision_shows_what_was_wanted_with_its_arguments():
    detail = await opened(answered(), "decision")
    assert [section.title for section in detail.sections] == ["calls notes.search"]
    assert '"query": "beds"' in detail.sections[0].text


async def test_secrets_of_an_old_journal_are_masked():
    story = Story().asked(f"my key is {KEY}")
    detail = await opened(story, "message")
    assert KEY not in str(msgspec.json.encode(detail))


async def test_what_was_erased_says_so_and_shows_nothing():
    story = answered()
    story.events = [msgspec.structs.replace(e, payload={}, state="erased") for e in story.events]
    detail = await opened(story, "message")
    assert ("content", "erased from the journal") in detail.facts
    assert detail.sections == ()


async def test_the_life_of_processes_that_take_part_is_read_beside_the_trace():
    story = answered()
    until = story.events[-1]
    for process in (SCOUT, "index"):
        event = story.add("process.killed", "node", None, process=process, trace="other", reason="killed")
        story.events[-1] = msgspec.structs.replace(event, at=until.at)
    reading = await read_trace(reader(story.events), "T", now=2000.0)
    assert reading is not None
    assert [node.title for node in reading.trace.nodes if node.kind == "side"] == [f"{SCOUT} was killed"]
