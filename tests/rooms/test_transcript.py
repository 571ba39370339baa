"""The fold of a room: what a snapshot keeps equals what the whole stream gives, and nothing that is gone breaks it."""

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from planaria.cortex.event import Event
from planaria.cortex.event_type import EventType
from planaria.rooms.events import MemberJoined, MemberLeft, MessageRedelivered, MessageSaid, RoomForked
from planaria.rooms.transcript import REMEMBERED, Standing, Transcript, message_of

AGENTS = ("scout", "keeper")


def stored(
    seq: int,
    what: EventType,
    *,
    cause: str | None = None,
    subject: str = "",
    state: Any = "whole",
    version: int | None = None,
) -> Event:
    """An event as the journal gives it back."""
    new = what.new()
    payload = {} if state != "whole" else msgspec.json.decode(msgspec.json.encode(new.payload))
    number = new.version if version is None else version
    return Event(
        seq,
        f"m{seq}",
        1.0,
        f"t{seq}",
        cause,
        "n",
        "p",
        "room:garden",
        new.kind,
        payload,
        number,
        subject,
        state,
    )


def said(author: str, text: str, *to: str, kind: Any = "person", **more: Any) -> MessageSaid:
    return MessageSaid(author, kind, text, to, **more)


@st.composite
def streams(draw: st.DrawFn) -> list[Event]:
    """What could be in a room's stream, some of it erased."""
    events: list[Event] = []
    for seq in range(1, draw(st.integers(1, 40)) + 1):
        agent = draw(st.sampled_from(AGENTS))
        earlier = draw(st.sampled_from(events)).id if events else "m0"
        state = draw(st.sampled_from(["whole", "whole", "whole", "erased", "pruned"]))
        match draw(st.integers(0, 6)):
            case 0:
                events.append(stored(seq, MemberJoined(agent, draw(st.booleans()))))
            case 1:
                events.append(stored(seq, MemberLeft(agent)))
            case 2 | 3:
                to = draw(st.lists(st.sampled_from(AGENTS), unique=True))
                events.append(stored(seq, said("ada", str(seq), *to), subject="person:ada", state=state))
            case 4:
                events.append(stored(seq, MessageRedelivered(earlier, agent, draw(st.integers(2, 4)))))
            case _:
                reply = said(
                    agent,
                    str(seq),
                    kind="agent",
                    final=draw(st.booleans()),
                    attempt=draw(st.integers(1, 3)),
                )
                events.append(stored(seq, reply, cause=earlier, state=state))
    return events


def folded(events: list[Event]) -> Transcript:
    transcript = Transcript("garden")
    for event in events:
        transcript.take(event)
    return complete(transcript, events)


def complete(transcript: Transcript, events: list[Event]) -> Transcript:
    """What a room does at its start with what waits and was not read."""
    known = {
        event.id: message_of("garden", event)
        for event in events
        if event.kind == MessageSaid.kind and event.state == "whole"
    }
    for message_id in transcript.unread():
        transcript.recall(message_id, known.get(message_id))
    return transcript


@settings(max_examples=300, deadline=None)
@given(events=streams(), data=st.data())
def test_a_room_from_a_snapshot_stands_as_one_from_the_whole_stream(events: list[Event], data: st.DataObject):
    cut = data.draw(st.integers(0, len(events)))
    whole = folded(events)
    kept = msgspec.json.encode(folded(events[:cut]).standing())
    again = Transcript("garden")
    again.stand(msgspec.json.decode(kept, type=Standing))
    for event in events[cut:]:
        again.take(event)
    complete(again, events)
    again.remember([message_of("garden", e) for e in events[:cut] if e.kind == MessageSaid.kind])
    assert (again.members, again.host) == (whole.members, whole.host)
    for agent in AGENTS:
        assert again.deliveries(agent) == whole.deliveries(agent)
    assert again.page(0, REMEMBERED) == whole.page(0, REMEMBERED)


def test_a_snapshot_has_nothing_that_was_said():
    transcript = folded(
        [stored(1, MemberJoined("scout")), stored(2, said("ada", "my secret", "scout"), subject="person:ada")]
    )
    assert b"secret" not in msgspec.json.encode(transcript.standing())


def test_what_was_erased_is_shown_so_and_waits_for_nobody():
    question = stored(2, said("ada", "my secret", "scout"), subject="person:ada", state="erased")
    transcript = folded([stored(1, MemberJoined("scout")), question])
    (message,) = transcript.page(0, 10)
    assert (message.text, message.author_kind, message.subject) == ("(erased)", "notice", "person:ada")
    assert transcript.deliveries("scout") == []


def test_an_answer_that_was_pruned_still_counts_as_one():
    question = stored(1, said("ada", "hello", "scout"))
    answer = stored(2, said("scout", "hi", kind="agent"), cause="m1", state="pruned")
    assert folded([question, answer]).deliveries("scout") == []


def test_what_a_later_program_wrote_is_shown_as_unreadable_and_breaks_nothing():
    later = [stored(1, said("ada", "hello"), version=99), stored(2, MemberJoined("scout"), version=99)]
    (message,) = folded(later).page(0, 10)
    assert message.text == "(this cannot be read)"


def test_a_message_of_the_first_version_is_read():
    old = {
        "author": "ada",
        "author_kind": "person",
        "text": "hello",
        "to": ["scout"],
        "client_id": "ada\0c-1",
    }
    event = Event(1, "m1", 1.0, "t", None, "n", "p", "room:garden", "room.message", old)
    assert MessageSaid.of(event) == said("ada", "hello", "scout", client_id="c-1")
    assert [d.message.text for d in folded([event]).deliveries("scout")] == ["hello"]


def test_a_fork_says_where_it_comes_from():
    transcript = folded([stored(7, RoomForked("pond", 5))])
    assert transcript.origin == ("pond", 5)
    assert transcript.page(0, 10)[0].text == "This room goes on from pond, as it was at event 5."
