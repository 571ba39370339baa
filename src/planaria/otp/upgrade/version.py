"""The versions of modules: which is in force, which is the old one, and what the last upgrade did.

There is one set of modules in an interpreter (`sys.modules`), so there is one list of their versions.
Source: Erlang's code server: two versions of a module at most, the current and the old one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from types import FunctionType, ModuleType
from typing import Any

from planaria.otp.kernel.node import Node
from planaria.otp.kernel.process import DEAD, Process
from planaria.otp.kernel.versions import named
from planaria.otp.upgrade.hold import Gate
from planaria.otp.upgrade.move import Moved
from planaria.otp.upgrade.probation import CrashRate, Probation
from planaria.otp.upgrade.source import Source


@dataclass(frozen=True, slots=True, eq=False)
class Version:
    """One version of one module.

    Attributes:
        number: 1 is what the first import gave; numbers are not used twice.
        source: None for version 1, whose text was not kept.
        vsn: what `code_change` is told: the module's `__vsn__` if it has one, else the number (OTP's -vsn).
    """

    name: str
    number: int
    module: ModuleType
    source: Source | None
    loaded_at: float

    @property
    def vsn(self) -> Any:
        """See the class."""
        return self.module.__dict__.get("__vsn__", self.number)


class Former(dict[Process, Moved]):
    """How processes were before they moved; the dead are forgotten."""

    def __setitem__(self, process: Process, moved: Moved) -> None:
        super().__setitem__(process, moved)
        if process.on_death is None:
            process.on_death = []
        if _forget not in process.on_death:
            process.on_death.append(_forget)


def _forget(process: Process) -> None:
    """One hook for all changes, which a process that outlives many does not keep alive."""
    for change in {id(last): last for last in VERSIONS.changes()}.values():
        change.moved.pop(process, None)


@dataclass(slots=True, eq=False)
class Change:
    """One upgrade: what it put in the place of what, and the processes that moved.

    Attributes:
        gates: before processes that are still to move.
        former_rate: how often the version before crashed, if that was watched.
        before: the changes below this one, by module: one step further back.
    """

    node: Node
    old: dict[str, Version]
    new: dict[str, Version]
    former_rate: CrashRate | None = None
    before: dict[str, Change] = field(default_factory=dict)
    classes: dict[type, type] = field(default_factory=dict)
    moved: Former = field(default_factory=Former)
    gates: dict[Process, Gate] = field(default_factory=dict)
    probation: Probation | None = None


class Versions:
    """All modules that were ever upgraded."""

    def __init__(self) -> None:
        self.current: dict[str, Version] = {}
        self.old: dict[str, Version] = {}
        self.last: dict[str, Change] = {}  # the change that put the current version there
        self.numbers: dict[str, int] = {}  # the highest ever given
        self.busy: str | None = None  # what an upgrade is at work on

    def changes(self) -> Iterator[Change]:
        """Those there is a way back from."""
        for change in self.last.values():
            yield change
            yield from change.before.values()

    def over(self) -> None:
        """Nothing is at work any more."""
        self.busy = None

    def known(self, name: str, module: ModuleType, at: float) -> Version:
        """The current version of a module; its first if nobody asked before."""
        version = self.current.get(name)
        if version is None or version.module is not module:
            version = self.current[name] = Version(name, self.next_number(name), module, None, at)
            self.last.pop(name, None)
        return version

    def put_on_top(self, change: Change) -> None:
        """The new versions of a change are in force."""
        for process in [each for each in change.moved if each.status == DEAD]:
            del change.moved[process]  # it died before its hook could find the change
        for name, version in change.new.items():
            former = self.last.get(name)
            if former is not None:
                change.before[name] = former
                former.before.clear()  # two steps back are enough
            self.old[name] = change.old[name]
            self.current[name] = version
            self.last[name] = change

    def take_off(self, change: Change) -> None:
        """The old versions of a change are in force again; a later load waits for those who still run the new."""
        for name in change.new:
            self.current[name] = change.old[name]
            self.old[name] = change.new[name]
            self.last.pop(name, None)
            if name in change.before:
                self.last[name] = change.before[name]

    def next_number(self, name: str) -> int:
        """A number no version of the module has had."""
        number = self.numbers[name] = self.numbers.get(name, 0) + 1
        return number


VERSIONS = Versions()


def classes_of(module: ModuleType) -> dict[str, type]:
    """The classes a module defines, nested ones too, by qualified name."""
    found: dict[str, type] = {}

    def look(values: Iterator[Any]) -> None:
        for value in values:
            if isinstance(value, type) and value.__module__ == module.__name__:
                if value.__qualname__ not in found and "<locals>" not in value.__qualname__:
                    found[value.__qualname__] = value
                    look(iter(list(vars(value).values())))

    look(iter(list(vars(module).values())))
    return found


def functions_of(module: ModuleType) -> set[FunctionType]:
    """The functions that names of a module and of its classes stand for, decorated ones included."""
    values: list[object] = list(vars(module).values())
    for cls in classes_of(module).values():
        values += [getattr(value, "__func__", value) for value in vars(cls).values()]
    return {v for v in values if isinstance(v, FunctionType) and v.__module__ == module.__name__}


def counterparts(old: ModuleType, new: ModuleType) -> tuple[dict[type, type], list[type]]:
    """(old class to new class, old classes without one)."""
    table: dict[type, type] = {}
    lost: list[type] = []
    for qualname, cls in classes_of(old).items():
        other = named(new, qualname)
        if isinstance(other, type):
            table[cls] = other
        else:
            lost.append(cls)
    return table, lost
