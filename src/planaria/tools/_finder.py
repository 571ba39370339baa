"""The worker that searches files: one job on standard input, what was found on standard output, then the end.

A regular expression can be made to take for ever, and a thread that runs one cannot be stopped; this process can. Links
are not followed. Started by `files.py`, with limits on processor time and memory. Standard library only.
"""

import fnmatch
import json
import os
import re
import resource
import stat
import sys
from typing import Any

MOST_BYTES = 5_000_000
LONGEST_LINE = 400
MEMORY = 512 * 1024 * 1024
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


def search(job: dict[str, Any]) -> dict[str, Any]:
    """The lines that match, file by file in the order of their names."""
    pattern = re.compile(job["pattern"], re.IGNORECASE if job["ignore_case"] else 0)
    handle = os.open(job["garden"], os.O_RDONLY | os.O_DIRECTORY)
    for part in job["parts"][:-1]:
        handle = os.open(part, _FOLDER, dir_fd=handle)
    found: list[list[Any]] = []
    looked, more = 0, False
    for path, folder, name in _files(handle, job["parts"]):
        if not fnmatch.fnmatch(path, job["glob"]) and not fnmatch.fnmatch(name, job["glob"]):
            continue
        text = _text(folder, name)
        if text is None:
            continue
        looked += 1
        for number, line in enumerate(text.split("\n"), 1):
            match = pattern.search(line)
            if match:
                if len(found) >= job["limit"]:
                    more = True
                    break
                found.append([path, number, _around(line, match.start())])
        if more:
            break
    return {"found": found, "files": looked, "more": more}


def _files(handle: int, parts: list[str]) -> Any:
    """Path, folder's descriptor and name of every plain file; names with a leading dot only where they were named."""
    top = parts[-1] if parts else "."
    prefix = "/".join(parts)
    state = os.stat(top, dir_fd=handle, follow_symlinks=False)
    if stat.S_ISREG(state.st_mode):
        yield prefix, handle, top
        return
    for base, folders, names, inner in os.fwalk(top, dir_fd=handle, follow_symlinks=False):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        below = os.path.relpath(base, top)
        where = "/".join(part for part in (prefix, "" if below == "." else below) if part)
        for name in sorted(names):
            if not name.startswith("."):
                yield f"{where}/{name}" if where else name, inner, name


def _text(folder: int, name: str) -> str | None:
    try:
        handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    except OSError:
        return None
    with os.fdopen(handle, "rb") as file:
        state = os.fstat(handle)
        if not stat.S_ISREG(state.st_mode) or state.st_size > MOST_BYTES:
            return None
        data = file.read(MOST_BYTES)
    return None if b"\0" in data[:8192] else data.decode("utf-8", "replace")


def _around(line: str, place: int) -> str:
    """A line, or what stands around the match if it is long."""
    if len(line) <= LONGEST_LINE:
        return line
    start = max(place - LONGEST_LINE // 4, 0)
    return ("…" if start else "") + line[start : start + LONGEST_LINE] + "…"


def main() -> None:
    """Read a job, answer, end."""
    job = json.load(sys.stdin)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (job["seconds"], job["seconds"] + 1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    json.dump(search(job), sys.stdout)


if __name__ == "__main__":
    main()
