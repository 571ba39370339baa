"""What is asked of new code before the node touches it."""

import importlib.util
import math
import sys
import types
from typing import Any

import pytest

from planaria.otp import upgrade
from planaria.otp.upgrade.source import Unfit, find_source
from tests.otp.upgrade.test_load import BY_TEN, COUNTER


async def refused(node, *names, **more) -> str:
    with pytest.raises(upgrade.UpgradeRefused) as error:
        await upgrade.load(*names, node=node, probation=0, **more)
    return str(error.value)


async def test_code_that_does_not_compile_is_refused_with_its_line(node, code):
    m = code.module("k1", COUNTER)
    path = code.write("k1", "def broken(:\n")
    line = path.read_text().splitlines().index("def broken(:") + 1
    assert f"{path}:{line}" in await refused(node, "k1")
    assert code["k1"] is m
    path.write_bytes(b"x = '\xff'\n")
    assert "does not compile" in await refused(node, "k1")


async def test_what_is_not_imported_or_has_no_two_versions_is_refused_with_the_reason(
    node, code, monkeypatch
):
    assert "import it" in await refused(node, "no.such.module")
    assert "__main__" in await refused(node, "__main__")
    assert "part of the interpreter" in await refused(node, "sys")
    assert "frozen" in await refused(node, "zipimport")
    assert "not Python source" in await refused(node, "_ssl")
    assert "is the kernel" in await refused(node, "planaria.otp.servers.gen_server")
    (code.folder / "empty_room").mkdir()
    code.module("empty_room.inside", COUNTER)
    assert "namespace package" in await refused(node, "empty_room")
    monkeypatch.setitem(sys.modules, "made_by_hand", types.ModuleType("made_by_hand"))
    assert "no module 'made_by_hand'" in await refused(node, "made_by_hand")
    assert "no module is named" in await refused(node)


def test_a_c_extension_is_told_from_source():
    name = math.__name__ if importlib.util.find_spec("math").origin != "built-in" else "_ssl"  # type: ignore[union-attr]
    with pytest.raises(Unfit, match=name):
        find_source(name)


@pytest.mark.subprocess
async def test_code_that_is_fit_passes_the_worker(node, code):
    m = code.module("k2", COUNTER)
    counter = await node.run(m.Counter.start, 0)
    code.write("k2", BY_TEN + "\ndef __upgrade_check__(): assert Counter.step == 10\nprint('noise')\n")
    report = await upgrade.load("k2", node=node, probation=0)
    assert report.moved == 1
    assert await m.Counter.add(counter) == 10


@pytest.mark.subprocess
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("raise ValueError('not today')", r"importing it raised ValueError: not today \(.*k3\.py:\d+\)"),
        ("import os; print('last words'); os._exit(7)", "exited with code 7; its last words: last words"),
        ("import sys; sys.exit('bye')", "exited with code 1; .*bye"),
        ("import os; os.kill(os.getpid(), 11)", "signal 11"),
        ("def __upgrade_check__(): return 1 / 0", "its __upgrade_check__ raised ZeroDivisionError"),
        ("async def __upgrade_check__(): return False", "its __upgrade_check__ said no"),
    ],
)
async def test_code_that_is_unfit_does_its_worst_in_the_worker(node, code, text, reason):
    m = code.module("k3", COUNTER)
    code.write("k3", BY_TEN + text + "\n")
    with pytest.raises(upgrade.UpgradeRefused, match=reason):
        await upgrade.load("k3", node=node)
    assert code["k3"] is m
    assert m.Counter.step == 1


@pytest.mark.subprocess
async def test_an_import_that_hangs_is_given_up(node, code):
    code.module("k4", COUNTER)
    code.write("k4", "import time\ntime.sleep(1000)\n")
    assert "not done within 1 s" in await refused(node, "k4", check_timeout=1.0)


@pytest.mark.subprocess
async def test_what_others_may_use_must_stay(node, code):
    code.module("k5", COUNTER + "LIMIT = 5\n_private = 1\ndef helper(): pass\n")
    code.write("k5", "class Counter(GenServer):\n    @call\n    def add(self): return 0\n")
    text = await refused(node, "k5")
    assert "it lacks k5.Counter.slowly, k5.LIMIT, k5.helper" in text
    text = await refused(node, "k5", allow_missing=["helper", "k5.LIMIT"])
    assert "it lacks k5.Counter.slowly," in text
    report = await upgrade.load("k5", node=node, probation=0, allow_missing=["helper", "LIMIT", "Counter"])
    assert report.version > 1


@pytest.mark.subprocess
async def test_all_says_what_is_public(node, code):
    code.module("k6", "__all__ = ['a']\na = 1\nb = 2\n")
    code.write("k6", "a = 1\n")
    assert (await upgrade.load("k6", node=node, probation=0)).modules == ("k6",)


async def test_an_import_that_fails_in_the_node_leaves_nothing_behind(node, code):
    m = code.module("k7", COUNTER)
    code.write("k7", "raise RuntimeError('only here')\n")
    assert "importing it in the node raised RuntimeError: only here" in await refused(node, "k7", check=False)
    assert code["k7"] is m
    code.write("k7", COUNTER + "def __upgraded__(old): raise KeyError(old.Counter.step)\n")
    assert "its __upgraded__ raised KeyError: 1" in await refused(node, "k7", check=False)
    assert not any("SourceFinder" in type(finder).__name__ for finder in sys.meta_path)


async def test_a_class_with_living_processes_must_not_vanish(node, code):
    m = code.module("k8", COUNTER)
    counter = await node.run(m.Counter.start, 0)
    code.write("k8", COUNTER.replace("Counter", "Tally"))
    assert "runs Counter, which the new version does not have" in await refused(node, "k8", check=False)
    code.write("k8", "__renamed__ = {'Counter': 'Tally'}\n" + BY_TEN.replace("Counter", "Tally"))
    report = await upgrade.load("k8", node=node, check=False, probation=0)
    assert report.moved == 1
    assert await code["k8"].Tally.add(counter) == 10


async def test_another_layout_needs_a_code_change(node, code):
    m = code.module("k9", COUNTER)
    counter = await node.run(m.Counter.start, 0)
    other = BY_TEN.replace("(GenServer)", "(StateMachine)")
    code.write("k9", other)
    assert "layouts of Counter differ" in await refused(node, "k9", check=False)
    code.write("k9", "class Counter: add = slowly = None\n")
    assert "Counter is no server any more" in await refused(node, "k9", check=False)
    assert await m.Counter.add(counter) == 1


async def test_the_same_second_and_size_are_no_trap(node, code):
    """No .pyc stands between two versions written within a second."""
    m = code.module("k10", COUNTER)
    counter = await node.run(m.Counter.start, 0)
    total = 0
    for step in range(2, 8):
        code.write("k10", COUNTER.replace("step = 1", f"step = {step}"))
        await upgrade.load("k10", node=node, check=False, probation=0)
        total += step
        assert await m.Counter.add(counter) == total


async def test_an_upgrade_check_in_the_old_version_is_not_asked(node, code):
    m: Any = code.module("k11", COUNTER + "def __upgrade_check__(): return False\n")
    code.write("k11", COUNTER)
    await upgrade.load("k11", node=node, probation=0)
    assert not hasattr(m, "__upgrade_check__") or m.__upgrade_check__() is False


@pytest.mark.subprocess
async def test_what_a_module_prints_fills_no_disk(node, code):
    code.module("k30", COUNTER)
    code.write(
        "k30",
        COUNTER
        + """
def __upgrade_check__():
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
    print("x" * (4 << 20))
""",
    )
    assert (await upgrade.load("k30", node=node, probation=0)).modules == ("k30",)


@pytest.mark.subprocess
async def test_threads_of_the_module_are_not_waited_for(node, code):
    code.module("k31", COUNTER)
    code.write(
        "k31",
        COUNTER
        + """
def __upgrade_check__():
    import threading, time
    threading.Thread(target=time.sleep, args=(600,)).start()
""",
    )
    report = await upgrade.load("k31", node=node, probation=0, check_timeout=60)
    assert report.seconds < 40


@pytest.mark.subprocess
async def test_files_of_the_working_directory_do_not_shadow_the_standard_library(
    node, code, tmp_path, monkeypatch
):
    code.module("k32", COUNTER)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "json.py").write_text("raise ValueError('not the json you want')")
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setattr(sys, "path", [each for each in sys.path if each])
    assert (await upgrade.load("k32", node=node, probation=0)).modules == ("k32",)


@pytest.mark.parametrize("text", ["-" * 200_000 + "1", "1" + "+1" * 300_000], ids=["parser", "compiler"])
async def test_code_that_is_nested_too_deeply_is_refused(node, code, text):
    code.module("k33", COUNTER)
    code.write("k33", f"x = {text}\n")
    assert "k33 does not compile" in await refused(node, "k33", check=False)


@pytest.mark.parametrize("end", ["SystemExit(1)", "GeneratorExit()"])
async def test_an_import_cannot_end_the_program(node, code, end):
    m = code.module("k34", COUNTER)
    code.write("k34", f"raise {end}\n")
    assert f"importing it in the node raised {end.partition('(')[0]}" in await refused(
        node, "k34", check=False
    )
    assert code["k34"] is m


async def test_a_module_object_is_no_name(node, code):
    m = code.module("k35", COUNTER)
    with pytest.raises(TypeError, match="give the module's name"):
        await upgrade.load(m, node=node)
    with pytest.raises(upgrade.UpgradeRefused, match="was not loaded"):  # and nothing is left busy
        await upgrade.load("no.such.module", node=node)
