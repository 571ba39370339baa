"""Which classes a worker may send home. What it sends is data; unpickling must not become running code at home.

A worker runs the node's own code, so isolation keeps faults apart, not attackers: a worker that was taken over can send
wrong values of admitted classes and lie about its processes. But no bytes it writes name a function, import a module,
or reach a class that is not on these lists:

- plain values of Python and the standard library (`_STANDARD`), numpy's arrays where numpy is loaded at home;
- records and exceptions from modules that are loaded at home already and are not the standard library's: dataclasses,
  enums, named tuples, attrs, msgspec and pydantic classes, subclasses of `Exception`;
- what `Worker(admits=(Cls, ...))` lists, and its subclasses.
"""

from __future__ import annotations

import builtins
import enum
import sys
from collections.abc import Callable
from typing import Any

from planaria.otp.isolation.errors import NotAdmitted

_STANDARD = {
    "builtins": "bool bytearray bytes complex dict float frozenset int list object range set slice str tuple type",
    "collections": "Counter OrderedDict defaultdict deque",
    "copyreg": "__newobj__ __newobj_ex__",
    "datetime": "date datetime time timedelta timezone",
    "decimal": "Decimal",
    "fractions": "Fraction",
    "ipaddress": "IPv4Address IPv4Interface IPv4Network IPv6Address IPv6Interface IPv6Network",
    "pathlib": "Path PosixPath PurePath PurePosixPath PureWindowsPath WindowsPath",
    "pathlib._local": "Path PosixPath PurePath PurePosixPath PureWindowsPath WindowsPath",
    "types": "SimpleNamespace",
    "uuid": "SafeUUID UUID",
    "zoneinfo": "ZoneInfo",
}
_NUMPY = {
    "numpy": "dtype ndarray",
    "numpy._core.multiarray": "_reconstruct scalar",
    "numpy._core.numeric": "_frombuffer",
    "numpy.core.multiarray": "_reconstruct scalar",
    "numpy.core.numeric": "_frombuffer",
}
_RECORDS = ("__dataclass_fields__", "__attrs_attrs__", "__struct_fields__", "__pydantic_fields__")
# A type is needed as a value by default dictionaries (`defaultdict(list)`), never as a way to make classes.
_NEVER = frozenset({"builtins.type", "builtins.object"})

MAIN = "__mp_main__"
"""What the program's `__main__` is called inside workers; the name multiprocessing gives it too."""


class Admission:
    """Looks classes up for what a worker sent.

    Args:
        admits: further classes that are let in, with their subclasses.
    """

    def __init__(self, admits: tuple[type, ...] = ()) -> None:
        self.admits = admits
        self.known: dict[tuple[str, str], Any] = {}

    def find(self, module: str, name: str) -> Any:
        """The class called `name` in `module`.

        Raises:
            NotAdmitted: it is not let in.
        """
        key = (module, name)
        found = self.known.get(key)
        if found is None:
            found = self.known[key] = self._find(module, name)
        return found

    def _find(self, module: str, name: str) -> Any:
        if f"{module}.{name}" in _NEVER:
            raise NotAdmitted(module, name, "it is no data")
        listed = _STANDARD.get(module) or ("numpy" in sys.modules and _NUMPY.get(module)) or ""
        if name in listed.split():
            return _walk(module, name)
        found = _walk("__main__" if module == MAIN else module, name)
        if not isinstance(found, type):
            raise NotAdmitted(module, name, "only classes are, functions never")
        if self.admits and issubclass(found, self.admits):
            return found
        if issubclass(found, BaseException):
            if module == "builtins" or module.split(".")[0] == "planaria" or not _standard(module):
                return found
            if issubclass(
                found, Exception
            ):  # errors of the standard library: json.JSONDecodeError and the like
                return found
        if not _standard(module) and (
            issubclass(found, enum.Enum)
            or (issubclass(found, tuple) and hasattr(found, "_fields"))
            or any(mark in vars(each) for each in found.__mro__ for mark in _RECORDS)
        ):
            return found
        raise NotAdmitted(
            module, name, f"it is no record; let it in with isolation=Worker(admits=({found.__qualname__},))"
        )


def _standard(module: str) -> bool:
    return module.split(".")[0] in sys.stdlib_module_names and module != "__main__"


def _walk(module: str, name: str) -> Any:
    """What `module.name` is at home; only in modules that are loaded, and only through classes."""
    found: Any = builtins if module == "builtins" else sys.modules.get(module)
    if found is None:
        raise NotAdmitted(module, name, "its module is not loaded at home; import it there")
    for part in name.split("."):
        if not (found is sys.modules.get(module) or isinstance(found, type)):
            raise NotAdmitted(module, name, "it is no class")
        found = vars(found).get(part)
        if found is None:
            raise NotAdmitted(module, name, "home has no such class")
    return found


Find = Callable[[str, str], Any]
