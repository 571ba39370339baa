"""Streams: bounded, and fair to whoever reads slowly."""

import asyncio
import re

import pytest
from starlette.types import Message

from planaria.nerve.web import live
from planaria.nerve.web.dashboard import happening_of
from planaria.nerve.web.pages.rooms import joined
from planaria.nerve.web.troubles import Happening, find_troubles
from planaria.otp import Crash, ProcessExited
from planaria.rooms.message import ReplyDelta, TurnState
from tests.nerve.web.garden import read_until, running, visiting


async def test_a_reader_who_does_not_read_is_let_go(monkeypatch):
    async def endless(*_):
        while True:
            yield "data: x\n\n"

    sent: list[Message] = []

    async def stuck(message: Message) -> None:
        sent.append(message)
        if len(sent) == 3:
            await asyncio.Event().wait()

    monkeypatch.setattr(live, "frames", endless)
    monkeypatch.setattr(live, "SEND_LIMIT", 0.02)
    async with asyncio.timeout(5):
        await live.LiveResponse(None, None, None).stream_response(stuck)  # type: ignore[arg-type]
    assert len(sent) == 3


async def test_a_page_flooded_between_two_frames_starts_afresh(tmp_path, monkeypatch):
    monkeypatch.setattr(live, "BURST", 50)
    async with visiting(tmp_path) as visit, visit.stream("/live/rooms/garden") as stream:
        await read_until(stream, "#transcript")
        for number in range(60):
            visit.node.broadcast("room:garden", ReplyDelta("garden", "scout", "1", str(number)))
        async with asyncio.timeout(5):
            assert [piece async for piece in stream if "hx-target" in piece] == []


async def test_a_stream_ends_when_its_session_does(tmp_path, monkeypatch):
    monkeypatch.setattr(live, "BEAT", 0.05)
    async with visiting(tmp_path) as visit, visit.stream("/live/overview") as stream:
        await read_until(stream, "#beat")
        await visit.post("/logout")
        async with asyncio.timeout(5):
            async for _ in stream:
                pass


async def test_pieces_of_one_answer_are_joined_and_others_keep_their_place():
    def piece(text: str, author: str = "scout") -> ReplyDelta:
        return ReplyDelta("garden", author, "1", text)

    turn = TurnState("garden", "scout", "acting", "1")
    assert joined([piece("a"), piece("b"), turn, piece("c"), piece("x", "keeper"), piece("d")]) == [
        piece("ab"),
        turn,
        piece("c"),
        piece("x", "keeper"),
        piece("d"),
    ]


async def test_what_was_shown_of_an_answer_that_broke_off_is_struck_out_and_the_answer_begins_again(tmp_path):
    async with visiting(tmp_path) as visit, visit.stream("/live/rooms/garden") as stream:
        await read_until(stream, "#transcript")
        pieces = (("half an", ""), ("", "it broke off"), ("\n\nWhole.", ""), (" Yes.", ""))
        heard = ""
        for text, again in pieces:
            visit.node.broadcast("room:garden", ReplyDelta("garden", "scout", "1", text, again))
            heard += await read_until(stream, again or text.strip())
        first, second = re.findall(r'<span class="piece" id="([^"]+)">', heard)
        struck = heard.index('<span class="again">it broke off</span>')
        assert heard.index(first) < struck < heard.index(second)
        assert ">Whole.</span>" in heard and f'hx-target="#{second}"' in heard


def test_pieces_on_both_sides_of_a_new_beginning_are_not_joined():
    pieces = [
        ReplyDelta("garden", "scout", "1", *each) for each in (("a",), ("", "why"), ("b",), ("c", "", 1))
    ]
    assert joined(pieces) == [
        ReplyDelta("garden", "scout", "1", "a"),
        ReplyDelta("garden", "scout", "1", "b", "why"),
        ReplyDelta("garden", "scout", "1", "c", "", 1),
    ]


async def test_a_crash_loop_is_a_trouble_and_a_kill_by_hand_is_not(tmp_path):
    async with running(tmp_path) as node:
        crashes = [Happening(100.0 + n, "crashed", "session:scout@garden", "boom") for n in range(3)]
        kills = [Happening(100.0 + n, "killed", "journal", "killed") for n in range(5)]
        found = await find_troubles(node, [*crashes, *kills], 110.0)
        assert [trouble.href for trouble in found] == ["/processes/session:scout@garden"]
        assert "boom" in found[0].mend
        assert await find_troubles(node, crashes, 1000.0) == ()


@pytest.mark.parametrize(
    ("reason", "kind"),
    [("normal", None), ("shutdown", None), ("killed", "killed"), (Crash(ValueError("x")), "crashed")],
)
async def test_only_abnormal_ends_are_remembered(tmp_path, reason, kind):
    async with running(tmp_path) as node:
        happening = happening_of(ProcessExited(node["journal"], "journal", "journal", reason), 1.0)
    assert (None if happening is None else happening.kind) == kind
