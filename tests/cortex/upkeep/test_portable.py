"""The journal as text: what was written is read back, and a line that does not fit is named."""

import msgspec
import pytest

from planaria.cortex.event import Event
from planaria.cortex.upkeep.portable import Unfit, ending, heading, read_events


def event(seq: int, **fields: object) -> Event:
    whole = Event(seq, f"id-{seq}", 1.5, "t", None, "garden", "p", "room:garden", "room.message", {"n": seq})
    return msgspec.structs.replace(whole, **fields)


def file(*events: Event) -> list[bytes]:
    return [
        heading("garden", 1.0),
        *(msgspec.json.encode(each) + b"\n" for each in events),
        ending(len(events)),
    ]


def read(lines: list[bytes]) -> list[Event]:
    return [each for _, each in read_events("j.jsonl", lines)]


def refused(lines: list[bytes]) -> str:
    with pytest.raises(Unfit) as caught:
        read(lines)
    return str(caught.value)


def test_events_are_read_back_as_they_were() -> None:
    events = [event(1), event(2, payload={"ö": [None, 1.5, "\n"]}, subject="person:ada", version=3)]
    events.append(event(7, payload={}, state="pruned", cause_id="id-1"))
    assert read(file(*events)) == events


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"version": 0}, "has the version 0"),
        ({"version": 40_000}, "has the version 40000"),
        ({"payload": {"text": "x" * 9_000_000}}, "bytes, at most"),
    ],
)
def test_what_the_journal_would_not_take_is_not_read(fields: dict[str, object], said: str) -> None:
    assert said in refused(file(event(1, **fields)))


@pytest.mark.parametrize("depth", [150, 100_000])
def test_what_is_nested_too_deep_is_not_read(depth: int) -> None:
    lines = file(event(1))
    lines[1] = lines[1].replace(b'{"n":1}', b'{"n":' + b"[" * depth + b"]" * depth + b"}")
    assert refused(lines).startswith("j.jsonl:2:")


def test_an_empty_journal_is_a_file_too() -> None:
    assert read(file()) == []


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], "j.jsonl:1: this is no journal"),
        ([b'{"some": "json"}\n'], "j.jsonl:1: this is no journal"),
        ([b"\xff\xfe\n"], "j.jsonl:1: this is no journal"),
        (
            [b'{"planaria_journal": 99}\n'],
            "j.jsonl:1: format 99, this program knows 1; use the planaria that wrote it",
        ),
        (file(event(1))[:-1], "j.jsonl:3: the file ends after 1 events without its last line"),
        ([heading("g", 1.0), b"{broken\n", ending(1)], "j.jsonl:2: no event"),
        ([heading("g", 1.0), b'{"seq": "one"}\n', ending(1)], "j.jsonl:2: no event"),
        ([heading("g", 1.0), ending(3)], "j.jsonl:2: it says that there are 3 events, and has 0"),
        ([*file(event(1)), b"more\n"], "j.jsonl:4: there is something after the last line"),
        (file(event(2), event(2)), "j.jsonl:3: event id-2 at 2 comes after one at 2"),
        (file(event(1, id="")), "j.jsonl:2: an event without id or kind"),
        (file(event(1, state="erased")), "j.jsonl:2: event id-1 is erased and has a payload all the same"),
    ],
)
def test_what_does_not_fit_is_named_with_file_and_line(lines: list[bytes], said: str) -> None:
    assert refused(lines).startswith(said)
