"""The check of new code in a worker: an interpreter of its own, which may hang, print or exit without harm.

`main` is run with a directory and seconds as arguments: the request is there, and the answer is written there.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import math
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

from planaria.otp.upgrade.exports import exports_of
from planaria.otp.upgrade.source import Source, SourceFinder, VersionLoader, code_name

REQUEST = "request.json"
ANSWER = "answer.json"


def main() -> None:
    """Import the sources, run their own checks, write down what they offer or why they are unfit."""
    directory = Path(sys.argv[1])
    signal.alarm(math.ceil(float(sys.argv[2])) + 5)  # should the node be gone that would have ended it
    request: dict[str, Any] = json.loads((directory / REQUEST).read_text(encoding="utf-8"))
    sys.path[:] = request["path"]
    sources: list[Source] = []
    for number, entry in enumerate(request["sources"]):
        data = (directory / f"{number}.py").read_bytes()
        search = entry["search"]
        sources.append(Source(entry["name"], entry["path"], data, None if search is None else tuple(search)))
    problems: list[str] = []
    exports: dict[str, list[str]] = {}
    loaders = {source.name: VersionLoader(source, request["numbers"][source.name]) for source in sources}
    finder: Any = SourceFinder(loaders)
    sys.meta_path.insert(0, finder)
    for source in sources:
        _probe(source, loaders[source.name].version, problems, exports)
    answer = json.dumps({"problems": problems, "exports": exports})
    part = directory / f"{ANSWER}.{os.getpid()}"  # a module that forks comes here twice
    part.write_text(answer, encoding="utf-8")
    part.rename(directory / ANSWER)
    os._exit(0)  # threads and exit handlers of the module are not waited for


def _probe(source: Source, version: int, problems: list[str], exports: dict[str, list[str]]) -> None:
    step = "importing it raised"
    try:
        module = importlib.import_module(source.name)
        exports[source.name] = sorted(exports_of(module))
        step = "its __upgrade_check__ raised"
        check = module.__dict__.get("__upgrade_check__")
        outcome = None if check is None else check()
        if inspect.iscoroutine(outcome):
            outcome = asyncio.run(outcome)
        if outcome is False:
            problems.append(f"{source.name}: its __upgrade_check__ said no")
    except Exception as error:  # noqa: BLE001  the code under test; what it raises is the answer
        problems.append(
            f"{source.name}: {step} {type(error).__name__}: {error}{_where(error, source, version)}"
        )


def _where(error: Exception, source: Source, version: int) -> str:
    name = code_name(source, version)
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == name]
    return f" ({source.path}:{lines[-1]})" if lines else ""
