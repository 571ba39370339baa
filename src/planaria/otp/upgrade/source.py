"""The source of one version of a module: found, read once, and compiled under a file name of its own.

Both the check and the node run the bytes that were read, so what is checked is what runs. No `.pyc` is read or
written: two versions saved within one second, of one size, would be one to it.
"""

from __future__ import annotations

import hashlib
import importlib
import linecache
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import decode_source, spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

NEVER = ("planaria.otp", "planaria.testing")
"""The kernel does not replace itself."""


class Unfit(Exception):
    """A module that cannot have two versions; says why."""


@dataclass(frozen=True, slots=True)
class Source:
    """One version of one module as text. `search` is set for packages: where its submodules are."""

    name: str
    path: str
    data: bytes
    search: tuple[str, ...] | None = None

    @property
    def text(self) -> str:
        """The source, decoded as Python does."""
        return decode_source(self.data)

    @property
    def digest(self) -> str:
        """Tells versions apart; hexadecimal."""
        return hashlib.sha256(self.data).hexdigest()

    def compile(self, filename: str) -> CodeType:
        """The module's code, its lines attributed to `filename`."""
        return compile(self.data, filename, "exec", dont_inherit=True)


def find_source(name: str) -> Source:
    """Read what `name` would be imported from now.

    Raises:
        Unfit: it is not made of Python source, or has no right to be replaced.
    """
    if name == "__main__":
        raise Unfit("__main__ is the running program; move what shall change into a module of its own")
    if any(name == each or name.startswith(each + ".") for each in NEVER):
        raise Unfit(f"{name} is the kernel; restart the node to change it")
    spec = _spec(name)
    if spec is None:
        raise Unfit(f"there is no module {name!r} on sys.path")
    if name in sys.builtin_module_names or spec.origin in ("built-in", "frozen"):
        raise Unfit(f"{name} is part of the interpreter ({spec.origin})")
    if spec.origin is None or not spec.has_location:
        raise Unfit(f"{name} is a namespace package: it has no code; upgrade the modules inside")
    if not isinstance(spec.loader, SourceFileLoader):
        raise Unfit(f"{name} is not Python source but {spec.origin} ({type(spec.loader).__name__})")
    search = spec.submodule_search_locations
    try:
        data = Path(spec.origin).read_bytes()
    except OSError as error:
        raise Unfit(f"{spec.origin} cannot be read: {error.strerror}") from error
    return Source(name, spec.origin, data, None if search is None else tuple(search))


def _spec(name: str) -> ModuleSpec | None:
    importlib.invalidate_caches()
    parent = name.rpartition(".")[0]
    path: Sequence[str] | None = None
    if parent:
        module = sys.modules.get(parent)
        if module is None:
            module = importlib.import_module(parent)
        path = getattr(module, "__path__", None)
        if path is None:
            return None
    for finder in sys.meta_path:
        spec = finder.find_spec(name, path) if hasattr(finder, "find_spec") else None
        if spec is not None:
            return spec
    # Loaded from a file by somebody's own hand, so no finder knows it.
    return getattr(sys.modules.get(name), "__spec__", None)


def code_name(source: Source, version: int) -> str:
    """The file name in the code and tracebacks of one version, e.g. `garden/web.py@2`."""
    return f"{source.path}@{version}"


def remember_lines(filename: str, text: str) -> None:
    """Let tracebacks show these lines for this file name, whatever is on disk."""
    # Without a time of change the entry is never checked against a file.
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)


def remember_first(module: ModuleType, *, unchanged: bool = False) -> None:
    """Keep what tracebacks show of a module that was imported in the usual way, for when its file has changed.

    Args:
        unchanged: the file is still what was imported. Else that is found out; if it is not so, or cannot be known,
            no lines are shown rather than wrong ones.
    """
    path = getattr(module, "__file__", None)
    if not isinstance(path, str):
        return
    entry = linecache.cache.get(path)
    if entry is not None and len(entry) == 4 and entry[1] is None:
        return  # kept before
    if unchanged or _is_on_disk_still(module, path):
        remember_lines(path, decode_source(Path(path).read_bytes()))
    else:
        linecache.cache[path] = (0, None, [], path)


def _is_on_disk_still(module: ModuleType, path: str) -> bool:
    """Whether the file is what the module was made from, as far as its cached code tells."""
    cached = getattr(module.__spec__, "cached", None)
    try:
        status = Path(path).stat()
        header = Path(cached).read_bytes()[:16] if cached else b""
    except OSError:
        return False
    # flags 0: the code is valid for a file of this time and size
    mark = (int(status.st_mtime) & 0xFFFFFFFF).to_bytes(4, "little")
    return header[4:] == bytes(4) + mark + (status.st_size & 0xFFFFFFFF).to_bytes(4, "little")


class VersionLoader(SourceFileLoader):
    """Loads a module from a `Source`. `bind` gives the namespace its top level writes into."""

    def __init__(
        self, source: Source, version: int, bind: Callable[[ModuleType], Mapping[str, Any]] | None = None
    ) -> None:
        super().__init__(source.name, source.path)
        self.source = source
        self.version = version
        self.bind = bind

    def get_source(self, fullname: str) -> str:
        """The text of this version, not what is on disk now; tracebacks ask for it by the module's globals."""
        return self.source.text

    def get_code(self, fullname: str) -> CodeType:
        """Compiled each time: see the module."""
        return self.source.compile(code_name(self.source, self.version))

    def exec_module(self, module: ModuleType) -> None:
        """Run the module's top level."""
        code = self.get_code(module.__name__)
        names: Any = None if self.bind is None else self.bind(module)
        self.bind = None  # it knows the version before, which would know the one before that, and so on
        exec(code, module.__dict__, names)  # noqa: S102  this is what an import does

    def spec(self) -> ModuleSpec:
        """What the import system asks a finder for."""
        search = self.source.search
        spec = spec_from_file_location(
            self.source.name,
            self.source.path,
            loader=self,
            submodule_search_locations=None if search is None else list(search),
        )
        assert spec is not None  # only for files of unknown kinds without a loader
        return spec


class SourceFinder:
    """Answers for the modules of one set of sources, before all other finders."""

    def __init__(self, loaders: Mapping[str, VersionLoader]) -> None:
        self.loaders = loaders

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Called by the import system."""
        loader = self.loaders.get(fullname)
        return None if loader is None else loader.spec()
