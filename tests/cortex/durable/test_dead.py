from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from planaria.cortex.durable.dead import REPLAY, Box, Dead, DeadRefused, replaying
from planaria.cortex.durable.job import Job, Retry, submission
from planaria.cortex.durable.letters import DeadLettered, letter
from planaria.cortex.durable.work import GiveUp, Handler, Work
from planaria.cortex.event import Event
from planaria.cortex.folded import LEAST_EVENTS
from planaria.cortex.journal import Journal
from planaria.cortex.query import Query
from planaria.otp import child, exit_signal, supervisor, wait_down, whereis
from planaria.testing.memory_store import MemoryStore
from planaria.testing.node import TestNode


class Rig:
    def __init__(self, node: TestNode) -> None:
        self.node = node
        self.replayed: list[tuple[str, int]] = []
        self.works = False

    async def start(self) -> None:
        store = MemoryStore()
        handlers = {"note": Handler(self.note), REPLAY: Handler(replaying({"thing": self.again}))}
        await self.node.start(child(Journal, lambda: store, name="journal"))
        await self.node.start(
            supervisor(
                child(Dead, name="dead"), child(Work, handlers, name="work"), max_restarts=99, within=1.0
            )
        )

    async def again(self, dead: DeadLettered, job: Job) -> str:
        self.replayed.append((dead.target, dead.attempt))
        return "done again"

    async def note(self, job: Job) -> None:
        if not self.works:
            raise GiveUp(f"no note for {job.payload['what']}")
        self.replayed.append((job.payload["what"], job.given_up))

    async def run[T](self, what: Callable[[], Awaitable[T]]) -> T:
        return await self.node.run(what)

    async def letter(self, target: str = "a", **settings: Any) -> None:
        event = letter("thing", "it broke", target=target, evidence={"why": "rust"}, **settings).new()
        await self.run(partial(Journal.append, "journal", [event]))

    async def states(self) -> list[tuple[int, str]]:
        letters = await self.run(partial(Dead.letters, "dead", True))
        return [(letter.number, letter.state) for letter in letters]

    async def replay(self, which: str) -> str:
        work = await self.run(partial(Dead.replay, "dead", which, by="ada"))
        await self.node.settle()
        return work


@pytest.fixture
async def rig(node: TestNode) -> Rig:
    rig = Rig(node)
    await rig.start()
    return rig


async def test_a_letter_is_listed_and_shown_with_reason_and_evidence(rig: Rig) -> None:
    await rig.letter()
    (listed,) = await rig.run(partial(Dead.letters, "dead"))
    assert (listed.number, listed.letter, listed.target, listed.reason) == (1, "thing", "a", "it broke")
    view = await rig.run(partial(Dead.show, "dead", "#1"))
    assert view.letter == listed
    assert view.evidence == {"why": "rust"}
    assert (await rig.run(partial(Dead.show, "dead", listed.id))) == view


async def test_written_twice_it_is_one_letter() -> None:
    assert letter("thing", "x", target="a").new().id == letter("thing", "y", target="a").new().id
    assert letter("thing", "x", target="a").new().id != letter("thing", "x", target="a", attempt=2).new().id


async def test_a_replay_is_done_by_who_knows_the_kind(rig: Rig) -> None:
    await rig.letter()
    await rig.replay("1")
    assert rig.replayed == [("a", 1)]
    view = await rig.run(partial(Dead.show, "dead", "1"))
    assert (view.letter.state, view.letter.by, view.outcome, view.outcome_text) == (
        "replayed",
        "ada",
        "work.finished",
        "done again",
    )


async def test_a_letter_is_closed_once(rig: Rig) -> None:
    await rig.letter()
    await rig.replay("1")
    with pytest.raises(DeadRefused, match="#1 was replayed already, by ada"):
        await rig.replay("1")
    with pytest.raises(DeadRefused, match="replayed already"):
        await rig.run(partial(Dead.drop, "dead", "1", by="bob"))
    assert rig.replayed == [("a", 1)]


async def test_of_those_who_close_a_letter_at_once_one_succeeds(rig: Rig) -> None:
    await rig.letter()
    refused: list[DeadRefused] = []

    async def close(what: Callable[[], Awaitable[object]]) -> None:
        try:
            await what()
        except DeadRefused as error:
            refused.append(error)

    ways: list[Callable[[], Awaitable[object]]] = [
        partial(Dead.replay, "dead", "1", by="ada"),
        partial(Dead.drop, "dead", "1", by="bob"),
    ] * 2
    for pid in [rig.node.spawn(partial(close, way)) for way in ways]:
        await rig.run(partial(wait_down, pid))
    assert len(refused) == 3
    kinds = [event.kind for event in await rig.run(partial(Journal.read, "journal", Query(session="dead")))]
    assert len(kinds) == 2


async def test_a_letter_is_dropped_with_a_word_about_it(rig: Rig) -> None:
    await rig.letter()
    await rig.run(partial(Dead.drop, "dead", "1", by="ada", why="stale"))
    view = await rig.run(partial(Dead.show, "dead", "1"))
    assert (view.letter.state, view.letter.why) == ("dropped", "stale")
    assert await rig.run(partial(Dead.count, "dead")) == 0


async def test_work_that_is_given_up_again_is_a_new_letter_that_counts(rig: Rig) -> None:
    event = submission("note", {"what": "x"}, label="note x", retry=Retry(attempts=2))
    await rig.run(partial(Journal.append, "journal", [event]))
    await rig.node.settle()
    await rig.replay("1")
    letters = await rig.run(partial(Dead.letters, "dead", True))
    assert [(each.number, each.state, each.attempt) for each in letters] == [
        (2, "open", 2),
        (1, "replayed", 1),
    ]
    assert letters[0].target == letters[1].target == event.id
    rig.works = True
    first = await rig.run(partial(Dead.show, "dead", "1"))
    assert first.again == 2
    await rig.replay("2")
    assert rig.replayed == [("x", 2)]
    assert await rig.states() == [(2, "replayed"), (1, "replayed")]


async def test_a_kind_nobody_replays_says_so_in_a_letter_of_its_own(rig: Rig) -> None:
    event = letter("riddle", "unsolved", target="a").new()
    await rig.run(partial(Journal.append, "journal", [event]))
    await rig.replay("1")
    letters = await rig.run(partial(Dead.letters, "dead"))
    assert "nobody here can replay a 'riddle'" in letters[0].reason


async def test_a_replay_survives_a_kill_at_once_after_it(rig: Rig) -> None:
    await rig.letter()

    async def replay_and_kill() -> None:
        work = whereis("work")
        assert work is not None
        await Dead.replay("dead", "1", by="ada")
        exit_signal(work, "kill")
        await wait_down(work)

    await rig.run(replay_and_kill)
    await rig.node.advance(10.0)
    assert rig.replayed == [("a", 1)]


async def test_a_letter_that_is_not_there_is_refused(rig: Rig) -> None:
    for what in (Dead.show, partial(Dead.replay, by="x"), partial(Dead.drop, by="x")):
        with pytest.raises(DeadRefused, match="no dead letter '7'"):
            await rig.run(partial(what, "dead", "7"))


async def test_numbers_and_letters_survive_restarts_and_years(rig: Rig) -> None:
    for number in range(LEAST_EVENTS // 2 + 5):
        await rig.letter(str(number))
        await rig.run(partial(Dead.drop, "dead", str(number + 1), by="ada"))
    await rig.letter("last")
    await rig.node.settle()
    box = await rig.run(partial(Box.load, "dead", "letters"))
    assert box.unsaved < LEAST_EVENTS
    assert [each.target for each in box.open.values()] == ["last"]
    assert next(iter(box.open.values())).number == LEAST_EVENTS // 2 + 6
    assert len(await rig.run(partial(Journal.read, "journal", Query(session="dead")))) == LEAST_EVENTS + 11


async def test_an_erased_letter_can_only_be_dropped() -> None:
    box = Box()
    box.take(Event(1, "L1", 0.0, "", None, "n", "p", "dead", "dead.lettered", {}, state="erased"))
    assert box.open["L1"].reason == "(erased)"
    box.take(Event(2, "E", 0.0, "", "L1", "n", "p", "dead", "dead.dropped", {}, state="erased"))
    assert box.closed["L1"].state == "dropped"
