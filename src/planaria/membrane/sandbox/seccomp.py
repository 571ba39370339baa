"""The filter of system calls, as the kernel reads it. Pure; standard library only.

Source: seccomp(2), `Documentation/userspace-api/seccomp_filter.rst`. Of numbers only the lower half is looked at,
which is all the kernel itself looks at in those that are checked here.
"""

import errno
import os
import struct
from collections.abc import Iterable, Mapping

from planaria.membrane.sandbox.syscalls import (
    ABSENT,
    CHECKED,
    LAST,
    OPEN_ONLY,
    OUTSIDE,
    OWN_ONLY,
    REFUSED,
    SIGNALS,
    Numbers,
)

_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

_LOAD, _EQUAL, _ABOVE, _BITS, _AND, _RETURN = 0x20, 0x15, 0x25, 0x45, 0x54, 0x06
_ALLOW, _KILL, _ERROR = 0x7FFF0000, 0x80000000, 0x00050000
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16  # offsets in `struct seccomp_data`

_NAMESPACES = 0x7E020000  # CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET
_FAMILIES = (1, 2, 10, 16)  # unix, IPv4, IPv6, netlink. Vsock and the like know no network namespace.
_PAIR_FAMILIES = (1,)
_TERMINALS = (0x5412, 0x541C)  # TIOCSTI and TIOCLINUX type into the terminal of whoever started us
_SET_ID = 0o6000
_FILE_KIND, _CHARACTER, _BLOCK = 0o170000, 0o020000, 0o060000
_MODE_ARGUMENT = {
    "open": 2,
    "openat": 3,
    "creat": 1,
    "mknod": 1,
    "mknodat": 2,
    "chmod": 1,
    "fchmod": 1,
    "fchmodat": 2,
    "fchmodat2": 2,
}


class NoFilter(Exception):
    """There is no table for this kind of processor."""


def has_filter(machine: str = "") -> bool:
    """Whether there is a table for this kind of processor."""
    return (machine or os.uname().machine) in _ARCHITECTURES


def seccomp_filter(machine: str = "", *, namespaces: bool = True, signals: bool = True) -> bytes:
    """The program: an array of `struct sock_filter`.

    Args:
        machine: `x86_64` or `aarch64`; empty: this one.
        namespaces: whether the program has namespaces of its own; otherwise more is refused.
        signals: whether something else keeps its signals inside.
    Raises:
        NoFilter: for another kind of processor.
    """
    machine = machine or os.uname().machine
    if machine not in _ARCHITECTURES:
        raise NoFilter(f"there is no table of system calls for {machine}")
    refused = REFUSED | ({} if namespaces else OUTSIDE) | ({} if signals else SIGNALS)
    code = [
        _load(_ARCHITECTURE),
        _jump(_EQUAL, _ARCHITECTURES[machine], 1, 0),
        _return(_KILL),
        _load(_NUMBER),
        _jump(_ABOVE, LAST, 0, 1),  # also x86's other numbering (x32), which begins far above
        _refuse(errno.ENOSYS),
    ]
    code += _answers(refused, machine, errno.EPERM)
    code += _answers(ABSENT, machine, errno.ENOSYS)
    for name, numbers in CHECKED.items():
        if name not in refused:
            code += _checked(getattr(numbers, machine), _check(name))
    for numbers in {} if namespaces else OWN_ONLY.values():
        code += _checked(getattr(numbers, machine), _one_of(0, (0,), errno.EPERM))
    for numbers in {} if namespaces else OPEN_ONLY.values():
        code += _checked(getattr(numbers, machine), _is_null(1))
    return b"".join([*code, _return(_ALLOW)])


def _answers(calls: Mapping[str, Numbers], machine: str, error: int) -> Iterable[bytes]:
    for numbers in calls.values():
        number = getattr(numbers, machine)
        if number is not None:
            yield _jump(_EQUAL, number, 0, 1)
            yield _refuse(error)


def _checked(number: int | None, check: list[bytes]) -> list[bytes]:
    """The check for one call; it ends with an answer of its own, since it has loaded over the number."""
    if number is None:
        return []
    return [_jump(_EQUAL, number, 0, len(check) + 1), *check, _return(_ALLOW)]


def _check(name: str) -> list[bytes]:
    match name:
        case "clone":
            return [_argument(0), _jump(_BITS, _NAMESPACES, 0, 1), _refuse(errno.EPERM)]
        case "socket":
            return _one_of(0, _FAMILIES, errno.EAFNOSUPPORT)
        case "socketpair":
            return _one_of(0, _PAIR_FAMILIES, errno.EAFNOSUPPORT)
        case "personality":
            return _one_of(0, (0, 0xFFFFFFFF), errno.EPERM)
        case "ioctl":
            return [
                _argument(1),
                *(each for k in _TERMINALS for each in (_jump(_EQUAL, k, 0, 1), _refuse(errno.EPERM))),
            ]
        case _:
            mode = _MODE_ARGUMENT[name]
            check = [_argument(mode), _jump(_BITS, _SET_ID, 0, 1), _refuse(errno.EPERM)]
            if name.startswith("mknod"):
                check += [_statement(_AND, _FILE_KIND)]
                for kind in (_CHARACTER, _BLOCK):
                    check += [_jump(_EQUAL, kind, 0, 1), _refuse(errno.EPERM)]
            return check


def _one_of(argument: int, allowed: tuple[int, ...], error: int) -> list[bytes]:
    tests = [_jump(_EQUAL, each, len(allowed) - place, 0) for place, each in enumerate(allowed)]
    return [_argument(argument), *tests, _refuse(error)]


def _is_null(argument: int) -> list[bytes]:
    """A pointer is looked at whole."""
    halves = (_ARGUMENTS + 8 * argument, _ARGUMENTS + 8 * argument + 4)
    return [each for half in halves for each in (_load(half), _jump(_EQUAL, 0, 1, 0), _refuse(errno.EPERM))]


def _argument(place: int) -> bytes:
    return _load(_ARGUMENTS + 8 * place)  # both machines are little-endian: the lower half comes first


def _load(offset: int) -> bytes:
    return _statement(_LOAD, offset)


def _return(value: int) -> bytes:
    return _statement(_RETURN, value)


def _refuse(error: int) -> bytes:
    return _return(_ERROR | error)


def _statement(code: int, k: int) -> bytes:
    return struct.pack("<HBBI", code, 0, 0, k)


def _jump(code: int, k: int, yes: int, no: int) -> bytes:
    return struct.pack("<HBBI", code, yes, no, k)
