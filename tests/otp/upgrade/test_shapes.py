"""Packages, inheritance, slots, state machines, supervisors, threads of references: whatever code looks like."""

import pickle
import traceback
import weakref
from typing import Any

import pytest

from planaria.otp import (
    CallError,
    DynamicSupervisor,
    Supervisor,
    child,
    dynamic,
    exit_signal,
    receive,
    self_,
    send,
    supervisor,
    sys,
    task_child,
    upgrade,
    wait_down,
)
from planaria.otp.upgrade.state import attributes_of
from tests.otp.upgrade.test_load import BY_TEN, COUNTER, load


async def test_a_package_moves_with_its_modules_in_the_order_of_imports(node, code):
    def write(number):
        code.write("pack", f"from .left import Left\nfrom . import right\nNUMBER = {number}\n", package=True)
        code.write(
            "pack.left",
            f"from . import right\nclass Left(GenServer):\n    @call\n    def tell(self):\n"
            f"        return right.WORD, {number}\n",
        )
        code.write("pack.right", f"from . import left\nWORD = 'w{number}'\ndef back(): return left.Left\n")

    write(1)
    code.module(
        "outside", "import pack, pack.left\nfrom pack import Left\ndef tell(): return pack.left.Left\n"
    )
    outside: Any = code["outside"]
    left = await node.run(outside.Left.start)
    assert await outside.Left.tell(left) == ("w1", 1)
    write(2)
    report = await load("pack", node=node)
    assert set(report.modules) == {"pack", "pack.left", "pack.right"}
    assert report.modules == ("pack.right", "pack.left", "pack")  # as their imports ended
    assert await outside.Left.tell(left) == ("w2", 2)
    assert code["pack"].right is code["pack.right"]
    assert code["pack.right"].back() is code["pack.left"].Left is outside.tell()
    await upgrade.rollback("pack.left", node=node)
    assert await outside.Left.tell(left) == ("w1", 1)
    assert code["pack"].right.WORD == "w1"
    assert outside.tell() is outside.Left


async def test_one_module_of_a_package_can_move_alone(node, code):
    code.write("solo", "", package=True)
    m = code.module("solo.part", COUNTER)
    counter = await node.run(m.Counter.start, 0)
    code.write("solo.part", BY_TEN)
    report = await load("solo.part", node=node)
    assert report.modules == ("solo.part",)
    assert code["solo"].part is code["solo.part"]
    assert await m.Counter.add(counter) == 10


async def test_servers_that_inherit_move_with_their_base(node, code):
    code.module("base", COUNTER)
    heir = code.module(
        "heir",
        """
from base import Counter
class Heir(Counter):
    def init(self, start): super().init(start); self.own = True
    @call
    def add(self): return ("heir", super().add())
""",
    )
    counter = await node.run(heir.Heir.start, 0)
    code.write("base", BY_TEN.replace("self.count += self.step", "self.count += self.step + 1"))
    report = await load("base", node=node)
    assert report.modules == ("base", "heir")
    assert await heir.Heir.add(counter) == ("heir", 11)
    assert isinstance(counter.body, code["base"].Counter)
    await upgrade.rollback("base", node=node)
    assert await heir.Heir.add(counter) == ("heir", 1)


async def test_heirs_may_be_left_on_the_old_base(node, code):
    code.module("base2", COUNTER)
    heir = code.module("heir2", "from base2 import Counter\nclass Heir(Counter): pass\n")
    counter = await node.run(heir.Heir.start, 0)
    code.write("base2", BY_TEN)
    report = await load("base2", node=node, dependents=False)
    assert (report.modules, report.moved) == (("base2",), 0)
    assert await heir.Heir.add(counter) == 1
    again = await node.run(heir.Heir.start, 0)
    assert await heir.Heir.add(again) == 1


SLOTS = """
class Slotted(GenServer):
    __slots__ = ("a", "__hidden")
    def init(self, a): self.a = a; self.__hidden = 7
    @call
    def look(self): return (self.a, self.__hidden)
"""


async def test_slots_that_stay_and_slots_that_change(node, code):
    m = code.module("slots", SLOTS)
    server = await node.run(m.Slotted.start, 1)
    before = server.body
    code.write("slots", SLOTS.replace("(self.a, self.__hidden)", "[self.a, self.__hidden]"))
    await load("slots", node=node)
    assert server.body is before  # the same layout: the very object
    assert await m.Slotted.look(server) == [1, 7]
    wider = SLOTS.replace('("a", "__hidden")', '("a", "__hidden", "b")').replace(
        "return (self.a, self.__hidden)", "return (self.a, self.__hidden, self.b)"
    )
    code.write("slots", wider + "    def code_change(self, old_version, extra): self.b = 'new'\n")
    await load("slots", node=node)
    assert await m.Slotted.look(server) == (1, 7, "new")
    await upgrade.rollback("slots", node=node)
    assert await m.Slotted.look(server) == [1, 7]


async def test_a_slot_that_is_gone_becomes_an_attribute(node, code):
    m = code.module("slots2", SLOTS)
    server = await node.run(m.Slotted.start, 1)
    code.write("slots2", SLOTS.replace('("a", "__hidden")', '("__hidden",)'))
    await load("slots2", node=node)
    assert await m.Slotted.look(server) == (1, 7)
    assert attributes_of(server.body)["a"] == 1


async def test_weak_references_and_the_identity_of_a_server_survive(node, code):
    m = code.module("weak", COUNTER)
    server = await node.run(m.Counter.start, 1)
    held = weakref.ref(server.body)
    code.write("weak", BY_TEN)
    await load("weak", node=node)
    assert held() is server.body


DOOR = """
class Door(StateMachine):
    def init(self): self.log = []; return Next("locked")
    @call
    def push(self) -> Deferred[str]: return self.by_state()
    def locked(self, event):
        match event:
            case Call("push"): self.log.append("push"); return Next("ajar", reply="click")
    def ajar(self, event):
        match event:
            case Call("push"): return Keep(reply="old")
"""


async def test_a_state_machine_moves_in_its_state_and_goes_back(node, code):
    head = "from planaria.otp.servers.events import *\nfrom planaria.otp.servers.transition import *\n"
    head = head.replace("*", "Call", 1).replace("*", "Keep, Next")
    m = code.module("door", head + DOOR)
    door = await node.run(m.Door.start)
    assert await m.Door.push(door) == "click"
    code.write("door", head + DOOR.replace('"old"', '"new"'))
    await load("door", node=node)
    assert await m.Door.push(door) == "new"
    await upgrade.rollback("door", node=node)
    assert await m.Door.push(door) == "old"
    renamed = (
        head
        + DOOR.replace("ajar", "open")
        + (
            "    def code_change(self, old_version, extra):\n"
            "        return Next({'ajar': 'open'}.get(self.state, self.state))\n"
        )
    )
    code.write("door", renamed.replace('"old"', '"open"'))
    await load("door", node=node)
    assert await m.Door.push(door) == "open"


async def test_children_are_restarted_on_the_newest_version(node, code):
    m = code.module("kids", COUNTER + "\nasync def loop():\n    word = await receive(); send(word, 'one')\n")
    root = await node.start(
        supervisor(child(m.Counter, 0, name="kid"), task_child(m.loop, name="loop"), dynamic(name="dyn"))
    )
    await node.run(DynamicSupervisor.start_child, "dyn", child(m.Counter, 0, name="dynkid"))
    code.write("kids", BY_TEN + "\nasync def loop():\n    word = await receive(); send(word, 'two')\n")
    await load("kids", node=node)

    async def work():
        for name in ("kid", "dynkid", "loop"):
            old = node[name]
            exit_signal(old, "kill")
            await wait_down(old)
        await Supervisor.which_children(root)
        await DynamicSupervisor.which_children("dyn")
        assert await m.Counter.add("kid") == 10
        assert await m.Counter.add("dynkid") == 10
        send("loop", self_())
        assert await receive() == "two"

    await node.run(work)


async def test_specifications_of_a_running_supervisor_can_change(node, code):
    m = code.module("specs", COUNTER)
    root = await node.start(supervisor(child(m.Counter, 1, id="a"), child(m.Counter, 2, id="b")))
    a = {each.id: each.process for each in await Supervisor.which_children(root)}["a"]
    fresh = upgrade.change_children(root, child(m.Counter, 50, id="c"), child(m.Counter, 10, id="a"))
    assert fresh == ["c"]
    children = await Supervisor.which_children(root)
    assert [each.id for each in children] == ["c", "a", "b"]
    assert children[1].process is a and children[0].process is None
    started = await Supervisor.restart_child(root, "c")
    assert await m.Counter.add(started) == 51
    assert a is not None
    with pytest.raises(TypeError, match="no supervisor"):
        upgrade.change_children(a)


async def test_a_subclass_of_supervisor_moves_with_its_children(node, code):
    text = """
from planaria.otp import Supervisor, child
from planaria.otp.supervision.supervisor import Flags
class Leaf(GenServer):
    @call
    def word(self): return "one"
class Top(Supervisor):
    async def init(self): await super().init(Flags(), [child(Leaf, name="leaf")])
    @call
    def word(self): return "one"
"""
    m = code.module("tops", text)
    top = await node.run(m.Top.start)
    leaf = node["leaf"]
    code.write("tops", text.replace('"one"', '"two"'))
    assert (await load("tops", node=node)).moved == 2
    assert await m.Top.word(top) == await m.Leaf.word(leaf) == "two"
    await upgrade.rollback("tops", node=node)
    assert await m.Top.word(top) == await m.Leaf.word(leaf) == "one"
    assert [each.process for each in await Supervisor.which_children(top)] == [leaf]


async def test_a_suspended_process_moves_and_stays_suspended(node, code):
    m = code.module("susp", COUNTER)

    async def work():
        counter = await m.Counter.start(0)
        await sys.suspend(counter)
        code.write("susp", BY_TEN)
        report = await load("susp")
        assert report.moved == 1
        with pytest.raises(CallError):
            await m.Counter.add.within(0)(counter)
        await sys.resume(counter)
        assert await m.Counter.add(counter) in (10, 20)

    node.spawn(work)
    running = node.processes()[-1]
    for _ in range(10):
        await node.settle()
        await node.advance(0.1)
    assert running.reason == "normal"


async def test_tracebacks_show_the_lines_of_the_version_that_raised(node, code):
    text = "\n\ndef fail():\n    raise ValueError('x')  # {0}\n"
    m = code.module("tracebacks", text.format("first"))
    upgrade.remember("tracebacks")
    first = m.fail
    code.write("tracebacks", "\n\n\n" + text.format("second"))
    await load("tracebacks", node=node)
    second = m.fail
    code.write("tracebacks", "\n\n\n\n\n" + text.format("third"))
    await load("tracebacks", node=node)

    def shown(fn):
        with pytest.raises(ValueError, match="x") as error:
            fn()
        return "".join(traceback.format_exception(error.value))

    assert "# first" in shown(first)
    assert "# second" in shown(second) and "tracebacks.py@2" in shown(second)
    assert "# third" in shown(m.fail)


async def test_no_line_is_better_than_a_wrong_one(node, code, monkeypatch):
    import sys as python

    monkeypatch.setattr(python, "dont_write_bytecode", True)
    m = code.module("forgotten", "def fail():\n    raise ValueError('x')  # first\n")
    first = m.fail
    code.write("forgotten", "def fail():\n    raise ValueError('x')  # second\n")
    await load("forgotten", node=node)
    with pytest.raises(ValueError, match="x") as error:
        first()
    assert "second" not in "".join(traceback.format_exception(error.value))


KINDS = """
class Color(Enum):
    RED = 1
class Problem(Exception):
    pass
@dataclass(frozen=True, slots=True)
class Point:
    x: int
    y: int = 0
@dataclass
class Loose:
    x: list = field(default_factory=list)
    def double(self): return self.x * 2
class Uses:
    def help(self): return helper()
def helper(): return "one"
class Painter(GenServer):
    def init(self, color): self.color = color; self.points = [Point(1)]
    @call
    def is_red(self): return self.color is Color.RED and isinstance(self.points[0], Point)
    @call
    def fail(self): return self.refuse(Problem("no"))
"""


async def test_declarations_that_did_not_change_are_the_same_in_both_versions(node, code):
    m = code.module("kinds", KINDS)
    color, problem, point, loose, uses = m.Color, m.Problem, m.Point, m.Loose, m.Uses
    painter = await node.run(m.Painter.start, color.RED)
    stored = pickle.dumps(point(3))
    code.write("kinds", KINDS.replace('"one"', '"two"'))
    await load("kinds", node=node)
    assert (m.Color, m.Problem, m.Point, m.Loose) == (color, problem, point, loose)
    assert m.Uses is not uses and m.Uses().help() == "two" and uses().help() == "one"
    assert await m.Painter.is_red(painter)
    with pytest.raises(problem):
        await m.Painter.fail(painter)
    assert pickle.loads(stored) == point(3) and pickle.loads(pickle.dumps(point(4))) == point(4)


async def test_declarations_that_changed_are_new_and_renew_makes_old_objects_new(node, code):
    m = code.module("kinds2", KINDS)
    old_point, old_color = m.Point, m.Color
    painter = await node.run(m.Painter.start, old_color.RED)
    text = KINDS.replace("RED = 1", "RED = 2").replace("y: int = 0", "y: int = 0\n    z: int = 5")
    code.write("kinds2", text)
    await load("kinds2", node=node)
    assert m.Point is not old_point and m.Color is not old_color
    assert not await m.Painter.is_red(painter)
    with pytest.raises(pickle.PicklingError):
        pickle.dumps(old_point(1))
    text += "    def code_change(self, old_version, extra): upgrade.renew(self.__dict__)\n"
    code.write("kinds2", text)
    await load("kinds2", node=node)
    assert await m.Painter.is_red(painter)
    value = {"p": (old_point(1, 2), [old_color.RED]), "s": {old_point(3)}}
    value["self"] = value
    renewed: Any = upgrade.renew(value)
    assert renewed["p"] == (m.Point(1, 2, 5), [m.Color.RED]) and renewed["s"] == {m.Point(3)}
    assert type(renewed["p"][0]) is m.Point and renewed["self"] is renewed


async def test_globals_are_fresh_but_for_what_is_carried(node, code):
    text = "__carry__ = ('cache',)\ncache = {}\nother = {}\ndef put(k, v): cache[k] = v; other[k] = v\n"
    m = code.module("globals_", text)
    put = m.put
    put("a", 1)
    code.write("globals_", text + "def __upgraded__(old): other['from'] = old.other['a']\n")
    await load("globals_", node=node)
    assert code["globals_"].cache == {"a": 1}
    assert code["globals_"].other == {"from": 1}
    put("b", 2)  # the old function goes on with the old globals
    assert code["globals_"].cache == {"a": 1, "b": 2} and "b" not in code["globals_"].other


async def test_whatever_stands_between_a_server_and_the_module_goes_along(node, code):
    code.module("mix_a", "class Mixin:\n    def word(self): return 'one'\n")
    code.module("mix_b", "from mix_a import Mixin\nclass Middle(Mixin): pass\n")
    m = code.module(
        "mix_c",
        "from mix_b import Middle\nclass Top(Middle, GenServer):\n    @call\n    def tell(self): return self.word()\n",
    )
    top = await node.run(m.Top.start)
    code.write("mix_a", "class Mixin:\n    def word(self): return 'two'\n")
    report = await load("mix_a", node=node)
    assert report.modules == ("mix_a", "mix_b", "mix_c")
    assert await m.Top.tell(top) == "two"


async def test_a_body_of_ones_own_making_moves_too(node, code):
    text = """
class Plain:
    def __init__(self): self.seen = []
    def handle(self, envelope): self.seen.append(("one", envelope[1]))
"""
    m = code.module("plain", text)
    from planaria.otp.kernel.birth import create

    process = create(node, "plain")
    process.body = body = m.Plain()
    node.send(process, 1)
    await node.settle()
    code.write("plain", text.replace("one", "two"))
    await load("plain", node=node)
    node.send(process, 2)
    await node.settle()
    assert body.seen == [("one", 1), ("two", 2)]
    await upgrade.rollback("plain", node=node)
    node.send(process, 3)
    await node.settle()
    assert body.seen == [("one", 1), ("one", 3)]


async def test_a_start_by_the_old_class_obeys_the_new_trap_exit(node, code):
    m = code.module("trap", COUNTER)
    held = m.Counter
    code.write("trap", COUNTER.replace("step = 1", "step = 1\n    trap_exit = True"))
    await load("trap", node=node)
    assert (await node.run(held.start, 0)).trap_exit
    await upgrade.rollback("trap", node=node)
    assert not (await node.run(held.start, 0)).trap_exit
    assert "trap_exit" not in vars(held) and "__new__" not in vars(held)


async def test_what_was_imported_for_a_version_that_failed_is_imported_anew(node, code):
    code.module("first", COUNTER)
    code.write("helper_of_first", "import first\nCounter = first.Counter\n")
    code.write("first", BY_TEN + "import helper_of_first\nraise ValueError\n")
    with pytest.raises(upgrade.UpgradeRefused):
        await load("first", node=node)
    code.write("first", BY_TEN + "import helper_of_first\n")
    await load("first", node=node)
    assert code["helper_of_first"].Counter is code["first"].Counter


async def test_a_submodule_may_go_if_that_is_said(node, code):
    code.write("shrink", "", package=True)
    code.module("shrink.a", "x = 1\n")
    path = code.folder / "shrink" / "b.py"
    code.module("shrink.b", "x = 1\n")
    path.unlink()
    with pytest.raises(upgrade.UpgradeRefused, match=r"allow_missing=\['shrink.b'\]"):
        await load("shrink", node=node)
    report = await load("shrink", node=node, allow_missing=["shrink.b"])
    assert report.modules == ("shrink", "shrink.a")


async def test_a_suspended_process_gets_another_object_behind_its_wrapper(node, code):
    m = code.module("susp2", SLOTS)

    async def work():
        server = await m.Slotted.start(1)
        await sys.suspend(server)
        code.write(
            "susp2", SLOTS.replace('"__hidden")', '"__hidden", "b")').replace("__hidden)", "__hidden, 2)")
        )
        assert (await load("susp2")).moved == 1
        assert await sys.get_state(server) == {"a": 1, "_Slotted__hidden": 7}
        await sys.resume(server)
        assert await m.Slotted.look(server) == (1, 7, 2)

    await node.run(work)


async def test_a_class_that_uses_other_globals_than_before_is_another_class(node, code):
    """Else its methods would read the constants and tables of the old module."""
    text = """
    RATE = 2
    LIMIT = 5
    TABLE = {}

    class Base:
        def __init_subclass__(cls) -> None:
            TABLE[cls.__name__] = cls

    class Impl(Base):
        pass

    class Price:
        def __init__(self, net: int) -> None:
            self.net = net

        def gross(self) -> int:
            return self.net * RATE

    class Range:
        def top(self) -> int:
            return Range and LIMIT

    @dataclass
    class Basket:
        things: list = field(default_factory=lambda: [RATE])
    """
    old = code.module("s40", text)
    before = dict(vars(old))
    code.write("s40", text.replace("RATE = 2", "RATE = 3"))
    await load("s40", node=node)
    new = code["s40"]
    assert new.Price(10).gross() == 30
    assert new.Basket().things == [3]
    assert set(new.TABLE) == {"Impl"}
    assert new.Range is before["Range"]  # what it uses is equal, or itself


async def test_a_class_is_new_if_one_it_uses_from_a_module_beside_it_is(node, code):
    code.module("s41", "", package=True)
    code.module("s41.a", "class Coin:\n    worth = 1\n")
    code.module("s41.b", "from .a import Coin\nclass Purse:\n    def coin(self): return Coin()\n")
    code.write("s41.a", "class Coin:\n    worth = 2\n")
    await load("s41", node=node)
    assert code["s41.b"].Purse().coin().worth == 2


async def test_a_held_module_tells_the_version_in_force(node, code):
    m = code.module("s42", "__version__ = '1'\n__all__ = ['a']\na = 1\n")
    code.write("s42", "__version__ = '2'\n__all__ = ['a', 'b']\na = b = 1\n")
    await load("s42", node=node)
    assert (m.__version__, m.__all__, m.b) == ("2", ["a", "b"], 1)
    assert m.__name__ == "s42"


async def test_a_decorated_function_is_not_taken_for_what_its_module_calls_so(node, code):
    code.module(
        "s43_tools",
        """
        import functools

        def twice(fn):
            @functools.wraps(fn)
            async def both(*args):
                return [await fn(*args), await fn(*args)]
            return both
        """,
    )
    text = """
    from s43_tools import twice
    async def plain(): return 1
    @twice
    async def doubled(): return 1
    """
    m = code.module("s43", text)
    held = code["s43_tools"].twice(m.plain)
    old = m.doubled
    assert upgrade.latest(held) is held
    assert upgrade.latest(old) is old
    code.write("s43", text.replace("return 1", "return 2"))
    await load("s43", node=node)
    assert upgrade.latest(held) is held
    assert await upgrade.latest(old)() == [2, 2]
