"""From what a caller may do to what a program of his sees in the sandbox. Looks at the garden's folders; blocking.

A program opens what it likes, so only grants that mean whole folders (`notes/**`) or single files count; others,
such as `notes/*.md`, show nothing. What is denied, or only given when a person is asked, is hidden. What governs agents
stays read-only, as do their plans, and names with a leading dot are hidden, unless a grant names them; `.planaria` is
never there. Hosts can be reached only if `net.fetch` is granted in so many words.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import msgspec

from planaria.membrane.authority import BY_DEFAULT, Allowed, Authority, Layer, Refusal
from planaria.membrane.capability import Touch
from planaria.membrane.sandbox.policy import SandboxPolicy, is_within
from planaria.membrane.sandbox.proxy import Reach
from planaria.membrane.scopes.paths import DEEP, GOVERNING, PLANS, PRIVATE, ROOT, FilePlace, PathScope
from planaria.membrane.scopes.scope import Place

READ, WRITE, FETCH = "files.read", "files.write", "net.fetch"
_PROBE = "probe"


class _Tree(NamedTuple):
    """A folder with all below it (`deep`), or one file."""

    parts: tuple[str, ...]
    deep: bool


def policy_of(authority: Authority | None, garden: Path, basis: SandboxPolicy) -> SandboxPolicy:
    """`basis`, with the files of a garden that a caller may read and write.

    Args:
        authority: None: nothing is granted.
        garden: its links resolved.
    """
    hidden = {garden / PRIVATE}
    kept = {garden / name for name in GOVERNING}
    plans = garden.joinpath(*PLANS)
    read: list[Path] = []
    write: list[Path] = []
    if authority is not None:
        taken = list(_taken(authority, READ, garden))
        hidden.update(path for path, whole in taken if whole)
        kept.update(path for path, whole in _taken(authority, WRITE, garden) if whole)
        vague = [path for path, whole in taken if not whole]
        vague_writes = [*vague, *(path for path, whole in _taken(authority, WRITE, garden) if not whole)]
        read = [path for path in _granted(authority, READ, garden) if not _touch(path, vague)]
        write = [path for path in _granted(authority, WRITE, garden) if not _touch(path, vague_writes)]
        # What may be written and not read would be read here, too.
        write = [path for path in write if is_within(path, read)]
        kept -= set(write)
    over = [] if is_within(plans, [path for path in write if path.is_relative_to(plans)]) else [plans]
    if any(plans.is_relative_to(path) for path in write):
        # What is not there cannot be held: a program would make it, with plans for others in it.
        with suppress(OSError):
            plans.mkdir(exist_ok=True)
    return msgspec.structs.replace(_with(basis, read, write, kept, hidden, garden), over=(*basis.over, *over))


def reach_of_caller(authority: Authority | None, place: Place) -> Reach | None:
    """Which hosts a caller's program may reach; None: no network."""
    if authority is None or not any(not layer.open for layer in authority.layers):
        return None
    for layer in authority.layers:
        rule = None if layer.open else layer.rule(FETCH)
        if not layer.open and (rule is None or rule.grant.bare or rule.grant.where == BY_DEFAULT):
            return None

    def reach(where: str) -> str:
        verdict = authority.check(Touch(FETCH, where), place)
        match verdict:
            case Allowed():
                return ""
            case Refusal(why=why, grant=line):
                return f"{why}; grant it with `{line}`" if line else why
            case _:
                return f"{where} is granted only when a person is asked, which a program cannot do"

    return reach


def _with(
    basis: SandboxPolicy,
    read: Iterable[Path],
    write: Iterable[Path],
    kept: Iterable[Path],
    hidden: Iterable[Path],
    garden: Path,
) -> SandboxPolicy:
    unseen = sorted({*hidden, *basis.hidden})
    return msgspec.structs.replace(
        basis,
        read=(*basis.read, *(path for path in read if not is_within(path, unseen))),
        write=(*basis.write, *(path for path in write if not is_within(path, unseen))),
        kept=tuple(sorted({*kept, *basis.kept})),
        hidden=tuple(unseen),
        below=(*basis.below, garden),
        dotted=False,
    )


def _granted(authority: Authority, name: str, garden: Path) -> list[Path]:
    """The folders and files that every layer grants, as far as they are there and are no links."""
    layers = [layer for layer in authority.layers if not layer.open]
    tests = [_covering(layer, name) for layer in layers]
    wanted = {
        tree for layer in layers for scope in _scopes(layer, name) if (tree := _tree(scope)) is not None
    }
    if not layers:
        wanted = {_Tree((), True)}
    found: list[Path] = []
    for tree in sorted(wanted, key=lambda each: (len(each.parts), each.parts)):
        path = _path(tree.parts, garden)
        fits = os.path.isdir(path) if tree.deep else os.path.isfile(path)
        if fits and not os.path.islink(path) and path != Path(ROOT) and all(test(tree) for test in tests):
            found.append(path)
    return found


def _covering(layer: Layer, name: str) -> Callable[[_Tree], bool]:
    scopes = [scope for scope in _scopes(layer, name) if _tree(scope) is not None]

    def covers(tree: _Tree) -> bool:
        probe = (*tree.parts, _PROBE) if tree.deep else tree.parts
        return any(scope.covers(FilePlace(probe, probe)) for scope in scopes)

    return covers


def _scopes(layer: Layer, name: str) -> tuple[PathScope, ...]:
    rule = layer.rule(name)
    return () if rule is None else tuple(each for each in rule.allow if isinstance(each, PathScope))


def _taken(authority: Authority, name: str, garden: Path) -> Iterator[tuple[Path, bool]]:
    """What is denied or asked for: a path, and whether it says all, or some below it that cannot be told apart."""
    for layer in authority.layers:
        rule = None if layer.open else layer.rule(name)
        for scope in (*rule.deny, *rule.ask, *rule.second_factor) if rule is not None else ():
            if isinstance(scope, PathScope):
                tree = _tree(scope)
                yield _path(tree.parts if tree else _fixed(scope), garden), tree is not None


def withheld(authority: Authority, name: str, garden: Path, folder: Path) -> str:
    """What in a folder is denied, or granted only when a person is asked, relative to the garden; empty: nothing."""
    for path, whole in _taken(authority, name, garden):
        if (path != folder and path.is_relative_to(folder)) or (not whole and _touch(folder, [path])):
            return os.path.relpath(path, garden)
    return ""


def _tree(scope: PathScope) -> _Tree | None:
    """The folder or file a scope means, if it means one."""
    fixed = _fixed(scope)
    if fixed == scope.parts:
        return _Tree(fixed, False)
    return _Tree(fixed, True) if (*fixed, DEEP) == scope.parts else None


def _fixed(scope: PathScope) -> tuple[str, ...]:
    """The parts before the first wildcard."""
    count = next((n for n, part in enumerate(scope.parts) if any(c in part for c in "*?")), len(scope.parts))
    return scope.parts[:count]


def _touch(path: Path, vague: Iterable[Path]) -> bool:
    return any(path.is_relative_to(each) or each.is_relative_to(path) for each in vague)


def _path(parts: tuple[str, ...], garden: Path) -> Path:
    return Path(*parts) if parts[:1] == (ROOT,) else garden.joinpath(*parts)
