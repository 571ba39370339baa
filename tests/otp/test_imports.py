"""What `import planaria.otp` costs: a name is imported from where it is defined when it is first used."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import planaria.otp

CORE = "from planaria.otp import GenServer, Node, Supervisor, Task, call, cast, child, dynamic, supervisor"
HEAVY = ("planaria.otp.flow", "planaria.otp.observe", "planaria.otp.upgrade")
LATER = (
    "planaria.otp.isolation.codec",
    "planaria.otp.isolation.pool",
    "planaria.otp.isolation.proxy",
    "planaria.otp.isolation.thread",
    "planaria.otp.kernel.introspection",
    "planaria.otp.kernel.message_watch",
    "planaria.otp.servers.state_machine",
    "planaria.otp.supervision.application",
)


def static_imports() -> dict[str, str]:
    """Each name type checkers are told of, and its module."""
    tree = ast.parse(Path(planaria.otp.__file__).read_text(encoding="utf-8"))
    checked = [n for n in tree.body if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING"]
    assert len(checked) == 1
    found: dict[str, str] = {}
    for node in checked[0].body:
        assert isinstance(node, ast.ImportFrom)
        found |= {alias.name: str(node.module) for alias in node.names}
    return found


def loaded_by(code: str) -> set[str]:
    """The modules a new interpreter loads for `code`, beyond those asyncio needs."""
    program = f"import asyncio, sys; before = set(sys.modules); {code}; print(*sys.modules.keys() - before)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_names_are_found_where_type_checkers_are_told():
    assert static_imports() == planaria.otp._HOME
    assert sorted(planaria.otp.__all__) == sorted(static_imports())


@pytest.mark.parametrize("name", sorted(static_imports()))
def test_a_name_is_what_its_module_calls_so(name):
    assert getattr(planaria.otp, name) is getattr(sys.modules[static_imports()[name]], name)


def test_a_name_that_is_none_is_refused_as_by_any_module():
    with pytest.raises(AttributeError, match=r"module 'planaria.otp' has no attribute 'GenSever'"):
        _ = planaria.otp.GenSever  # type: ignore[attr-defined]
    with pytest.raises(ImportError, match="cannot import name 'GenSever'"):
        exec("from planaria.otp import GenSever", {})


def test_all_names_come_with_a_star_and_are_listed():
    names: dict[str, object] = {}
    exec("from planaria.otp import *", names)
    assert set(planaria.otp.__all__) <= set(names)
    assert set(planaria.otp.__all__) <= set(dir(planaria.otp))


def test_the_package_alone_loads_nothing_of_itself():
    assert [name for name in loaded_by("import planaria.otp") if name.startswith("planaria.otp.")] == []


def test_servers_and_supervisors_do_not_load_what_they_do_not_use():
    loaded = loaded_by(CORE)
    assert "planaria.otp.supervision.supervisor" in loaded
    assert sorted(name for name in loaded if name.startswith(HEAVY) or name in LATER) == []
    assert loaded.isdisjoint({"ctypes", "decimal", "json", "mmap", "pickle", "rlcompleter", "runpy", "uuid"})


def test_what_was_not_loaded_is_when_it_is_used():
    code = f"{CORE}; child(GenServer, isolation='worker'); from planaria.otp import Observer"
    assert {"planaria.otp.isolation.proxy", "planaria.otp.observe.observer"} <= loaded_by(code)
