"""What a worker may use: memory, CPU time, open files; and how it is set up."""

from __future__ import annotations

import math
import re
import resource
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

MEMORY_MIN = 64 * 1024 * 1024
"""Bytes below which an interpreter with a node inside cannot start reliably."""
FILES_MIN = 32

_UNITS = {
    "B": 1,
    "KB": 1000,
    "MB": 1000**2,
    "GB": 1000**3,
    "TB": 1000**4,
    "KIB": 1024,
    "MIB": 1024**2,
    "GIB": 1024**3,
    "TIB": 1024**4,
}


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one worker; None means no bound beyond the machine's.

    Attributes:
        memory: bytes, or text such as `"512 MB"`, `"1.5 GiB"`: what the worker's heap may grow to, the interpreter's
            own (about 15 MB) included; at least 64 MiB. Beyond it the worker ends with `out_of_memory`. On Linux
            RLIMIT_DATA: private writable memory, so buffers it was sent through shared memory do not count.
        cpu: seconds of processor time over the worker's whole life, at least 1, rounded up to whole seconds
            (RLIMIT_CPU counts no finer); beyond it the worker ends with `cpu_limit`.
        files: open file descriptors, at least 32 (RLIMIT_NOFILE); beyond it opening raises `OSError`, as at home.
    Raises:
        TypeError, ValueError: a bound of the wrong type, not understood, or too small to start with.
    """

    memory: int | str | None = None
    cpu: float | None = None
    files: int | None = None

    def __post_init__(self) -> None:
        _check_number("cpu", self.cpu, (int, float), 1, "seconds")
        _check_number("files", self.files, (int,), FILES_MIN, "descriptors")
        in_bytes = self.memory_bytes
        if in_bytes is not None and in_bytes < MEMORY_MIN:
            raise ValueError(
                f"Limits(memory={self.memory!r}) is less than a worker needs: at least 64 MiB, such as '128 MB'"
            )

    @property
    def memory_bytes(self) -> int | None:
        """The bound on memory in bytes."""
        return None if self.memory is None else bytes_of(self.memory)

    def apply(self) -> None:
        """Bind the running OS process; called in the worker. Core files are never written."""
        _lower(resource.RLIMIT_CORE, 0)
        memory = self.memory_bytes
        if memory is not None:
            # Linux counts anonymous mappings as data; elsewhere only the address space can be bounded.
            _lower(resource.RLIMIT_DATA if sys.platform == "linux" else resource.RLIMIT_AS, memory)
        if self.cpu is not None:
            seconds = math.ceil(self.cpu)
            # The soft limit's SIGXCPU tells why; the hard one a second later ends what ignores it.
            _lower(resource.RLIMIT_CPU, seconds, seconds + 1)
        if self.files is not None:
            _lower(resource.RLIMIT_NOFILE, self.files)


def bytes_of(amount: int | str) -> int:
    """Bytes meant by a number or by text with a unit: `"512 MB"`, `"1.5 GiB"`, `"4096"`."""
    if isinstance(amount, bool) or not isinstance(amount, int | str):
        raise TypeError(f"Limits(memory={amount!r}): write bytes as an int, or text such as '512 MB'")
    if isinstance(amount, int):
        return amount
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", amount)
    unit = found and _UNITS.get(found[2].upper() or "B")
    if not found or not unit:
        raise ValueError(
            f"Limits(memory={amount!r}) is not understood: write a number and B, KB, MB, GB, KiB, MiB or GiB"
        )
    return int(float(found[1]) * unit)


def _check_number(name: str, value: object, types: tuple[type, ...], least: float, what: str) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, types):
        kind = " or ".join(t.__name__ for t in types)
        raise TypeError(f"Limits({name}={value!r}): write {what} as {kind}")
    if isinstance(value, int | float) and not (least <= value < math.inf):
        raise ValueError(f"Limits({name}={value!r}) is out of range: at least {least} {what}")


def _lower(which: int, soft: int, hard: int | None = None) -> None:
    """Set a limit, never above what the machine allows this process already."""
    _, ceiling = resource.getrlimit(which)
    hard = soft if hard is None else hard
    if ceiling != resource.RLIM_INFINITY:
        soft, hard = min(soft, ceiling), min(hard, ceiling)
    resource.setrlimit(which, (soft, hard))


@dataclass(frozen=True, slots=True)
class Worker:
    """How one worker is set up; `isolation="worker"` stands for `Worker()`.

    Attributes:
        limits: what it may use.
        env: its environment. By default it has only what programs need to run at all (`SAFE_ENV`: PATH, HOME,
            LANG, TMPDIR and the like), so that keys and tokens of the node stay with the node. A mapping adds to
            that; `"inherit"` hands on everything.
        admits: classes whose instances it may send home beside those that are always let in (see `admission.py`);
            their subclasses too.
    """

    limits: Limits = field(default_factory=Limits)
    env: Mapping[str, str] | Literal["inherit"] | None = None
    admits: tuple[type, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.limits, Limits):
            raise TypeError(f"limits={self.limits!r}: write Limits(memory='512 MB', cpu=10, files=256)")
        if isinstance(self.env, str):
            if self.env != "inherit":
                raise ValueError(f"env={self.env!r}: write 'inherit' or a mapping of names to values")
        elif self.env is not None:
            for name, value in self.env.items():
                if not isinstance(name, str) or not isinstance(value, str):
                    raise TypeError(f"env: {name!r}={value!r} must both be text")
        for cls in self.admits:
            if not isinstance(cls, type):
                raise TypeError(f"admits: {cls!r} is no class")


SAFE_ENV = (
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LANGUAGE",
    "TZ",
    "TMPDIR",
    "TEMP",
    "TMP",
    "TERM",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "VIRTUAL_ENV",
    "PYTHONPATH",
    "PYTHONHOME",
    "PYTHONHASHSEED",
    "PYTHONUTF8",
    "PYTHONIOENCODING",
    "PYTHONWARNINGS",
    "PYTHONDONTWRITEBYTECODE",
    "PYTHONPYCACHEPREFIX",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
)
"""Variables every worker has, and all those that begin with `LC_`."""


def safe_env(environ: Mapping[str, str]) -> dict[str, str]:
    """The part of `environ` that every worker gets."""
    return {k: v for k, v in environ.items() if k in SAFE_ENV or k.startswith("LC_")}


def env_of(worker: Worker, environ: Mapping[str, str]) -> dict[str, str]:
    """The whole environment of one worker."""
    if worker.env == "inherit":
        return dict(environ)
    return {**safe_env(environ), **(worker.env or {})}
