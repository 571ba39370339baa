"""What is asked of a new version before the node touches it: it compiles, imports, passes its own checks, offers all
that the old one did. Imported first in a worker with a time limit, which gets the very bytes the node will run.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from planaria.otp.upgrade.exports import exports_of
from planaria.otp.upgrade.probe import ANSWER, REQUEST
from planaria.otp.upgrade.source import Source, code_name

WORKER = "from planaria.otp.upgrade.probe import main; main()"
TICK = 0.02
"""Seconds between two looks at a worker."""
LAST_WORDS = 300
"""Characters of a worker's error output that are worth telling."""


def compile_problems(sources: Mapping[str, Source], numbers: Mapping[str, int]) -> list[str]:
    """Why some of the sources are no Python."""
    found: list[str] = []
    for source in sources.values():
        try:
            source.compile(code_name(source, numbers[source.name]))
        except SyntaxError as error:
            found.append(f"{source.name} does not compile: {error.msg} ({source.path}:{error.lineno})")
        except (ValueError, RecursionError, MemoryError) as error:  # the last two: nested too deeply
            found.append(f"{source.name} does not compile: {error}")
    return found


def probe(
    sources: Mapping[str, Source], numbers: Mapping[str, int], seconds: float
) -> tuple[list[str], dict[str, set[str]]]:
    """Import the sources in a worker. Blocks; for a thread.

    Returns:
        Why they are unfit, and what each of them exports.
    """
    with tempfile.TemporaryDirectory(prefix="planaria-upgrade-") as name:
        directory = Path(name)
        for number, source in enumerate(sources.values()):
            (directory / f"{number}.py").write_bytes(source.data)
        request = {
            "path": sys.path,
            "numbers": dict(numbers),
            "sources": [{"name": s.name, "path": s.path, "search": s.search} for s in sources.values()],
        }
        (directory / REQUEST).write_text(json.dumps(request), encoding="utf-8")
        how = _run(directory, seconds)
        try:
            answer: dict[str, Any] = json.loads((directory / ANSWER).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return [f"{', '.join(sources)}: in the worker that imported it first, {how}"], {}
    return list(answer["problems"]), {name: set(names) for name, names in answer["exports"].items()}


def _run(directory: Path, seconds: float) -> str:
    """Run the worker to its end; how it ended, in words."""
    paths = [path for path in sys.path if path]
    worker = subprocess.Popen(
        [sys.executable, "-B", "-P", "-c", WORKER, str(directory), f"{seconds:g}"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        start_new_session=True,
    )
    assert worker.stdout is not None
    words = b""
    try:
        with worker.stdout as output:
            words = _last_words(worker, output.fileno(), time.monotonic() + seconds)
        code = worker.poll()
        if code is None:
            how = f"it was not done within {seconds:g} s"
        else:
            how = f"it exited with code {code}" if code >= 0 else f"signal {-code} ended it"
    finally:
        _end(worker)
    text = words.decode(errors="replace").strip()
    return f"{how}; its last words: {text}" if text else how


def _last_words(worker: subprocess.Popen[bytes], output: int, until: float) -> bytes:
    """The end of what it prints, until it ends or the time is up; what it started may hold its output longer."""
    words = b""
    os.set_blocking(output, False)
    ready = select.poll()
    ready.register(output, select.POLLIN)
    while True:
        ended = worker.poll() is not None
        left = max(0.0, until - time.monotonic())
        if ready.poll(0 if ended else min(left, TICK) * 1000):
            chunk = os.read(output, 1 << 16)  # all there is: a pipe holds no more
            words = (words + chunk)[-LAST_WORDS:]
            if not chunk and not ended:
                time.sleep(min(left, TICK))
        if ended or left == 0:
            return words


def _end(worker: subprocess.Popen[bytes]) -> None:
    """Kill the worker and whatever it started."""
    try:
        os.killpg(worker.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    worker.wait()


def missing(
    old: Mapping[str, ModuleType], exports: Mapping[str, set[str]], allowed: Collection[str] | bool
) -> list[str]:
    """Which public names of the old modules the new ones do not have."""
    if allowed is True:
        return []
    if isinstance(allowed, str):
        allowed = (allowed,)
    lacking: list[str] = []
    for name, module in old.items():
        gone = exports_of(module) - exports.get(name, set())
        lacking += [f"{name}.{each}" for each in sorted(gone)]
    lacking = [each for each in lacking if not _is_allowed(each, allowed)]
    if not lacking:
        return []
    listed = ", ".join(lacking)
    return [f"it lacks {listed}, which others may use: keep them, or say allow_missing={lacking!r}"]


def _is_allowed(name: str, allowed: Collection[str] | bool) -> bool:
    """Allowed as `module.Name`, `Name`, or with all of a class."""
    if isinstance(allowed, bool):
        return allowed
    return any(name == each or name.endswith("." + each) or f".{each}." in name for each in allowed)
