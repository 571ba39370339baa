"""What the platform wheel's build does to the sources before it compiles them; `make test-compiled` does the rest."""

import ast
import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent

SOURCE = '''\
from __future__ import annotations

import types
from collections.abc import Generator

LIMIT = 3
table: dict[str, int] = {}


@types.coroutine
def suspend() -> Generator[int, None, None]:
    yield LIMIT


async def wait() -> None:
    await suspend()


class Room:
    size = 2

    def enter(self) -> int:
        return LIMIT

    async def leave(self, who: str, *, quietly: bool = False) -> None:
        """Go.

        Twice.
        """
        await suspend()
'''


@pytest.fixture(scope="module")
def build():
    """`hatch_build.py`, without hatchling, which only a build has."""
    interface = ModuleType("hatchling.builders.hooks.plugin.interface")
    interface.BuildHookInterface = object  # type: ignore[attr-defined]
    parts = interface.__name__.split(".")
    names = [".".join(parts[: count + 1]) for count in range(len(parts))]
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        for name in names:
            patch.setitem(sys.modules, name, interface if name == interface.__name__ else ModuleType(name))
        spec.loader.exec_module(module)
    return module


@pytest.fixture
def halves(build):
    return build.prepare(SOURCE, "planaria/otp/kernel/room.py")


def test_coroutines_and_their_drivers_stay_interpreted(halves):
    compiled, interpreted = halves
    assert "yield" not in compiled
    assert "await" not in compiled
    names = [node.name for node in ast.parse(interpreted).body if hasattr(node, "name")]
    assert names == ["suspend", "wait", "_Room_leave"]


def test_everything_keeps_its_line(halves):
    lines = SOURCE.splitlines()
    for half in halves:
        for node in ast.walk(ast.parse(half)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.name.removeprefix("_Room_") in lines[node.lineno - 1]


def test_a_compiled_class_hands_its_coroutines_on(halves):
    assert (
        "def leave(self, who: _Any, *, quietly: _Any=False) -> _Any: return _Room_leave(self, who, quietly=quietly)"
        in halves[0]
    )


def test_names_set_once_are_final(halves):
    assert "LIMIT: _Final = 3" in halves[0]
    assert "    size = 2" in halves[0]


def test_the_halves_work_as_the_whole(halves, monkeypatch):
    compiled, interpreted = halves
    namespace: dict[str, object] = {"__name__": "room"}
    exec(compiled.partition("\nfrom planaria.otp.kernel.compiled")[0], namespace)
    exec(interpreted, namespace)
    room = namespace["Room"]()  # type: ignore[operator]
    assert room.leave("x", quietly=True).send(None) == 3


def test_what_is_compiled_and_loosened_is_still_there(build):
    for name in build.MODULES:
        assert (ROOT / "src" / name).is_file(), f"hatch_build.py: MODULES names {name}"
    for name, old, _ in build.LOOSER:
        text = (ROOT / "src" / name).read_text()
        assert re.search(old, text), f"hatch_build.py: LOOSER finds no {old!r} in {name}"
