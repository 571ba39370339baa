"""Compiles the kernel's hot modules into the platform wheel: `PLANARIA_COMPILE=1` at build time, or `make wheels`.

The sources are those of the pure wheel, through mypyc. Two things are done to a copy of them first:

- Coroutines and the generators that drive them (`@types.coroutine`) stay interpreted, in a module of their own beside
  the compiled one: only the interpreter sends through a chain of them without an exception for each (mypyc: 2 050
  against 1 270 ns a call), and only its frames can be looked into.
- Module-level names that are set once are `Final`, so that they are read without a dictionary.

Does badly: what interpreted code reads of a compiled object costs more than before, so a module pays only if those
it talks to most are compiled too. `servers/gen_server.py` does not: the instances of users' classes would lose their
fast attributes (measured: a call 1.2 times as dear). Nor may `kernel/bounded.py`: mypyc knows no subclass of deque.
"""

import ast
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).parent
SOURCE = ROOT / "src"
ASKED = "PLANARIA_COMPILE"

MODULES = (
    "planaria/otp/kernel/process.py",
    "planaria/otp/kernel/mailbox.py",
    "planaria/otp/kernel/signals.py",
    "planaria/otp/kernel/birth.py",
    "planaria/otp/kernel/runner.py",
    "planaria/otp/kernel/timers.py",
    "planaria/otp/kernel/alias.py",
    "planaria/otp/kernel/scheduler.py",
    "planaria/otp/kernel/ambient.py",
    "planaria/otp/servers/delivery.py",
)
"""What is compiled; together, so that they call each other directly."""

LOOSER = (
    ("planaria/otp/kernel/message.py", r"(?m)^type Envelope = .*$", "type Envelope = tuple[Any, ...]"),
    ("planaria/otp/kernel/process.py", r"queue: deque\[Envelope\] \| None", "queue: Any"),
    ("planaria/otp/kernel/node.py", r"self\.now = self\.clock\.now\(\)", "self.now: Any = self.clock.now()"),
    (
        "planaria/otp/kernel/node.py",
        r"self\.next_id: Callable\[\[\], int\]",
        "self.next_id: Callable[[], Any]",
    ),
)
"""What mypyc is told less about, by file: it would take tuples and numbers apart and put them together again, twice a
message (measured: a cast 1.4 times as dear). A bounded queue may give None, which the type does not say."""

FUTURE = "from __future__ import annotations\n"


class CompileHook(BuildHookInterface):
    """Adds the compiled modules to the wheel when asked to."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """What the build needs; nothing for a pure wheel."""
        return ["mypy==2.4.1", "setuptools>=80"] if os.environ.get(ASKED) else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called before the wheel is put together."""
        if self.target_name != "wheel" or version == "editable" or not os.environ.get(ASKED):
            return
        self._folder = Path(tempfile.mkdtemp(prefix="planaria-compile-"))
        for built, name in compile_kernel(self._folder):
            build_data["force_include"][str(built)] = name
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Called when the wheel is there."""
        if hasattr(self, "_folder"):
            shutil.rmtree(self._folder, ignore_errors=True)


def compile_kernel(folder: Path) -> list[tuple[Path, str]]:
    """Compile `MODULES` below `folder`; what was made, each with its place in the wheel."""
    from mypyc.build import mypycify  # noqa: PLC0415  only there when asked
    from setuptools import Distribution  # noqa: PLC0415

    stage, out = folder / "stage", folder / "out"
    shutil.copytree(SOURCE, stage, ignore=shutil.ignore_patterns("__pycache__"))
    for name, old, new in LOOSER:
        text, found = re.subn(old, new, (stage / name).read_text(encoding="utf-8"), count=1)
        if not found:
            raise ValueError(f"hatch_build.py: LOOSER finds no {old!r} in {name} any more: mend it there")
        (stage / name).write_text(text, encoding="utf-8")
    for name in MODULES:
        compiled, interpreted = prepare((stage / name).read_text(encoding="utf-8"), name)
        (stage / name).write_text(compiled, encoding="utf-8")
        if interpreted:
            side = side_of(name)
            (out / side).parent.mkdir(parents=True, exist_ok=True)
            (out / side).write_text(interpreted, encoding="utf-8")
    before = Path.cwd()
    os.chdir(stage)
    try:
        options = ["--config-file=", "--ignore-missing-imports", "--follow-imports=silent"]
        python = f"--python-version={sys.version_info[0]}.{sys.version_info[1]}"
        extensions = mypycify(
            [*options, python, *MODULES], opt_level="3", debug_level="0", group_name="planaria"
        )
        distribution = Distribution({"ext_modules": extensions})
        command: Any = distribution.get_command_obj("build_ext")
        command.build_lib, command.build_temp, command.parallel = (
            str(out),
            str(folder / "temp"),
            os.cpu_count(),
        )
        command.ensure_finalized()
        command.run()
    finally:
        os.chdir(before)
    return [(path, str(path.relative_to(out))) for path in sorted(out.rglob("*")) if path.is_file()]


def side_of(name: str) -> str:
    """Where the interpreted part of a module stands."""
    path = Path(name)
    return str(path.with_name(f"_{path.stem}_interpreted.py"))


def prepare(source: str, name: str) -> tuple[str, str]:
    """What is compiled of a module, and what stays interpreted (may be nothing); lines keep their numbers."""
    tree = ast.parse(source)
    lines = source.splitlines(keepends=True)
    kept = [
        node
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and _drives(node)
    ]
    methods = [
        (of, node)
        for of in tree.body
        if isinstance(of, ast.ClassDef)
        for node in of.body
        if isinstance(node, ast.AsyncFunctionDef)
    ]
    for node in tree.body:
        if _set_once(node, tree):
            target = node.targets[0]
            at = target.end_col_offset
            lines[target.lineno - 1] = (
                lines[target.lineno - 1][:at] + ": _Final" + lines[target.lineno - 1][at:]
            )
    interpreted = ["\n"] * len(lines)
    for node in kept:
        first = min(each.lineno for each in (node, *node.decorator_list))
        for number in range(first - 1, node.end_lineno or first):
            interpreted[number], lines[number] = lines[number], "\n"
        lines[first - 1] = f"{node.name}: _Any = None\n"
    for of, method in methods:
        for number in range(method.lineno - 1, method.end_lineno or method.lineno):
            interpreted[number], lines[number] = lines[number].removeprefix("    "), "\n"
        at = method.lineno - 1
        name_here = f"_{of.name}_{method.name}"
        interpreted[at] = interpreted[at].replace(f"async def {method.name}", f"async def {name_here}", 1)
        taken, given = _parameters(method)
        lines[at] = f"    def {method.name}({taken}) -> _Any: return {name_here}({given})\n"
        lines[-1] += f"\n{name_here}: _Any = None\n"
    for number, line in enumerate(lines):
        if line == FUTURE:
            interpreted[number] = line
            lines[number] = f"{FUTURE.strip()}; from typing import Any as _Any, Final as _Final\n"
    compiled = "".join(lines)
    if not kept and not methods:
        return compiled, ""
    module = side_of(name).removesuffix(".py").replace("/", ".")
    adopt = f"\nfrom planaria.otp.kernel.compiled import adopt as _adopt\n_adopt({module!r}, globals())\n"
    return compiled + adopt, "".join(interpreted)


def _parameters(method: ast.AsyncFunctionDef) -> tuple[str, str]:
    """What a method takes, without types, and how it is handed on."""
    arguments = ast.parse(f"def f({ast.unparse(method.args)}): pass").body[0]
    assert isinstance(arguments, ast.FunctionDef)
    for each in ast.walk(arguments.args):
        if isinstance(each, ast.arg):
            each.annotation = ast.Name("_Any") if each.arg != "self" else None
    args = method.args
    given = [each.arg for each in (*args.posonlyargs, *args.args)]
    given += [f"*{args.vararg.arg}"] if args.vararg else []
    given += [f"{each.arg}={each.arg}" for each in args.kwonlyargs]
    given += [f"**{args.kwarg.arg}"] if args.kwarg else []
    return ast.unparse(arguments.args), ", ".join(given)


def _drives(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return isinstance(node, ast.AsyncFunctionDef) or any(
        ast.unparse(each) == "types.coroutine" for each in node.decorator_list
    )


def _set_once(node: ast.stmt, tree: ast.Module) -> bool:
    if not (
        isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name)
    ):
        return False
    if not isinstance(node.value, ast.Constant | ast.Call):
        return False  # an alias of a class or a type
    name = node.targets[0].id
    stores = [
        each for each in ast.walk(tree) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)
    ]
    rebound = [each for each in ast.walk(tree) if isinstance(each, ast.Global) and name in each.names]
    return not rebound and sum(each.id == name and each in _top(tree) for each in stores) == 1


def _top(tree: ast.Module) -> list[ast.expr]:
    return [target for node in tree.body if isinstance(node, ast.Assign) for target in node.targets]
