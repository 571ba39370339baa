"""The house stands: imports point down, the kernel needs the standard library only, no import hides.

`FLOORS` is the order of the house, lowest first, and its only copy in code. A floor may import itself and
every floor below it.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "planaria"

FLOORS = (
    "otp",
    "config",
    "cortex",
    "records",
    "immune",
    "membrane",
    "rooms",
    "agents",
    "workflows",
    "evolution",
    "gateways",
    "ganglion",
    "nerve",
    "tools",
    "testing",  # beside the floors: it may use all of them, none of them may use it
    "node",
    "cli",
)
OTP_ROOMS = ("kernel", "io", "servers", "isolation", "supervision", "flow", "observe", "upgrade")
"""The rooms of `otp`, lowest first; files beside them (`otp/sys.py`, `otp/program.py`) may use all of them."""
CORTEX = (
    *("errors", "query", "event", "event_type", "redact", "tallies", "chronicle_events", "store"),
    *("telemetry", "codec", "stores"),
    *(
        "follower",
        "journal_tasks",
        "journal",
        "patience",
        "fold",
        "folded",
        "chronicle",
        "node_lease",
        "secrets",
    ),
    *("upkeep", "live", "durable"),
)
"""The files and rooms of `cortex`, lowest first: what everybody speaks of, what a journal is made of, the journal and
those who read it, and what is built on them."""
MEMBRANE = (
    *("ids", "provider", "errors", "structured", "capability", "scopes", "grants", "authority"),
    *("docstring", "parameters", "schema_arguments", "tool"),
    *("events", "commands"),
    *(
        "wire",
        "providers",
        "models",
        "calls",
        "sandbox",
        "web",
        "search",
        "gate",
        "apis",
        "mcp",
        "garden_tools",
    ),
)
"""The files and rooms of `membrane`, lowest first: what everybody speaks of, models, then tools."""
AGENTS = (
    *("turn", "kinship", "definition", "answer_file", "prompt", "desk", "past", "thinking", "guard"),
    *("session", "trees", "children", "later", "keeper", "stop"),
)
"""The files and rooms of `agents`, lowest first: what a turn is, what is sent, who thinks, who keeps whom."""
IMMUNE = ("amount", "events", "notice", "pen", "guards", "ledger", "breakers")
"""The files and rooms of `immune`, lowest first."""
EVERYWHERE = frozenset({"__init__", "__main__"})  # the package's own files: `planaria.__version__`
EVENT_LOOP_FLOORS = frozenset({"otp", "testing"})
IMPORTERS = frozenset({"LazyModule", "import_module"})  # what they are given the name of, they import
LAZY_FLOORS = frozenset({"cli"})  # a command imports what it needs: start-up time, said in cli/__init__.py


class Import(NamedTuple):
    """One imported module: its dotted name, its line, and whether it hides in a function."""

    module: str
    line: int
    hidden: bool


def imports(tree: ast.AST, package: str, hidden: bool = False) -> Iterator[Import]:
    """Every import below `tree`, relative ones resolved against the dotted `package` of the file."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, node.lineno, hidden) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")
                kept = parents[: len(parents) - node.level + 1]
                base = ".".join([*kept, base] if base else kept)
            # `from planaria import nerve` names a floor as surely as `import planaria.nerve`.
            yield from (Import(f"{base}.{alias.name}", node.lineno, hidden) for alias in node.names)
        else:
            match node:
                case ast.Call(func=ast.Name(id=name), args=[ast.Constant(value=str(module))]) if (
                    name in IMPORTERS
                ):
                    yield Import(module, node.lineno, hidden)
            inside = hidden or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from imports(node, package, inside)


def faults(source: Path) -> list[str]:
    """What stands wrong in the house whose package folder is `source`, as `file:line: what`."""
    found: list[str] = []
    for file in sorted(source.rglob("*.py")):
        inner = file.relative_to(source)
        floor = inner.parts[0] if len(inner.parts) > 1 else inner.stem
        package = ".".join(["planaria", *inner.parts[:-1]])
        where = f"{source.name}/{inner}"
        if floor not in FLOORS and floor not in EVERYWHERE:
            found.append(f"{where}:1: {floor!r} is no floor of the house (FLOORS in tests/test_house.py)")
            continue
        tree = ast.parse(file.read_text(encoding="utf-8"), filename=str(file))
        for module, line, hidden in imports(tree, package):
            found += [f"{where}:{line}: {fault}" for fault in _import_faults(floor, module, hidden)]
            found += [f"{where}:{line}: {fault}" for fault in _room_faults(inner, module)]
    return found


def circles(source: Path, package: str) -> list[list[str]]:
    """Modules below `source` that import each other when they are imported, each circle as a path that returns."""
    files = {
        ".".join([package, *f.relative_to(source).with_suffix("").parts]): f for f in source.rglob("*.py")
    }
    graph: dict[str, list[str]] = {}
    for module, file in files.items():
        named = _imported_at_once(ast.parse(file.read_text(encoding="utf-8")), module.rpartition(".")[0])
        graph[module] = [n if n in files else n.rpartition(".")[0] for n in named]
    found: list[list[str]] = []
    done: set[str] = set()

    def walk(module: str, path: list[str]) -> None:
        if module in path:
            found.append([*path[path.index(module) :], module])
        elif module in graph and module not in done:
            for target in graph[module]:
                walk(target, [*path, module])
            done.add(module)

    for module in sorted(graph):
        walk(module, [])
    return found


def _imported_at_once(tree: ast.AST, package: str) -> Iterator[str]:
    """What is imported when a module is: neither inside functions nor for type checkers only."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for other in node.orelse:
                yield from _imported_at_once(other, package)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from (each.module for each in imports(ast.Module([node], []), package))
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from _imported_at_once(node, package)


def _room_faults(file: Path, module: str) -> Iterator[str]:
    """What is wrong with an import within a floor that has an order of its own."""
    floor, *rest = file.with_suffix("").parts
    rooms: tuple[str, ...]
    match floor:
        case "otp" if len(rest) > 1:
            rooms, known = OTP_ROOMS, "OTP_ROOMS"
        case "cortex" | "membrane" | "agents" | "immune" if rest != ["__init__"]:
            known = floor.upper()
            rooms = {"cortex": CORTEX, "membrane": MEMBRANE, "agents": AGENTS, "immune": IMMUNE}[floor]
        case _:
            return
    parts = module.split(".")
    if rest[0] not in rooms:
        yield f"{rest[0]!r} is no room of {floor} ({known} in tests/test_house.py)"
    elif parts[:2] == ["planaria", floor] and len(parts) > 2:
        target = parts[2]
        if target not in rooms or rooms.index(target) > rooms.index(rest[0]):
            yield f"{floor}/{rest[0]} imports {floor}/{target}, which stands above it"


def _import_faults(floor: str, module: str, hidden: bool) -> Iterator[str]:
    parts = module.split(".")
    if parts[0] != "planaria":
        if parts[0] == "asyncio" and floor not in EVENT_LOOP_FLOORS:
            yield "imports asyncio; only otp knows the event loop"
        if floor == "otp" and parts[0] not in sys.stdlib_module_names:
            yield f"otp imports {parts[0]}; the kernel uses the standard library only"
        return
    if hidden and floor not in LAZY_FLOORS:
        yield f"hides the import of {module} in a function"
    target = parts[1] if len(parts) > 1 else ""
    if target not in FLOORS:
        return  # planaria.__version__
    if target == "testing" and floor != "testing":
        yield f"{floor} imports testing, which only tests and users import"
    elif floor in EVERYWHERE or FLOORS.index(target) > FLOORS.index(floor):
        yield f"{floor} imports {target}, which stands above it"


def test_the_house_stands():
    assert faults(SOURCE) == []


@pytest.mark.parametrize("floor", ["otp", "cortex"])
def test_every_module_of_a_floor_may_be_the_first_to_be_imported(floor):
    assert circles(SOURCE / floor, f"planaria.{floor}") == []


def test_modules_that_import_each_other_in_a_circle_are_named(tmp_path):
    _house(tmp_path, "otp/a.py", "from planaria.otp import b")
    (tmp_path / "planaria/otp/b.py").write_text("if x:\n    pass\nelse:\n    import planaria.otp.c")
    (tmp_path / "planaria/otp/c.py").write_text("from planaria.otp.a import f")
    assert circles(tmp_path / "planaria/otp", "planaria.otp") == [
        ["planaria.otp.a", "planaria.otp.b", "planaria.otp.c", "planaria.otp.a"]
    ]


@pytest.mark.parametrize(
    ("file", "text", "fault"),
    [
        ("rooms/room.py", "from planaria.agents.agent import Agent", "rooms imports agents"),
        ("rooms/room.py", "import planaria.nerve.web", "rooms imports nerve"),
        ("rooms/room.py", "from planaria import nerve", "rooms imports nerve"),
        ("rooms/room.py", "from ..nerve import web", "rooms imports nerve"),
        ("rooms/deep/door.py", "from ...agents import agent", "rooms imports agents"),
        ("tools/web.py", "import planaria.node", "tools imports node"),
        ("node.py", "from planaria.cli import main", "node imports cli"),
        ("node.py", "from planaria.testing import FakeClock", "node imports testing"),
        ("rooms/room.py", "if True:\n    from planaria.nerve import web", "2: rooms imports nerve"),
        (
            "rooms/room.py",
            "def f():\n    from planaria.otp import Pid",
            "2: hides the import of planaria.otp",
        ),
        ("rooms/room.py", "class A:\n    async def f(self):\n        import planaria.otp", "3: hides"),
        ("rooms/room.py", "import asyncio", "imports asyncio"),
        ("rooms/room.py", "def f():\n    from asyncio import sleep", "imports asyncio"),
        ("otp/kernel/process.py", "import msgspec", "otp imports msgspec"),
        ("otp/kernel/process.py", "from planaria.config.settings import Settings", "otp imports config"),
        ("otp/kernel/node.py", "from planaria.otp.servers import gen_server", "which stands above it"),
        (
            "otp/kernel/node.py",
            "proxy = LazyModule('planaria.otp.isolation.proxy')",
            "otp/kernel imports otp/isolation, which stands above it",
        ),
        (
            "rooms/room.py",
            "def f():\n    import_module('planaria.otp')",
            "2: hides the import of planaria.otp",
        ),
        ("otp/attic/box.py", "import asyncio", "'attic' is no room of otp"),
        ("cortex/attic.py", "import os", "'attic' is no room of cortex"),
        (
            "cortex/stores/sqlite/store.py",
            "from planaria.cortex.journal import Journal",
            "cortex/stores imports cortex/journal, which stands above it",
        ),
        (
            "cortex/journal.py",
            "from planaria.cortex import durable",
            "cortex/journal imports cortex/durable, which stands above it",
        ),
        ("attic/box.py", "", "'attic' is no floor"),
        ("__init__.py", "from planaria.otp import Pid", "__init__ imports otp"),
    ],
)
def test_an_import_that_should_not_be_is_named_with_its_line(tmp_path, file, text, fault):
    assert fault in "\n".join(faults(_house(tmp_path, file, text)))


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("agents/session.py", "from planaria.rooms.room import Room\nfrom planaria.otp import call"),
        ("agents/session.py", "from planaria.agents.prompt.prompt import Prompt\nfrom . import prompt"),
        ("agents/session.py", "from planaria import __version__"),
        ("agents/session.py", "def bridge():\n    import pydantic_ai"),
        ("otp/kernel/scheduler.py", "import asyncio\nfrom .process import Process"),
        ("cortex/journal.py", "from planaria.cortex.stores.stores_of import Stores"),
        ("cortex/durable/work.py", "from .job import Job\nfrom planaria.cortex.journal import Journal"),
        ("cli/up.py", "def up():\n    from planaria.node import run"),
        ("testing/clock.py", "import asyncio\nfrom planaria.tools import web"),
        ("node.py", "from planaria.tools import web"),
    ],
)
def test_an_import_that_points_down_is_welcome(tmp_path, file, text):
    assert faults(_house(tmp_path, file, text)) == []


def _house(tmp_path: Path, file: str, text: str) -> Path:
    path = tmp_path / "planaria" / file
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return tmp_path / "planaria"
