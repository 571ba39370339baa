"""Modules that tests write, import and write anew."""

import importlib
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from planaria.otp.upgrade.version import VERSIONS

HEAD = """
from __future__ import annotations
from dataclasses import dataclass, field
from enum import Enum
from typing import Any
from planaria.otp import GenServer, StateMachine, Deferred, call, cast, self_, send, sleep, receive, spawn_link
from planaria.otp import upgrade
"""


class Code:
    """A folder on `sys.path`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names: set[str] = set()

    def write(self, name: str, text: str, *, package: bool = False) -> Path:
        """Write the file of a module."""
        path = self.folder.joinpath(*name.split("."))
        path = path / "__init__.py" if package else path.with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(HEAD + textwrap.dedent(text), encoding="utf-8")
        self.names.add(name)
        return path

    def module(self, name: str, text: str, *, package: bool = False) -> Any:
        """Write it and import it."""
        self.write(name, text, package=package)
        importlib.invalidate_caches()
        return importlib.import_module(name)

    def __getitem__(self, name: str) -> Any:
        return sys.modules[name]


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Code]:
    monkeypatch.syspath_prepend(str(tmp_path))
    written = Code(tmp_path)
    yield written
    for name in list(sys.modules):
        module = sys.modules[name]
        if isinstance(module, ModuleType) and str(getattr(module, "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]
            for table in (VERSIONS.current, VERSIONS.old, VERSIONS.last, VERSIONS.numbers):
                table.pop(name, None)
    assert VERSIONS.busy is None
