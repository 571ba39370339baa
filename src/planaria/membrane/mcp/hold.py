"""What the program of an MCP server may see, write, reach and use, from what `planaria.toml` says of it.

Nothing of this machine but the system's programs, unless it is declared; an environment with nothing but what is
declared; its home is an empty, private /tmp. The node's own folder in a garden is never there, and what governs agents
stays read-only unless it is declared to be written itself, and so do the plans of agents. Looks at the disk; blocking.
"""

import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from planaria.config.mcp import McpServerSettings
from planaria.membrane.sandbox.policy import MEGABYTE, SEARCH, SYSTEM, SandboxPolicy, is_within
from planaria.membrane.sandbox.staying import ALWAYS
from planaria.membrane.scopes.paths import GOVERNING, PLANS, PRIVATE

ANYWHERE = "*"
"""All public hosts."""
PROCESSES = 256
DISK = 1 << 50
"""Bytes: others of the node write to the same disk, and a server stays for long."""
FILE = 1024 * MEGABYTE
TEMPORARY = 512 * MEGABYTE
"""Where package runners put what they fetch."""


class Program(msgspec.Struct, frozen=True):
    """A program and what holds it.

    Attributes:
        problem: why it could not be run like that, with the mend.
    """

    command: tuple[str, ...]
    policy: SandboxPolicy
    problem: str = ""


def program_of(
    name: str,
    given: McpServerSettings,
    garden: Path,
    environ: Mapping[str, str],
    basis: SandboxPolicy = SandboxPolicy(),  # noqa: B008 - frozen
) -> Program:
    """The program of a server, found on this machine's PATH, and its policy.

    Args:
        garden: its links resolved.
        environ: where its variables, and PATH, are looked up.
        basis: what all programs of this node may read, and what holds them.
    """
    read, write = _places(given.paths, garden), _places(given.write, garden)
    folder = garden if any(is_within(path, (garden,)) for path in (*read, *write)) else None
    kept = tuple(sorted(path for path in map(garden.joinpath, GOVERNING) if path not in write))
    plans = garden.joinpath(*PLANS)
    over: tuple[Path, ...] = ()
    if is_within(plans, write) and not any(is_within(path, (plans,)) for path in write):
        over = (plans,)
        # What is not there cannot be held: a program would make it, with plans for agents in it.
        with suppress(OSError):
            plans.mkdir(exist_ok=True)
    network = (ANYWHERE,) if given.network is True else given.network or ()
    policy = msgspec.structs.replace(
        basis,
        read=(*basis.read, *read),
        write=write,
        kept=kept,
        over=(*basis.over, *over),
        hidden=(garden / PRIVATE,),
        below=(),
        hosts=network,
        folder=folder,
        environment={variable: environ[variable] for variable in given.env if variable in environ},
        memory_bytes=given.memory_mb * MEGABYTE,
        processes=PROCESSES,
        cpu_seconds=ALWAYS,
        wall_seconds=ALWAYS,
        file_bytes=FILE,
        disk_bytes=DISK,
        temporary_bytes=TEMPORARY,
    )
    first = given.command[0]
    seen: tuple[Path | str, ...] = (*SYSTEM, *policy.read, *policy.write)
    if "/" in first:
        places = [str(garden / first)]
    else:
        # This machine's own of that name, where the one that comes first cannot be seen inside.
        places = [shutil.which(first, path=path) or "" for path in (environ.get("PATH"), SEARCH)]
    there = [each for each in places if each and os.path.exists(each)]
    if not there:
        return Program(given.command, policy, f"there is no program {first!r} on this machine; install it")
    unseen = {each: _unseen(each, seen) for each in there}
    found = next((each for each in there if not unseen[each]), there[0])
    command = (found, *given.command[1:])
    if path := unseen[found]:
        mend = f'add its folder, as in paths = ["{path.parent}"], to [mcp.servers.{name}]'
        return Program(command, policy, f"{path} is not among what the server may read; {mend}")
    return Program(command, policy)


def _unseen(program: str, seen: tuple[Path | str, ...]) -> Path | None:
    """What of a program, as it is called or as it is found behind links, cannot be seen."""
    both = (Path(program), Path(os.path.realpath(program)))
    return next((path for path in both if not is_within(path, seen)), None)


def _places(paths: tuple[str, ...], garden: Path) -> tuple[Path, ...]:
    """Absolute, as declared: a relative one lies in the garden, `~` is the home of who runs the node."""
    return tuple(Path(os.path.normpath(garden / os.path.expanduser(path))) for path in paths)
