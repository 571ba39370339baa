"""The user's program in a worker: where modules are found, and what `__main__` was at home.

As multiprocessing does it: classes of a module are found by import; for those of a script, the script is run again in
the worker under the name `__mp_main__`, so that what stands below `if __name__ == "__main__":` stays at home.
"""

from __future__ import annotations

import os
import runpy
import sys
import types
import zipfile
from dataclasses import dataclass
from typing import Any

from planaria.otp.isolation.admission import MAIN


@dataclass(frozen=True, slots=True)
class Program:
    """What a worker needs to find the same code.

    Attributes:
        path: `sys.path`, folders absolute.
        folder: the working directory; empty if it was removed.
        main: how `__main__` was started: `("module", name)`, `("file", path)`, or why it cannot be run again.
        argv: the program's arguments.
    """

    path: tuple[str, ...]
    folder: str
    main: tuple[str, str]
    argv: tuple[str, ...]


def this_program() -> Program:
    """The program that runs now."""
    folder = _folder()
    path = tuple(os.path.join(folder, each) if folder else each for each in sys.path)
    return Program(path, folder, _main(), tuple(sys.argv))


def _folder() -> str:
    """The working directory; empty if it was removed."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        return ""


def _main() -> tuple[str, str]:
    module = sys.modules.get(MAIN) or sys.modules["__main__"]
    spec = getattr(module, "__spec__", None)
    if spec is not None and spec.name not in ("__main__", MAIN):
        if spec.name.endswith(".__main__"):  # a package run with -m: running it again would start it again
            return "none", f"{spec.name} is the program itself"
        return "module", spec.name
    file = getattr(module, "__file__", None)
    if spec is not None and file is not None and zipfile.is_zipfile(os.path.dirname(file)):
        return "file", os.path.abspath(os.path.dirname(file))  # an archive with a `__main__.py`
    if file is not None and not file.startswith("<") and not os.path.exists(file):
        return "none", f"its file {file} is not there any more"
    if file is None or not os.path.exists(file):
        return "none", "it was typed in or read from standard input, so a worker cannot run it again"
    if os.path.splitext(file)[0].endswith("ipython"):
        return "none", "it is an interactive session"
    return "file", os.path.abspath(file)


def check_reachable(what: str, module: str, qualname: str) -> None:
    """Whether a worker will find a class or function.

    Raises:
        TypeError: it is local to a function, a lambda, or in a `__main__` that cannot be run again.
    """
    if "<" in qualname:
        raise TypeError(
            f"{what} {qualname} of {module} is made inside a function; move it to the top of a module, "
            "where a worker can import it"
        )
    if module in ("__main__", MAIN):
        kind, why = _main()
        if kind == "none":
            raise TypeError(
                f"{what} {qualname} is defined in __main__, and {why}; put it into a module that can be imported"
            )


@dataclass(frozen=True, slots=True)
class Place:
    """Where a class or function is found: by name, so that a worker takes the version it can import."""

    module: str
    qualname: str


def by_place(what: Any) -> object:
    """The place of a class or a plain function; anything else (a bound method) as it is, to be pickled."""
    owner = getattr(what, "__self__", None)
    if not callable(what) or not (owner is None or isinstance(owner, types.ModuleType)):
        return what
    return Place(what.__module__, what.__qualname__)


class Importing:
    """Whether the main script is being run again; one for the interpreter, since `__main__` is."""

    __slots__ = ("now",)

    def __init__(self) -> None:
        self.now = False


importing = Importing()


def check_not_importing() -> None:
    """Raise `RuntimeError` in a script that starts workers while it is only being imported by one."""
    if importing.now:
        raise RuntimeError(
            "this script starts a worker while a worker imports it: put what starts the node below "
            "`if __name__ == '__main__':`"
        )


def settle_in(program: Program) -> None:
    """In the worker: take over paths, folder and arguments."""
    sys.path[:] = program.path
    sys.argv[:] = program.argv
    if program.folder and program.folder != _folder():
        os.chdir(program.folder)


def import_main(program: Program) -> None:
    """In the worker: run the main script again, as `__mp_main__`. Does nothing the second time."""
    if MAIN in sys.modules:
        return
    kind, value = program.main
    if kind == "none":
        return
    module = types.ModuleType(MAIN)
    importing.now = True
    try:
        if kind == "module":
            content = runpy.run_module(value, run_name=MAIN, alter_sys=True)
        else:
            content = runpy.run_path(value, run_name=MAIN)
    except Exception as error:
        raise ImportError(
            f"{value} was run again in a worker, as {MAIN}, and raised {type(error).__name__}: {error}. "
            "Put what starts the program below `if __name__ == '__main__':`"
        ) from error
    finally:
        importing.now = False
    module.__dict__.update(content)
    sys.modules["__main__"] = sys.modules[MAIN] = module
