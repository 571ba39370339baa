"""A new version comes into force, and every process goes on with it where it was."""

from typing import Any

import pytest

from planaria.otp import CallError, Down, NotAProcess, monitor, receive, sleep, spawn_link, upgrade
from planaria.otp.kernel.birth import create
from planaria.otp.kernel.event import CodeLoaded, ProcessUpgraded
from planaria.otp.upgrade.group import sources_of
from planaria.otp.upgrade.loading import load_beside
from planaria.otp.upgrade.move import Move

COUNTER = """
class Counter(GenServer):
    step = 1

    def init(self, start: int = 0) -> None:
        self.count = start

    @call
    def add(self) -> int:
        self.count += self.step
        return self.count

    @call
    async def slowly(self) -> str:
        await sleep(1.0)
        return f"began with step {self.step}"
"""
BY_TEN = COUNTER.replace("step = 1", "step = 10")


async def load(*names, **more):
    return await upgrade.load(*names, check=False, probation=0, **more)


async def test_a_process_goes_on_with_new_code_and_its_old_state(node, code):
    m = code.module("m1", COUNTER)

    async def work():
        counter = await m.Counter.start(5, name="counter")
        link = spawn_link(receive)
        watch = monitor(counter)
        assert await m.Counter.add(counter) == 6
        code.write("m1", BY_TEN)
        report = await load("m1")
        assert (report.modules, report.version, report.moved, report.late) == (("m1",), 2, 1, ())
        assert await m.Counter.add(counter) == 16
        assert node.whereis("counter") is counter
        assert watch in counter.watchers
        del link

    await node.run(work)


async def test_client_functions_of_both_versions_reach_processes_of_both(node, code):
    old = code.module("m2", COUNTER).Counter

    async def work():
        moved = await old.start(0)
        code.write("m2", BY_TEN)
        await load("m2")
        new = code["m2"].Counter
        assert new is not old
        assert [await old.add(moved), await new.add(moved)] == [10, 20]
        fresh = await new.start(0)
        assert [await old.add(fresh), await new.add(fresh)] == [10, 20]

    await node.run(work)


async def test_whoever_holds_the_old_class_or_module_starts_the_new_one(node, code):
    m = code.module("m3", COUNTER)
    held = m.Counter

    async def work():
        code.write("m3", BY_TEN)
        await load("m3")
        assert await held.add(await held.start(0)) == 10
        assert m.Counter is code["m3"].Counter is not held  # `import m3` elsewhere: the newest
        assert upgrade.latest(held) is m.Counter

    await node.run(work)


async def test_a_message_in_hand_is_finished_on_the_code_it_began_with(node, code):
    m = code.module("m4", COUNTER)
    answers = []

    async def work():
        counter = await m.Counter.start(0)

        async def ask():
            answers.append(await m.Counter.slowly(counter))
            answers.append(await m.Counter.add(counter))

        spawn_link(ask)
        await sleep(0.5)
        code.write("m4", BY_TEN.replace("began with", "ended with"))
        report = await load("m4")
        assert report.late == ()
        await sleep(1.0)

    running = node.spawn(work)
    for _ in range(40):
        await node.settle()
        await node.advance(0.1)
    assert not running.alive and running.reason == "normal"
    assert answers == ["began with step 1", 10]


async def test_who_is_busy_for_too_long_moves_when_done(node, code):
    m = code.module("m5", COUNTER)
    seen = []

    async def work():
        counter = await m.Counter.start(0)
        idle = await m.Counter.start(0)
        spawn_link(m.Counter.slowly, counter)
        await sleep(0.5)
        code.write("m5", BY_TEN)
        report = await load("m5", patience=0.1)
        seen.append((report.moved, report.late == (counter,)))
        seen.append(await m.Counter.add(idle))
        seen.append(await m.Counter.add(counter))

    node.spawn(work)
    for _ in range(30):
        await node.settle()
        await node.advance(0.1)
    assert seen == [(1, True), 10, 10]


async def test_code_change_is_told_the_old_version_and_may_change_the_state(node, code):
    m = code.module("m6", "__vsn__ = 'one'\n" + COUNTER)
    second = (
        BY_TEN
        + """
    def code_change(self, old_version, extra):
        self.count = (old_version, extra, self_() is self.pid, self.count)
    @call
    def look(self): return self.count
"""
    )

    async def work():
        counter = await m.Counter.start(1)
        code.write("m6", second)
        await load("m6", extra="more")
        assert await code["m6"].Counter.look(counter) == ("one", "more", True, 1)

    await node.run(work)


async def test_an_async_code_change_runs_in_the_process_before_any_message(node, code):
    m = code.module("m7", COUNTER)
    second = (
        BY_TEN
        + """
    async def code_change(self, old_version, extra):
        await sleep(1.0)
        self.count = 100 if self_() is self.pid else -1
"""
    )
    seen = []

    async def work():
        counter = await m.Counter.start(1)
        code.write("m7", second)
        report = await load("m7")
        seen.append(report.moved)
        seen.append(await m.Counter.add(counter))

    node.spawn(work)
    for _ in range(30):
        await node.settle()
        await node.advance(0.1)
    assert seen == [1, 110]


def test_a_server_whose_init_is_still_to_come_only_gets_the_new_class(node, code):
    m = code.module("m8", COUNTER)
    old = m.Counter
    code.write("m8", BY_TEN + "\n    def code_change(self, old_version, extra): self.changed = True\n")
    new = load_beside(sources_of(["m8"], ["m8"], ()), {"m8": 2}, set())["m8"].Counter
    process = create(node, "young")
    process.body = server = old()
    process.pending = ("start", None, None, 1, None, 0, 0.0, process)
    moved, rest = Move({old: new}, lambda _: 1, lambda _: 2).begin(process)
    assert type(server) is new and rest is None and moved.snapshot is None
    assert not hasattr(server, "changed")
    process.pending = None


async def test_nobody_is_started_on_old_code_while_the_others_change(node, code):
    m = code.module("m16", COUNTER)
    held = m.Counter
    seen: list[Any] = []

    async def work():
        await held.start(0)

        async def start_another():
            await sleep(0.5)
            seen.append(await held.start(7))

        spawn_link(start_another)
        code.write("m16", BY_TEN + "    async def code_change(self, old_version, extra): await sleep(1.0)\n")
        seen.append((await load("m16")).moved)
        seen.append(await m.Counter.add(seen[0]))

    running = node.spawn(work)
    for _ in range(60):
        await node.settle()
        await node.advance(0.1)
    assert running.reason == "normal"
    assert seen[1:] == [2, 17]


async def test_what_waits_behind_the_message_in_hand_keeps_its_order(node, code):
    text = (
        COUNTER
        + """
    @cast
    def note(self, what): self.__dict__.setdefault("notes", []).append((what, self.step))
    @call
    def notes_so_far(self): return self.notes
"""
    )
    m = code.module("m17", text)
    seen: list[Any] = []

    async def work():
        busy, idle = await m.Counter.start(0), await m.Counter.start(0)
        spawn_link(m.Counter.slowly, busy)
        await sleep(0.1)
        for number in range(5):
            m.Counter.note(busy, number)
        code.write("m17", text.replace("step = 1", "step = 10"))

        async def more():
            await sleep(0.1)
            m.Counter.note(busy, 5)
            m.Counter.note(idle, 6)

        spawn_link(more)
        assert (await load("m17")).moved == 2
        seen.append(await m.Counter.notes_so_far(busy))
        seen.append(await m.Counter.notes_so_far(idle))

    running = node.spawn(work)
    for _ in range(60):
        await node.settle()
        await node.advance(0.1)
    assert running.reason == "normal"
    assert seen == [[(number, 10) for number in range(6)], [(6, 10)]]


async def test_a_process_that_loads_its_own_module_moves_after_its_message(node, code):
    text = (
        COUNTER
        + """
    @call
    async def renew(self) -> object:
        report = await upgrade.load(__name__, check=False, probation=0)
        return report.late == (self.pid,), self.step
"""
    )
    m = code.module("m9", text)

    async def work():
        counter = await m.Counter.start(0)
        code.write("m9", text.replace("step = 1", "step = 10"))
        assert await m.Counter.renew(counter) == (True, 1)
        assert await m.Counter.add(counter) == 10

    await node.run(work)


async def test_nobody_waits_for_ever_for_somebody_who_is_held(node, code):
    m = code.module(
        "m10",
        COUNTER
        + """
class Asker(GenServer):
    def init(self, counter): self.counter = counter
    @call
    async def ask(self):
        await sleep(0.2)
        return await Counter.add(self.counter)
""",
    )
    seen = []

    async def work():
        counter = await m.Counter.start(0)
        asker = await m.Asker.start(counter)

        async def ask():
            seen.append(await m.Asker.ask(asker))

        spawn_link(ask)
        await sleep(0.1)
        code.write(
            "m10", (code.folder / "m10.py").read_text().split("import upgrade\n")[1].replace("= 1", "= 10")
        )
        report = await load("m10")
        seen.append((report.moved, report.late))
        seen.append(await m.Counter.add(counter))

    node.spawn(work)
    for _ in range(30):
        await node.settle()
        await node.advance(0.05)
    assert 1 in seen  # answered by the old code
    assert [each for each in seen if each != 1] == [(2, ()), 11]


async def test_events_tell_each_step(node, code):
    m = code.module("m11", COUNTER)
    told: list[Any] = []
    node.subscribe_events(told.append)

    async def work():
        counter = await m.Counter.start(0, name="c")
        code.write("m11", BY_TEN)
        await load("m11")
        return counter

    counter = await node.run(work)
    assert [e for e in told if isinstance(e, ProcessUpgraded | CodeLoaded)] == [
        ProcessUpgraded(counter, "c", "c", 1, 2),
        CodeLoaded(("m11",), 2, 1),
    ]


async def test_outside_a_process_the_node_must_be_named(node, code):
    m = code.module("m12", COUNTER)
    counter = await node.run(m.Counter.start, 0)
    code.write("m12", BY_TEN)
    with pytest.raises(NotAProcess, match="node=node"):
        await load("m12")
    assert (await load("m12", node=node)).moved == 1
    assert await m.Counter.add(counter) == 10


async def test_two_upgrades_at_a_time_are_one_too_many(node, code):
    m = code.module("m13", COUNTER)

    async def work():
        counter = await m.Counter.start(0)
        spawn_link(m.Counter.slowly, counter)
        await sleep(0.1)
        loading = spawn_link(load, "m13")
        await sleep(0.1)
        with pytest.raises(upgrade.UpgradeRefused, match="under way"):
            await load("m13")
        return loading

    running = node.spawn(work)
    for _ in range(30):
        await node.settle()
        await node.advance(0.1)
    assert running.reason == "normal"


async def test_handlers_are_those_of_the_new_class_even_in_a_burst(node, code):
    """Guards against any table of handlers kept beside the instance."""
    m = code.module(
        "m14",
        COUNTER
        + """
    @cast
    def bump(self) -> None: self.count += 1
""",
    )

    async def work():
        counter = await m.Counter.start(0)
        for _ in range(100):
            m.Counter.bump(counter)
        code.write(
            "m14",
            BY_TEN
            + """
    @cast
    def bump(self) -> None: self.count += 1000
    @call
    def fresh(self) -> str: return "new handler"
""",
        )
        await load("m14")
        for _ in range(100):
            m.Counter.bump(counter)
        assert await code["m14"].Counter.fresh(counter) == "new handler"
        total = await m.Counter.add(counter) - 10
        thousands, ones = divmod(total, 1000)
        assert thousands >= 100 and thousands + ones == 200
        fresh = m.Counter.fresh
        code.write("m14", BY_TEN)
        await load("m14", allow_missing=True)
        with pytest.raises(CallError, match="no handler"):
            await fresh(counter)

    await node.run(work)


async def test_the_killer_of_the_caller_does_not_leave_half_an_upgrade(node, code):
    m = code.module("m15", COUNTER)
    counters = await node.run(start_many, m.Counter, 20)
    code.write("m15", BY_TEN)

    async def ask():
        await load("m15")

    async def work():
        asking = spawn_link(ask)
        ref = monitor(asking)
        await receive(Down)
        return ref

    await node.run(work)
    assert {await m.Counter.add(each) for each in counters} == {10}


async def start_many(cls, count):
    return [await cls.start(0) for _ in range(count)]
