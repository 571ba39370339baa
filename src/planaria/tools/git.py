"""Tools for git repositories: what was committed since the last look.

Runs the real `git`, read only: no shell, a fixed argument list, an environment of its own, no system or user
configuration, no hooks, pagers, lazy fetches or signature programs. The last commit seen is remembered in the journal:
`git.seen` in the session `git:<path>`, committed together with the answer.
Does badly: a branch that is switched to and fro shows commits again.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from planaria.cortex.journal import Journal
from planaria.cortex.query import Query
from planaria.membrane.capability import Touch
from planaria.membrane.tool import Context, Done, Failed, tool
from planaria.membrane.web.outside import outside
from planaria.otp import run_blocking
from planaria.otp.io.subprocess import Completed, run_command
from planaria.records.errors import RecordsError
from planaria.records.paths import inside
from planaria.tools.events import GitSeen

MAX_COMMITS = 200
MAX_BODY = 2_000
SECONDS = 20.0

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2})?)?\Z")
_REVISION = re.compile(r"[0-9A-Za-z_][0-9A-Za-z_./@^~-]{0,200}\Z")
_FORMAT = "--format=%H%x1f%an%x1f%aI%x1f%s%x1f%b%x1e"
_ENVIRONMENT = {
    "PATH": os.defpath,
    "HOME": "/nonexistent",
    "LC_ALL": "C.UTF-8",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_PAGER": "cat",
}
_SAFE = (
    *("-c", f"core.hooksPath={os.devnull}"),
    *("-c", "core.fsmonitor=false"),
    *("-c", "protocol.allow=never"),
    *("-c", "log.showSignature=false"),
    *("-c", "log.mailmap=false"),
    "--no-pager",
)


class Commit(msgspec.Struct, frozen=True):
    """One commit; `date` is ISO 8601 as its author had it."""

    id: str
    author: str
    date: str
    subject: str
    body: str


class GitFailed(Exception):
    """Git did not do it; the message is for a person."""


def _touches(arguments: Mapping[str, Any]) -> tuple[Touch, ...]:
    return (Touch("git.read", str(arguments["path"]) or "."),)


@tool(needs={"git.read"}, touches=_touches, branches=("new", "unchanged"), idempotent=True)
async def log(context: Context, path: str = ".", since: str = "", limit: int = 30) -> Done | Failed:
    """List the commits of a git repository that are new since the last look, newest first.

    Args:
        path: a folder of the garden; the repository that holds it is read. By default the garden itself.
        since: a commit, tag, branch or date (2024-05-31) to start after, whatever was seen before. By default what
            was seen last; the first time the newest commits are listed.
        limit: at most this many; older new ones are counted, not listed.
    """
    limit = min(max(limit, 1), MAX_COMMITS)
    try:
        folder = context.garden if path in ("", ".") else await run_blocking(_folder, context.garden, path)
    except RecordsError as error:
        return Failed(str(error))
    session = f"git:{path or '.'}"
    try:
        seen = await _seen(session)
        head = await _commit(folder, "HEAD")
        if head is None:
            return Done(
                {"path": path, "commits": [], "left": 0}, branch="unchanged", text="There are no commits yet."
            )
        span = await _span(folder, since, seen)
        commits = await _log(folder, span, limit)
        left = await _count(folder, span) - len(commits) if len(commits) == limit and len(span) > 1 else 0
    except TimeoutError:
        return Failed(f"git took longer than {SECONDS:g} s", retry=True)
    except FileNotFoundError:  # of the program, or of the folder it was to run in
        if not await run_blocking(folder.is_dir):
            return Failed(f"there is no folder {path!r} in the garden")
        return Failed("the program git is not installed")
    except (GitFailed, OSError) as error:
        return Failed(str(error))
    event = GitSeen(head, len(commits), context.call_id).new(
        session=session, process=context.session, trace_id=context.trace_id, cause_id=context.cause_id
    )
    return Done(
        {"path": path, "head": head, "commits": commits, "left": max(left, 0)},
        branch="new" if commits else "unchanged",
        text=outside(_text(commits, max(left, 0)), f"git {path}") if commits else "No new commits.",
        events=() if head == seen else (event,),
    )


async def _seen(session: str) -> str:
    query = Query(session=session, kinds=(GitSeen.kind,), limit=1, newest_first=True)
    events = await Journal.read("journal", query)
    return GitSeen.of(events[0]).head if events and events[0].state == "whole" else ""


async def _span(folder: Path, since: str, seen: str) -> list[str]:
    """The revisions to list, as arguments of `git log`."""
    if _DATE.match(since):
        return ["HEAD", f"--since={since}"]
    if since:
        start = await _commit(folder, since) if _REVISION.match(since) else None
        if start is None:
            raise GitFailed(
                f"{since!r} is no commit, tag, branch or date (such as 2024-05-31) of this repository"
            )
        return ["HEAD", f"^{start}"]
    if seen and await _commit(folder, seen) is not None:
        return ["HEAD", f"^{seen}"]
    return ["HEAD"]


async def _commit(folder: Path, revision: str) -> str | None:
    """The id of a commit, or None if there is none of this name."""
    done = await _git(
        folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"
    )
    return done.stdout.decode().strip() if done.returncode == 0 else None


async def _log(folder: Path, span: list[str], limit: int) -> list[Commit]:
    done = await _git(
        folder,
        "log",
        f"--max-count={limit}",
        "--no-color",
        "--no-decorate",
        "--encoding=UTF-8",
        _FORMAT,
        *span,
        "--",
    )
    if done.returncode != 0:
        raise GitFailed(_said(done))
    entries = done.stdout.decode("utf-8", "replace").split("\x1e")
    fields = (entry.strip("\n").split("\x1f") for entry in entries if entry.count("\x1f") == 4)
    return [
        Commit(name, author, date, subject[:500], body.strip()[:MAX_BODY])
        for name, author, date, subject, body in fields
    ]


async def _count(folder: Path, span: list[str]) -> int:
    done = await _git(folder, "rev-list", "--count", *span, "--")
    if done.returncode != 0:
        raise GitFailed(_said(done))
    return int(done.stdout)


async def _git(folder: Path, *arguments: str) -> Completed:
    done = await run_command(
        ["git", *_SAFE, *arguments], cwd=folder, env=_ENVIRONMENT, timeout=SECONDS, max_output=4_000_000
    )
    if done.returncode == 128 and b"not a git repository" in done.stderr:
        raise GitFailed(f"{folder.name or folder} is not in a git repository")
    if done.returncode == 128 and b"dubious ownership" in done.stderr:
        raise GitFailed(f"{folder.name or folder} is a repository of another user, which git refuses to read")
    return done


def _folder(garden: Path, path: str) -> Path:
    return garden / inside(garden, path)


def _said(done: Completed) -> str:
    return f"git: {done.stderr.decode('utf-8', 'replace').strip()[:500] or f'ended with {done.returncode}'}"


def _text(commits: list[Commit], left: int) -> str:
    parts = [
        f"- {commit.id[:10]} {commit.date[:10]} {commit.author}: {commit.subject}"
        + (f"\n  {commit.body.replace(chr(10), chr(10) + '  ')}" if commit.body else "")
        for commit in commits
    ]
    return "\n".join(parts) + (f"\n({left} older new commits are not listed.)" if left else "")
