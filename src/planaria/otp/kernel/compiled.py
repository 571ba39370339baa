"""Whether this kernel is the compiled one, and what compiled modules need: `hatch_build.py` says how they are made."""

from __future__ import annotations

from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec
from pathlib import Path
from typing import Any

COMPILED = any(Path(__file__).with_name(f"scheduler{suffix}").exists() for suffix in EXTENSION_SUFFIXES)
"""True in the platform wheel, where the hot modules are machine code; False in plain Python, the reference."""


INSTEAD = "_compiled"


def adopt(module: str, namespace: dict[str, Any]) -> None:
    """Let a compiled module have the functions of its interpreted part, as if they had been written in it.

    One called `x_compiled` takes the place of `x`: the quickest in plain Python crosses into compiled code too often.
    """
    spec = find_spec(module)
    assert spec is not None and spec.loader is not None
    found: dict[str, Any] = {}
    exec(spec.loader.get_code(module), namespace, found)  # type: ignore[attr-defined]  # noqa: S102
    namespace.update(found)
    for name, value in found.items():
        if name.endswith(INSTEAD):
            namespace[name.removesuffix(INSTEAD)] = value
