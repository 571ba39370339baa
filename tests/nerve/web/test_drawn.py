"""HTML that is drawn once for everybody."""

from planaria.nerve.web.drawn import Drawn
from tests.nerve.web.garden import FakeRoom, read_until, visiting


def test_a_piece_is_drawn_once():
    drawn, calls = Drawn(), []

    def draw() -> str:
        calls.append(1)
        return "<b>x</b>"

    assert drawn.get("a", draw) == drawn.get("a", draw) == "<b>x</b>"
    assert drawn.get("a", draw).__html__() == "<b>x</b>"
    assert len(calls) == 1


def test_only_so_much_is_kept_and_the_longest_unasked_goes_first():
    drawn = Drawn(most=10)
    for key in "ab":
        drawn.get(key, lambda: "1234")
    drawn.get("a", lambda: "new")
    drawn.get("c", lambda: "1234")
    assert drawn.size == 8
    assert drawn.get("a", lambda: "new") == "1234"
    assert drawn.get("b", lambda: "new") == "new"
    assert drawn.get("huge", lambda: "x" * 11) == "x" * 11
    assert drawn.size <= 10


async def test_a_message_is_drawn_once_however_many_look(tmp_path, monkeypatch):
    texts: list[str] = []

    def to_html(text: str, outside: bool) -> str:
        texts.append(text)
        return f"drawn: {text}"

    monkeypatch.setattr("planaria.nerve.web.pages.rooms.to_html", to_html)
    path = "/live/rooms/garden"
    async with visiting(tmp_path) as visit, visit.stream(path) as one, visit.stream(path) as two:
        for stream in (one, two):
            await read_until(stream, "#transcript")
        await FakeRoom.post(visit.node["room:garden"], "you", "hello")
        for stream in (one, two):
            assert "drawn: hello" in await read_until(stream, "drawn: You said")
        assert "drawn: hello" in (await visit.get("/rooms/garden")).text
    assert texts == ["hello", "You said **hello**"]
