"""What a program in the sandbox may see, write, reach and use. Values and their checks; nothing is run here.

A path is absolute and means a file, or a folder with all below it. Inside it has the same name as outside. The system's
programs and libraries (`SYSTEM`) can be read always, nothing else of this machine can be seen.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import msgspec

from planaria.config.sandbox import SandboxSettings
from planaria.membrane.sandbox.errors import PolicyRefused
from planaria.membrane.sandbox.strength import Backend
from planaria.membrane.scopes.hosts import host_scope
from planaria.membrane.scopes.scope import ScopeError

MEGABYTE = 1024 * 1024
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
"""What every program needs, read-only. Links among them stay links."""
SYSTEM_FILES = (
    *("/etc/alternatives", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/localtime"),
    *(
        "/etc/mime.types",
        "/etc/ssl/certs",
        "/etc/ssl/openssl.cnf",
        "/etc/ca-certificates",
        "/etc/pki/tls/certs",
    ),
    *("/etc/pki/ca-trust", "/etc/protocols", "/etc/services"),
)
"""Read-only, if they are there; no users, hosts, keys or settings of this machine."""
SEARCH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
"""PATH inside."""

type KilledBy = Literal["time", "cpu", "memory", "processes", "disk", "file_size"]
"""The limit a program was ended for."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


class SandboxPolicy(msgspec.Struct, frozen=True):
    """What is granted to one program; by default nothing but the system's programs and a private, empty /tmp.

    Attributes:
        read: can be read.
        write: can be read and written.
        kept: stays read-only though a path of `write` lies above it; the longer path decides.
        over: folders that stay read-only in a folder of `write`, which stays writable around them where this can be
            (bubblewrap, and they are there); else as `kept`.
        hidden: is never seen, whatever else is granted.
        below: links on paths below these folders are not followed but refused: others may have put them there.
        dotted: whether names with a leading dot can be seen below what is granted; otherwise each must be granted by
            a path of its own. A new one may still be made.
        hosts: may be reached over HTTP and HTTPS, as scopes (`membrane/scopes/hosts.py`): `example.org`,
            `*.example.org` (not itself), `*` for all public ones, with `:8443` for a port other than 80 and 443. An
            address that is not public is refused, whatever name led there, unless it is granted as an address.
        folder: where the program starts; None: in its /tmp.
        environment: beside PATH, LANG and HOME.
        memory_bytes: of all its processes together where this machine can count so, otherwise of each.
        processes: at a time, threads included.
        cpu_seconds: of all its processes.
        wall_seconds: by the machine's clock.
        file_bytes: of one file.
        disk_bytes: by which the disks behind `write` may fill up meanwhile.
        temporary_bytes: in /tmp.
        output_bytes: kept of each stream; what comes after is dropped.
        most_seconds: the longest that callers may ask for as `wall_seconds`.
        backend: what must hold the program; None: the best there is.
    """

    read: tuple[Path, ...] = ()
    write: tuple[Path, ...] = ()
    kept: tuple[Path, ...] = ()
    over: tuple[Path, ...] = ()
    hidden: tuple[Path, ...] = ()
    below: tuple[Path, ...] = ()
    dotted: bool = True
    hosts: tuple[str, ...] = ()
    folder: Path | None = None
    environment: dict[str, str] = {}
    memory_bytes: int = 512 * MEGABYTE
    processes: int = 64
    cpu_seconds: float = 30.0
    wall_seconds: float = 60.0
    file_bytes: int = 64 * MEGABYTE
    disk_bytes: int = 256 * MEGABYTE
    temporary_bytes: int = 64 * MEGABYTE
    output_bytes: int = 1_000_000
    most_seconds: float = 600.0
    backend: Backend | None = None


def basis_of(settings: SandboxSettings) -> SandboxPolicy:
    """What every program of a node starts from: its limits and what it may read beside what its caller may."""
    return SandboxPolicy(
        read=tuple(map(Path, settings.read)),
        memory_bytes=settings.memory_mb * MEGABYTE,
        processes=settings.processes,
        cpu_seconds=settings.cpu_seconds,
        wall_seconds=min(SandboxPolicy().wall_seconds, settings.seconds),
        disk_bytes=settings.disk_mb * MEGABYTE,
        most_seconds=settings.seconds,
        backend=None if settings.backend == "auto" else settings.backend,
    )


def check(policy: SandboxPolicy) -> None:
    """See that a policy can be meant.

    Raises:
        PolicyRefused: a path is not absolute or has `..`, or is hidden; a host is none; a limit is not above 0.
    """
    for path in (*policy.read, *policy.write, *policy.kept, *policy.over, *policy.hidden, *policy.below):
        _check_path(path)
    if policy.folder is not None:
        _check_path(policy.folder)
    for path in (*policy.read, *policy.write):
        if path == Path("/") or is_within(path, ("/proc", "/dev", "/sys")):
            raise PolicyRefused(f"{path} cannot be granted; grant the folder that is needed")
        if is_within(path, policy.hidden):
            raise PolicyRefused(f"{path} is never shown to a program; grant a folder outside of it")
    for host in policy.hosts:
        try:
            host_scope(host)
        except ScopeError as error:
            raise PolicyRefused(str(error)) from error
    for name in policy.environment:
        if not _NAME.match(name):
            raise PolicyRefused(f"{name!r} is no name of a variable")
    limits = {
        name: getattr(policy, name)
        for name in policy.__struct_fields__
        if name.endswith(("_bytes", "_seconds")) or name == "processes"
    }
    for name, value in limits.items():
        if value <= 0:
            raise PolicyRefused(f"{name} must be above 0, not {value}")


def is_within(path: Path, folders: Iterable[Path | str]) -> bool:
    """Whether a path is one of these, or lies below one."""
    return any(path == Path(each) or path.is_relative_to(each) for each in folders)


def _check_path(path: Path) -> None:
    if not path.is_absolute() or ".." in path.parts or "\0" in str(path) or "\n" in str(path):
        raise PolicyRefused(f"{str(path)!r} is no absolute path without `..`")
