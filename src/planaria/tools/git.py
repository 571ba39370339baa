"""Tools for git repositories: what was committed since the last look, what is changed, one commit, committing.

Runs the real `git` in the sandbox (`_git.py`): without network, hooks, and the configuration of system and user. The
last commit seen is remembered in the journal: `git.seen` in the session `git:<path>`, committed with the answer.
Does badly: a branch that is switched to and fro shows commits again.
"""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from planaria.cortex.journal import Journal
from planaria.cortex.query import Query
from planaria.membrane.capability import Touch
from planaria.membrane.scopes.paths import PRIVATE
from planaria.membrane.tool import Context, Done, Failed, tool
from planaria.membrane.web.outside import outside
from planaria.tools._boxed import VALUE, middle_cut, text_of
from planaria.tools._git import GitFailed, Repository, complaint, find_repository, run_git, see_to
from planaria.tools.events import GitSeen

MAX_COMMITS = 200
MAX_BODY = 2_000
MAX_DIFF = 60_000
"""Characters."""

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2})?)?\Z")
_REVISION = re.compile(r"[0-9A-Za-z_][0-9A-Za-z_./@^~-]{0,200}\Z")
_FORMAT = "--format=%H%x1f%an%x1f%aI%x1f%s%x1f%b%x1e"
_NO_PROGRAMS = ("--no-color", "--no-ext-diff", "--no-textconv")


class Commit(msgspec.Struct, frozen=True):
    """One commit; `date` is ISO 8601 as its author had it."""

    id: str
    author: str
    date: str
    subject: str
    body: str


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
    session = f"git:{path or '.'}"
    try:
        at = await find_repository(context, path)
        if not at.around:
            see_to(context, at, "git.read")
        seen = await _seen(session)
        head = await _commit(context, at, "HEAD")
        if head is None:
            return Done(
                {"path": path, "commits": [], "left": 0}, branch="unchanged", text="There are no commits yet."
            )
        span = await _span(context, at, since, seen)
        commits = await _log(context, at, span, limit)
        counted = len(commits) == limit and len(span) > 1
        left = await _count(context, at, span) - len(commits) if counted else 0
    except GitFailed as error:
        return Failed(str(error), error.retry)
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


async def _span(context: Context, at: Repository, since: str, seen: str) -> list[str]:
    """The revisions to list, as arguments of `git log`."""
    if _DATE.match(since):
        return ["HEAD", f"--since={since}"]
    if since:
        start = await _commit(context, at, since) if _REVISION.match(since) else None
        if start is None:
            raise GitFailed(
                f"{since!r} is no commit, tag, branch or date (such as 2024-05-31) of this repository"
            )
        return ["HEAD", f"^{start}"]
    if seen and await _commit(context, at, seen) is not None:
        return ["HEAD", f"^{seen}"]
    return ["HEAD"]


async def _commit(context: Context, at: Repository, revision: str) -> str | None:
    """The id of a commit, or None if there is none of this name."""
    asked = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    done = await run_git(context, at, *asked, files=False)
    return done.stdout.decode().strip() if done.exit_code == 0 else None


async def _log(context: Context, at: Repository, span: list[str], limit: int) -> list[Commit]:
    asked = ("log", f"--max-count={limit}", "--no-color", "--no-decorate", "--encoding=UTF-8", _FORMAT)
    done = await run_git(context, at, *asked, *span, "--", files=False)
    if done.exit_code != 0:
        raise GitFailed(complaint(done))
    entries = done.stdout.decode("utf-8", "replace").split("\x1e")
    fields = (entry.strip("\n").split("\x1f") for entry in entries if entry.count("\x1f") == 4)
    return [
        Commit(name, author, date, subject[:500], body.strip()[:MAX_BODY])
        for name, author, date, subject, body in fields
    ]


async def _count(context: Context, at: Repository, span: list[str]) -> int:
    done = await run_git(context, at, "rev-list", "--count", *span, "--", files=False)
    if done.exit_code != 0:
        raise GitFailed(complaint(done))
    return int(done.stdout)


def _text(commits: list[Commit], left: int) -> str:
    parts = [
        f"- {commit.id[:10]} {commit.date[:10]} {commit.author}: {commit.subject}"
        + (f"\n  {commit.body.replace(chr(10), chr(10) + '  ')}" if commit.body else "")
        for commit in commits
    ]
    return "\n".join(parts) + (f"\n({left} older new commits are not listed.)" if left else "")


@tool(needs={"git.read"}, touches=_touches, branches=("changed", "clean"), idempotent=True)
async def status(context: Context, path: str = ".") -> Done | Failed:
    """Tell which files of a git repository are changed and not committed.

    Args:
        path: a folder of the garden; the repository that holds it is looked at.
    """
    try:
        at = await find_repository(context, path)
        see_to(context, at, "git.read")
        asked = ("status", "--porcelain=v1", "--branch", "--no-renames", "-z")
        done = await run_git(context, at, *asked)
        if done.exit_code != 0:
            return Failed(complaint(done))
    except GitFailed as error:
        return Failed(str(error), error.retry)
    branch, *lines = text_of(done.stdout.replace(b"\0", b"\n")).rstrip("\n").split("\n")
    files = [{"state": line[:2].strip() or "?", "path": line[3:]} for line in lines if len(line) > 3]
    branch = branch.removeprefix("## ")
    told = "\n".join(f"{each['state']}  {each['path']}" for each in files) or "Nothing is changed."
    return Done(
        {"branch": branch, "files": files[:1000], "count": len(files)},
        branch="changed" if files else "clean",
        text=outside(f"on {branch}\n{middle_cut(told, MAX_DIFF)}", f"git {path}"),
    )


@tool(needs={"git.read"}, touches=_touches, branches=("some", "none"), idempotent=True)
async def diff(
    context: Context, path: str = ".", since: str = "", until: str = "", file: str = "", staged: bool = False
) -> Done | Failed:
    """Show what is changed in a git repository, as a unified diff.

    Args:
        path: a folder of the garden; the repository that holds it is looked at.
        since: a commit, tag or branch to compare with; by default the last commit, or with `staged` what is staged.
        until: a commit, tag or branch; by default the files as they are.
        file: only this file or folder, from `path`.
        staged: what is staged for the next commit.
    """
    if problem := _unfit(since, until):
        return Failed(problem)
    revisions = [each for each in (since or ("" if staged else "HEAD"), until) if each]
    asked = [
        "diff",
        *_NO_PROGRAMS,
        *(["--cached"] if staged else []),
        *revisions,
        "--",
        *([file] if file else []),
    ]
    return await _shown(context, path, asked, "Nothing is changed.")


@tool(needs={"git.read"}, touches=_touches, branches=("some", "none"), idempotent=True)
async def show(context: Context, path: str = ".", revision: str = "HEAD", file: str = "") -> Done | Failed:
    """Show one commit with what it changed, or a file as it was then.

    Args:
        path: a folder of the garden; the repository that holds it is looked at.
        revision: a commit, tag or branch.
        file: from the top of the repository; without it the commit is shown.
    """
    if problem := _unfit(revision):
        return Failed(problem)
    what = f"{revision}:{file}" if file else revision
    return await _shown(
        context, path, ["show", *_NO_PROGRAMS, "--stat", "--patch", what, "--"], "It is empty."
    )


def _written(arguments: Mapping[str, Any]) -> tuple[Touch, ...]:
    return tuple(Touch(name, str(arguments["path"]) or ".") for name in ("git.read", "git.write"))


@tool(needs={"git.read", "git.write"}, touches=_written, branches=("committed", "nothing"))
async def commit(context: Context, message: str, files: list[str], path: str = ".") -> Done | Failed:
    """Commit files of a git repository, under the name of who calls. No hooks are run; nothing is pushed.

    Args:
        message: its first line says what the commit does.
        files: files and folders from `path`, removed ones too; `["."]` is everything there.
        path: a folder of the garden; the repository that holds it is committed to.
    """
    if not message.strip() or not files:
        return Failed("a commit needs a message and files")
    name = context.caller.partition(":")[2] or context.caller
    who = (
        "-c",
        f"user.name={name}",
        "-c",
        f"user.email={re.sub(r'[^a-z0-9.-]', '-', name.lower())}@planaria.invalid",
    )
    try:
        at = await find_repository(context, path)
        for each in ("git.read", "git.write"):
            see_to(context, at, each)
        aside = [f":(exclude,top){PRIVATE}"] if at.top == at.garden else []
        for asked in (
            ["add", "--all", "--", *files, *aside],
            [*who, "commit", "--no-verify", "--quiet", "--cleanup=strip", "-m", message],
        ):
            done = await run_git(context, at, *asked, write=True)
            if done.exit_code == 1 and b"nothing to commit" in done.stdout:
                return Done({"path": path}, branch="nothing", text="There is nothing to commit.")
            if done.exit_code != 0:
                return Failed(complaint(done))
        head = await _commit(context, at, "HEAD")
    except GitFailed as error:
        return Failed(str(error), error.retry)
    return Done({"path": path, "commit": head}, branch="committed", text=f"committed {(head or '')[:10]}")


async def _shown(context: Context, path: str, asked: list[str], none: str) -> Done | Failed:
    try:
        at = await find_repository(context, path)
        see_to(context, at, "git.read")
        done = await run_git(context, at, *asked)
    except GitFailed as error:
        return Failed(str(error), error.retry)
    if done.exit_code != 0:
        return Failed(complaint(done))
    text = text_of(done.stdout)
    if not text.strip():
        return Done({"path": path, "text": ""}, branch="none", text=none)
    shown = outside(middle_cut(text, MAX_DIFF), f"git {path}")
    return Done({"path": path, "text": middle_cut(text, VALUE)}, branch="some", text=shown)


def _unfit(*revisions: str) -> str:
    bad = next((each for each in revisions if each and not _REVISION.match(each)), None)
    return f"{bad!r} is no commit, tag or branch" if bad else ""
