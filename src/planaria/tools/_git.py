"""Running git on a repository of the garden: in the sandbox, without network, whatever the repository asks for.

No shell, a fixed argument list, an environment of its own, no system or user configuration, no hooks, pagers, lazy
fetches or signature programs. What a repository may still name, such as filters, runs in the sandbox and sees the
repository alone.
"""

import os
from pathlib import Path
from typing import NamedTuple

from planaria.membrane.authority import Allowed
from planaria.membrane.capability import Touch
from planaria.membrane.sandbox.granted import withheld
from planaria.membrane.sandbox.policy import SandboxPolicy
from planaria.membrane.sandbox.run import SandboxResult
from planaria.membrane.sandbox.starting import NO_PROGRAM
from planaria.membrane.scopes.paths import PRIVATE
from planaria.membrane.scopes.scope import Place
from planaria.membrane.tool import Context, Failed
from planaria.otp import run_blocking
from planaria.records.errors import RecordsError
from planaria.records.paths import inside
from planaria.tools._boxed import run_boxed, with_fields

SECONDS = 20.0
MAX_OUTPUT = 4_000_000
_ENVIRONMENT = {
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_PAGER": "cat",
    "GIT_EDITOR": "false",
}
_SAFE = (
    *("-c", f"core.hooksPath={os.devnull}"),
    *("-c", "core.fsmonitor=false"),
    *("-c", "core.quotePath=false"),
    *("-c", "protocol.allow=never"),
    *("-c", "gc.auto=0"),
    *("-c", "log.showSignature=false"),
    *("-c", "log.mailmap=false"),
    *("-c", "commit.gpgSign=false"),
    "--no-pager",
)


class GitFailed(Exception):
    """Git did not do it; the message is for a person."""

    def __init__(self, message: str, retry: bool = False) -> None:
        super().__init__(message)
        self.retry = retry


class Repository(NamedTuple):
    """Where git works.

    Attributes:
        garden: the garden's folder, its links resolved.
        folder: the one that was asked for.
        top: the folder whose files the repository holds.
        store: git's own folder.
    """

    garden: Path
    folder: Path
    top: Path
    store: Path

    @property
    def around(self) -> bool:
        """Whether it holds more than the garden."""
        return not self.top.is_relative_to(self.garden)


async def find_repository(context: Context, path: str) -> Repository:
    """The repository that holds a folder of the garden.

    Raises:
        GitFailed: there is none, or no such folder.
    """
    return await run_blocking(_find, context.garden, path)


async def run_git(
    context: Context, at: Repository, *arguments: str, files: bool = True, write: bool = False
) -> SandboxResult:
    """Run git once.

    Args:
        files: whether it sees the files, or only what is committed.
        write: whether it may change the repository; never the files.
    Raises:
        GitFailed: it took too long, is not installed, or there is no sandbox.
    """
    basis = context.find(SandboxPolicy) or SandboxPolicy()
    policy = with_fields(
        basis,
        read=(at.top, at.store) if files else (at.store,),
        write=(at.store,) if write else (),
        hidden=(at.garden / PRIVATE,),
        below=() if at.around else (at.garden,),
        folder=at.folder,
        environment=_ENVIRONMENT,
        wall_seconds=SECONDS,
        output_bytes=MAX_OUTPUT,
    )
    done = await run_boxed(["git", *_SAFE, *arguments], policy)
    if isinstance(done, Failed):
        raise GitFailed(done.error, done.retry)
    if done.killed_by == "time":
        raise GitFailed(f"git took longer than {SECONDS:g} s", retry=True)
    if done.exit_code == NO_PROGRAM:
        raise GitFailed("the program git is not installed")
    name = at.folder.name
    if done.exit_code == 128 and b"not a git repository" in done.stderr:
        raise GitFailed(f"{name} is not in a git repository")
    if done.exit_code == 128 and b"dubious ownership" in done.stderr:
        raise GitFailed(f"{name} is a repository of another user, which git refuses to read")
    return done


def see_to(context: Context, at: Repository, capability: str) -> None:
    """See that the whole repository may be used, when only a folder in it was asked for.

    Raises:
        GitFailed: it may not.
    """
    if at.around:
        raise GitFailed("the repository holds more than the garden; only its commits are listed, by git.log")
    if context.authority is None:
        return
    # The store of a linked work tree lies in another folder, which is the one that is read and written.
    for folder in {at.top, at.store.parent} - {at.folder}:
        place = folder.relative_to(at.garden).as_posix()
        verdict = context.authority.check(Touch(capability, place), Place(at.garden, context.room or ""))
        if not isinstance(verdict, Allowed):
            raise GitFailed(f"the repository is that of {place!r}, for which {capability} is not granted")
    if within := withheld(context.authority, capability, at.garden, at.top):
        raise GitFailed(f"the repository holds {within}, for which {capability} is not granted")


def complaint(done: SandboxResult) -> str:
    """What git says is wrong."""
    said = (done.stderr or done.stdout).decode("utf-8", "replace").strip()[:500]
    return f"git: {said or f'ended with {done.exit_code}'}"


def _find(given: Path, path: str) -> Repository:
    garden = given.resolve()
    try:
        folder = garden if path in ("", ".") else garden / inside(garden, path)
    except RecordsError as error:
        raise GitFailed(str(error)) from error
    if not folder.is_dir():
        raise GitFailed(f"there is no folder {path!r} in the garden")
    for top in (folder, *folder.parents):
        store = top / ".git"
        if store.is_symlink():
            raise GitFailed(f"{store.relative_to(top.parent)} is a link, which is not followed")
        if store.is_dir():
            return Repository(garden, folder, top, store)
        if store.is_file():
            return Repository(garden, folder, top, _elsewhere(store, garden))
    raise GitFailed(f"{folder.name or folder} is not in a git repository")


def _elsewhere(pointer: Path, garden: Path) -> Path:
    """The folder a `.git` that is a file points to: of a linked work tree, or a submodule."""
    text = pointer.read_text(encoding="utf-8", errors="replace")[:4096]
    target = (pointer.parent / text.removeprefix("gitdir:").strip()).resolve()
    store = next((each for each in (target, *target.parents) if each.name == ".git"), None)
    if store is None or not store.is_relative_to(garden) or not store.is_dir():
        raise GitFailed(
            f"{pointer.parent.name} has its repository outside of the garden, where it is not read"
        )
    return store
