"""System calls that Python has no words for. Blocking; standard library only."""

import ctypes
import os
import signal

_libc = ctypes.CDLL(None, use_errno=True)

_SET_DEATH_SIGNAL, _SET_SUBREAPER, _DROP_BOUND, _SET_SECURITY, _NO_NEW_PRIVILEGES = 1, 36, 24, 28, 38
_SET_SECCOMP, _FILTER = 22, 2
_NO_ROOT = (
    0x2F  # no root fixups, locked, and no capabilities kept: SECBIT_NOROOT, NO_SETUID_FIXUP, their locks
)
_LAST_CAPABILITY = 63
_CAPABILITY_VERSION = 0x20080522

# The same numbers on every machine.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION = 1
_PATH_BENEATH = 1


def die_with(parent: int) -> None:
    """Be killed when the thread that started us ends.

    Raises:
        OSError: it has ended already.
    """
    _prctl(_SET_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:
        raise OSError("whoever started this has ended")


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends, so that none gets away."""
    _prctl(_SET_SUBREAPER, 1)


def no_new_privileges() -> None:
    """Nothing that is executed from now on gains rights by it."""
    _prctl(_NO_NEW_PRIVILEGES, 1)


def drop_capabilities() -> None:
    """Give up every capability, and the ways to get one back."""
    for capability in range(_LAST_CAPABILITY + 1):
        if _libc.prctl(_DROP_BOUND, capability, 0, 0, 0) != 0:
            break  # the kernel knows no more, or we have none to give up
    _libc.prctl(_SET_SECURITY, _NO_ROOT, 0, 0, 0)  # only who has capabilities may, and only they need it
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    _check(_libc.capset(ctypes.byref(header), ctypes.byref((ctypes.c_uint32 * 6)())))


def install_filter(program: bytes) -> None:
    """Put a seccomp filter in force; needs `no_new_privileges` before."""

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))

    _prctl(_SET_SECCOMP, _FILTER, ctypes.byref(Program(len(program) // 8, program)))


def landlock_version() -> int:
    """The kernel's version of Landlock; 0: it has none, or it is off."""
    return max(int(_libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION)), 0)


def landlock_ruleset(files: int, network: int, scopes: int, size: int) -> int:
    """A descriptor of a new set of rules for these rights. `size`: bytes of the structure this version takes."""
    rights = (ctypes.c_uint64 * 3)(files, network, scopes)
    return _check(_libc.syscall(_CREATE_RULESET, ctypes.byref(rights), ctypes.c_size_t(size), 0))


def landlock_allow(ruleset: int, rights: int, descriptor: int) -> None:
    """Allow rights on what a descriptor stands for, and all below."""

    class Beneath(ctypes.Structure):
        _pack_ = 1
        _layout_ = "ms"
        _fields_ = (("rights", ctypes.c_uint64), ("descriptor", ctypes.c_int32))

    rule = Beneath(rights, descriptor)
    _check(_libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.byref(rule), 0))


def landlock_restrict(ruleset: int) -> None:
    """Put the rules in force for this process and all it starts."""
    _check(_libc.syscall(_RESTRICT_SELF, ruleset, 0))


def _prctl(*arguments: object) -> None:
    _check(_libc.prctl(*arguments, *[0] * (5 - len(arguments))))


def _check(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
