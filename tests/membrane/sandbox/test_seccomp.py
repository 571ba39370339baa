"""The filter of system calls, read as the kernel reads it, for both kinds of processor."""

import errno
import re
import struct
from pathlib import Path

import pytest

from planaria.membrane.sandbox import syscalls
from planaria.membrane.sandbox.seccomp import NoFilter, seccomp_filter

ALLOW, KILL = "allow", "kill"
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}
MACHINES = pytest.mark.parametrize("machine", ["x86_64", "aarch64"])


def judge(program: bytes, number: int, arguments: tuple[int, ...] = (), architecture: int = 0) -> str | int:
    """What the filter answers to a call: `allow`, `kill` or an error's number."""
    data = struct.pack("<IIQ6Q", number, architecture, 0, *(*arguments, *[0] * 6)[:6])
    code = list(struct.iter_unpack("<HBBI", program))
    at = value = 0
    while True:
        operation, yes, no, k = code[at]
        at += 1
        match operation:
            case 0x20:
                (value,) = struct.unpack_from("<I", data, k)
            case 0x54:
                value &= k
            case 0x15:
                at += yes if value == k else no
            case 0x25:
                at += yes if value > k else no
            case 0x45:
                at += yes if value & k else no
            case 0x06:
                answer: str | int = {0x7FFF0000: ALLOW, 0x80000000: KILL}.get(k, k & 0xFFFF)
                return answer
            case _:
                raise AssertionError(f"no such instruction: {operation:#x}")


class Filter:
    def __init__(self, machine: str, **kind: bool) -> None:
        self.machine = machine
        self.program = seccomp_filter(machine, **kind)

    def __call__(self, call: str | int, *arguments: int) -> str | int:
        number = call if isinstance(call, int) else self.number(call)
        return judge(self.program, number, arguments, ARCHITECTURES[self.machine])

    def number(self, name: str) -> int:
        tables = (
            syscalls.REFUSED,
            syscalls.ABSENT,
            syscalls.CHECKED,
            syscalls.OUTSIDE,
            syscalls.OWN_ONLY,
            syscalls.OPEN_ONLY,
            syscalls.SIGNALS,
        )
        found = next(table[name] for table in tables if name in table)
        number = getattr(found, self.machine)
        assert isinstance(number, int)
        return number


@MACHINES
def test_calls_are_refused_and_allowed(machine: str) -> None:
    answer = Filter(machine)
    for name in (
        "ptrace",
        "mount",
        "keyctl",
        "bpf",
        "unshare",
        "setns",
        "open_by_handle_at",
        "perf_event_open",
    ):
        assert answer(name) == errno.EPERM
    for name in ("io_uring_setup", "clone3", "openat2"):
        assert answer(name) == errno.ENOSYS
    for name in ("kill", "shmget", "prlimit64"):
        assert answer(name, 5) == ALLOW
    assert answer({"x86_64": 0, "aarch64": 63}[machine]) == ALLOW  # read


@MACHINES
def test_calls_are_allowed_with_some_arguments(machine: str) -> None:
    answer = Filter(machine)
    assert answer("clone", 0x01200011) == ALLOW  # fork
    assert answer("clone", 0x003D0F00) == ALLOW  # a thread
    for bit in (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000):
        assert answer("clone", 0x11 | bit) == errno.EPERM
    assert [answer("socket", family) for family in (1, 2, 10, 16)] == [ALLOW] * 4
    for family in (0, 3, 17, 38, 40):
        assert answer("socket", family, 1) == errno.EAFNOSUPPORT
    assert (answer("socketpair", 1), answer("socketpair", 2)) == (ALLOW, errno.EAFNOSUPPORT)
    assert [answer("ioctl", 0, request) for request in (0x5401, 0x5412, 0x541C)] == [
        ALLOW,
        errno.EPERM,
        errno.EPERM,
    ]
    assert answer("ioctl", 0, 0x5412 | 1 << 32) == errno.EPERM  # the kernel looks at the lower half, too
    assert [answer("personality", each) for each in (0, 0xFFFFFFFF, 0x0400000)] == [ALLOW, ALLOW, errno.EPERM]
    for mode, expected in ((0o755, ALLOW), (0o4755, errno.EPERM), (0o2755, errno.EPERM)):
        assert (
            answer("fchmodat", 0, 0, mode)
            == answer("fchmod", 0, mode)
            == answer("openat", 0, 0, 0, mode)
            == expected
        )
    for kind, expected in (
        (0o100644, ALLOW),
        (0o010644, ALLOW),
        (0o020644, errno.EPERM),
        (0o060644, errno.EPERM),
    ):
        assert answer("mknodat", 0, 0, kind) == expected


@MACHINES
def test_what_nobody_has_looked_at_is_not_there(machine: str) -> None:
    answer = Filter(machine)
    for number in (syscalls.LAST + 1, 512, 0x40000000, 0x40000000 + 101, 0xFFFFFFFF):
        assert answer(number) == errno.ENOSYS
    assert judge(answer.program, 0, (), 0x40000003) == KILL  # 32-bit calls have other numbers


@MACHINES
def test_without_namespaces_more_is_refused(machine: str) -> None:
    answer = Filter(machine, namespaces=False)
    for name in ("socket", "fchmod", "fchownat", "shmget", "setpriority", "pidfd_open"):
        assert answer(name, 1) == errno.EPERM
    assert (answer("prlimit64", 0), answer("prlimit64", 77)) == (ALLOW, errno.EPERM)
    assert (answer("kill"), answer("socketpair", 1)) == (ALLOW, ALLOW)
    assert [answer("utimensat", 5, name) for name in (0, 1, 1 << 32)] == [ALLOW, errno.EPERM, errno.EPERM]
    assert Filter(machine, namespaces=False, signals=False)("kill") == errno.EPERM


@MACHINES
def test_the_numbers_are_those_of_the_kernel(machine: str) -> None:
    header = HEADERS[machine]
    if not header.exists():
        pytest.skip(f"{header} is not installed")
    known: dict[str, int] = {}
    for name, number in re.findall(r"^#define __NR(?:3264)?_(\w+)\s+(\d+)", header.read_text(), re.MULTILINE):
        known.setdefault(name, int(number))
    tables = (
        syscalls.REFUSED,
        syscalls.ABSENT,
        syscalls.CHECKED,
        syscalls.OUTSIDE,
        syscalls.OWN_ONLY,
        syscalls.OPEN_ONLY,
        syscalls.SIGNALS,
    )
    for name, numbers in ((name, numbers) for table in tables for name, numbers in table.items()):
        number = getattr(numbers, machine)
        if name in known:
            assert number == known[name], name
        else:  # newer than the header, or not on this machine
            assert number is None or number > max(known.values()) or number >= 424, name


def test_another_processor_has_no_filter() -> None:
    with pytest.raises(NoFilter, match="riscv64"):
        seccomp_filter("riscv64")
