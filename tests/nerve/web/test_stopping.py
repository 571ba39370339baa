"""The buttons that stop: a room, a session; and what guards saw, on its page."""

from planaria.agents.guard.halting import Halted
from planaria.nerve.live.sessions import SessionRow
from planaria.nerve.web.pages import rooms
from planaria.otp import GenServer, call
from tests.nerve.web.garden import visiting


class Session(GenServer):
    """Stands in for a session."""

    def init(self, turns: tuple[str, ...], problem: str = "") -> None:
        self.turns, self.problem = turns, problem

    @call
    def halt(self, by: str, mode: str = "cancel", why: str = "") -> Halted:
        return Halted("session:poet@garden", self.turns if by == "you" else (), self.problem)


async def test_a_room_is_stopped_and_told_how_much_was_under_way(tmp_path):
    async with visiting(tmp_path, agent_name="other") as visit:
        assert 'hx-post="/rooms/garden/stop"' in (await visit.get("/rooms/garden")).text
        assert "Nothing was under way." in (await visit.post("/rooms/garden/stop")).text
        await visit.node.run(lambda: Session.start(("turn",), name="session:poet@garden"))
        assert "Stopped: 1 message was under way." in (await visit.post("/rooms/garden/stop")).text


async def test_a_session_is_stopped_by_its_name(tmp_path):
    async with visiting(tmp_path, agent_name="other") as visit:
        await visit.node.run(lambda: Session.start(("one", "two"), name="session:poet@garden"))
        told = (await visit.post("/sessions/poet@garden/stop")).text
        assert "Stopped: 2 messages were under way." in told
        assert "Nothing was under way." in (await visit.post("/sessions/poet@den/stop")).text


async def test_a_stop_that_may_not_hold_is_an_alarm(tmp_path):
    async with visiting(tmp_path, agent_name="other") as visit:
        await visit.node.run(lambda: Session.start((), "the journal is away", name="session:poet@garden"))
        told = (await visit.post("/rooms/garden/stop")).text
        assert "not certain to be kept: the journal is away" in told
        assert "alarm" in told


async def test_a_room_that_is_opened_shows_who_is_at_work_there(tmp_path, monkeypatch):
    at_work = SessionRow("session:poet@garden", "poet", "garden", "waiting", "asks work/large", turn="M1~2")
    others = (
        SessionRow("session:poet@den", "poet", "den", "thinking", turn="M2"),
        SessionRow("session:idler@garden", "idler", "garden"),
    )
    monkeypatch.setattr(rooms, "session_rows", lambda node: [at_work, *others])
    async with visiting(tmp_path) as visit:
        page = (await visit.get("/rooms/garden")).text
    assert page.count("said agent streaming") == 1
    assert "is waiting: asks work/large" in page
    assert 'hx-post="/sessions/poet@garden/stop"' in page
