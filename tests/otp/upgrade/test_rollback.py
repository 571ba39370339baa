"""The way back, at any time, by hand or by itself."""

from typing import Any

import pytest

from planaria.otp import DynamicSupervisor, child, dynamic, sleep, spawn_link, supervisor, upgrade
from planaria.otp.kernel.event import CodeRolledBack
from planaria.otp.upgrade.probation import CrashRate
from tests.otp.upgrade.test_load import BY_TEN, COUNTER, load

LIST = """
@dataclass
class Book:
    entries: list = field(default_factory=list)

class Keeper(GenServer):
    def init(self): self.book = Book(); self.kinds = {"a": {1}}
    @call
    def write(self, what):
        self.book.entries.append(what)
        self.kinds["a"].add(what)
        return list(self.book.entries), sorted(self.kinds["a"])
"""


async def test_code_and_state_go_back(node, code):
    m = code.module("r1", LIST)
    held = m.Keeper

    async def work():
        keeper = await held.start()
        assert await held.write(keeper, 2) == ([2], [1, 2])
        code.write("r1", LIST.replace("append(what)", "append(what * 10)"))
        await load("r1")
        assert await held.write(keeper, 3) == ([2, 30], [1, 2, 3])
        report = await upgrade.rollback("r1")
        assert (report.version, report.moved) == (1, 1)
        assert m.Keeper is code["r1"].Keeper is held
        assert await held.write(keeper, 4) == ([2, 4], [1, 2, 4])
        assert [(v.number, v.in_force) for v in upgrade.versions("r1")] == [(1, True), (2, False)]

    await node.run(work)


async def test_a_class_that_can_transform_its_state_back_loses_nothing(node, code):
    m = code.module("r2", COUNTER)
    second = (
        BY_TEN
        + """
    can_downgrade = True
    def code_change(self, old_version, extra):
        if isinstance(old_version, upgrade.Downgrade):
            assert old_version.version == 1
            self.count //= 2
        else:
            self.count *= 2
"""
    )

    async def work():
        counter = await m.Counter.start(4)
        code.write("r2", second)
        await load("r2")
        assert await m.Counter.add(counter) == 18
        await upgrade.rollback("r2")
        assert await m.Counter.add(counter) == 10

    await node.run(work)


async def test_a_transformation_that_fails_falls_back_to_the_snapshot(node, code):
    m = code.module("r3", COUNTER)

    async def work():
        counter = await m.Counter.start(4)
        code.write(
            "r3",
            BY_TEN
            + """
    can_downgrade = True
    def code_change(self, old_version, extra):
        self.count = -1
        if isinstance(old_version, upgrade.Downgrade): raise ValueError
""",
        )
        await load("r3")
        await upgrade.rollback("r3")
        assert await m.Counter.add(counter) == 5

    await node.run(work)


async def test_state_may_be_kept_on_the_way_back(node, code):
    m = code.module("r4", COUNTER)

    async def work():
        counter = await m.Counter.start(4)
        code.write("r4", BY_TEN)
        await load("r4")
        await m.Counter.add(counter)
        await upgrade.rollback("r4", keep_state=True)
        assert await m.Counter.add(counter) == 15

    await node.run(work)


async def test_without_an_upgrade_there_is_no_way_back(node, code):
    code.module("r5", COUNTER)
    with pytest.raises(upgrade.UpgradeRefused, match="not been upgraded"):
        await upgrade.rollback("r5", node=node)


async def test_a_version_can_be_loaded_again_after_a_rollback(node, code):
    m = code.module("r6", COUNTER)

    async def work():
        counter = await m.Counter.start(0)
        code.write("r6", BY_TEN)
        await load("r6")
        await upgrade.rollback("r6")
        report = await load("r6")
        assert (report.version, report.killed) == (3, ())
        assert await m.Counter.add(counter) == 10

    await node.run(work)


CRASHES = COUNTER.replace("return self.count", "raise RuntimeError('new and bad')", 1)


async def test_crashes_above_the_former_rate_roll_everything_back(node, code):
    m = code.module("r7", COUNTER)
    held = m.Counter
    told: list[Any] = []
    node.subscribe_events(told.append)
    specs = [child(held, n, name=f"c{n}") for n in range(6)]
    await node.start(supervisor(*specs, max_restarts=100))
    code.write("r7", CRASHES)
    await upgrade.load("r7", node=node, check=False, probation=30.0, min_crashes=3)
    for n in range(3):
        with pytest.raises(Exception, match="new and bad"):
            await held.add(node[f"c{n}"])
        await node.settle()
    assert code["r7"] is m
    (event,) = [event for event in told if isinstance(event, CodeRolledBack)]
    assert "3 crashes in" in event.reason and "new and bad" in event.reason
    assert [await held.add(node[f"c{n}"]) for n in range(6)] == [n + 1 for n in range(6)]


async def test_fewer_crashes_than_the_minimum_or_later_ones_do_not(node, code):
    m = code.module("r8", COUNTER)
    held = m.Counter
    await node.start(supervisor(*[child(held, n, name=f"c{n}") for n in range(6)], max_restarts=100))
    code.write("r8", CRASHES)
    await upgrade.load("r8", node=node, check=False, probation=30.0, min_crashes=3)
    for n in range(6):
        if n == 2:
            await node.advance(31.0)
        with pytest.raises(Exception, match="new and bad"):
            await held.add(node[f"c{n}"])
        await node.settle()
    assert upgrade.versions("r8")[-1].in_force
    assert node.listeners == []


def test_a_rate_is_above_another_only_beyond_chance():
    former = CrashRate(100, 1000.0)
    assert not CrashRate(13, 100.0).exceeds(former, 3)
    assert CrashRate(25, 100.0).exceeds(former, 3)
    assert not CrashRate(2, 100.0).exceeds(CrashRate(0, 1000.0), 3)
    assert CrashRate(3, 1e6).exceeds(CrashRate(0, 1000.0), 3)


async def test_the_former_rate_is_what_supervisors_remember(node, code):
    """Processes that crashed as often before are not given up for it."""
    text = COUNTER + "\n    @cast\n    def crash(self): raise RuntimeError\n"
    m = code.module("r9", text)
    await node.start(supervisor(*[child(m.Counter, n, name=f"c{n}") for n in range(4)], max_restarts=1000))

    async def crash(times):
        for _ in range(times):
            await node.advance(1.0)
            m.Counter.crash(node["c1"])
            await node.settle()

    await crash(50)
    code.write("r9", text.replace("step = 1", "step = 10"))
    await upgrade.load("r9", node=node, check=False, probation=1000.0)
    await crash(50)
    assert upgrade.versions("r9")[-1].in_force
    await upgrade.rollback("r9", node=node)


async def test_a_process_born_on_the_new_version_keeps_its_state(node, code):
    m = code.module("r10", COUNTER)
    sup = await node.start(dynamic())
    code.write("r10", BY_TEN)
    await load("r10", node=node)
    fresh = await DynamicSupervisor.start_child(sup, child(m.Counter, 7))
    assert await m.Counter.add(fresh) == 17
    report = await upgrade.rollback("r10", node=node)
    assert report.moved == 1
    assert await m.Counter.add(fresh) == 18


async def test_two_steps_back_are_possible(node, code):
    m = code.module("r11", COUNTER)

    async def work():
        counter = await m.Counter.start(0)
        for step in (10, 100):
            code.write("r11", COUNTER.replace("step = 1", f"step = {step}"))
            await load("r11")
            await m.Counter.add(counter)
        await upgrade.rollback("r11")
        assert await m.Counter.add(counter) == 20
        await upgrade.rollback("r11")
        assert await m.Counter.add(counter) == 1
        with pytest.raises(upgrade.UpgradeRefused):
            await upgrade.rollback("r11")

    await node.run(work)


async def test_what_came_together_and_moved_on_apart_goes_back_in_order(node, code):
    code.write("duo", "", package=True)
    code.module("duo.a", COUNTER)
    code.module("duo.b", COUNTER)
    await load("duo", node=node)
    await load("duo.a", node=node)
    with pytest.raises(upgrade.UpgradeRefused, match=r"duo\.a came with it and was upgraded since"):
        await upgrade.rollback("duo.b", node=node)
    await upgrade.rollback("duo.a", node=node)
    report = await upgrade.rollback("duo.b", node=node)
    assert set(report.modules) == {"duo", "duo.a", "duo.b"}


async def test_one_that_was_still_to_move_stays_when_the_others_go_back(node, code):
    m = code.module("r12", COUNTER)
    seen: list[Any] = []

    async def work():
        late = await m.Counter.start(0)
        spawn_link(m.Counter.slowly, late)
        await sleep(0.1)
        code.write("r12", BY_TEN)
        seen.append((await load("r12", patience=0.1)).late == (late,))
        await upgrade.rollback("r12")
        await sleep(2.0)
        seen.append(await m.Counter.add(late))

    running = node.spawn(work)
    for _ in range(60):
        await node.settle()
        await node.advance(0.1)
    assert running.reason == "normal"
    assert seen == [True, 1]
