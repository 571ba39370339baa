"""Attempts to get out, made by a program in the sandbox: each returns if it got out, and raises if it was held.

    python attempts.py TARGETS        (JSON; what there is to get at)

Every attempt is made in a child of its own. The answer is JSON: by attempt, empty if it was held, else what it got.
Standard library only: it runs where nothing else is.
"""

import ctypes
import fcntl
import json
import os
import platform
import pty
import resource
import signal
import socket
import stat
import sys
import termios
from collections.abc import Callable
from pathlib import Path
from typing import Any

libc = ctypes.CDLL(None, use_errno=True)
ATTEMPTS: dict[str, Callable[[dict[str, Any]], object]] = {}
HARMLESS: set[str] = set()
ROOT_ONLY: set[str] = set()
ARM = platform.machine() == "aarch64"


class Held(Exception):
    pass


def attempt(harmless: bool = True, root: bool = False):
    """An attempt. `harmless`: it may be made without the sandbox, and then succeeds; `root`: for root only."""

    def decorate(function: Callable[[dict[str, Any]], object]):
        ATTEMPTS[function.__name__] = function
        if harmless:
            HARMLESS.add(function.__name__)
        if root:
            ROOT_ONLY.add(function.__name__)
        return function

    return decorate


def called(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def got(what: object) -> object:
    if not what:
        raise Held
    return what


# --- files ---


@attempt()
def read_a_file_of_the_host(to):
    return open(to["secret"]).read()


@attempt(root=True)
def read_the_passwords(to):
    return len(open("/etc/shadow").read())


@attempt()
def follow_a_link_in_a_granted_folder(to):
    return open(f"{to['write']}/link").read()


@attempt()
def follow_a_link_to_a_folder(to):
    return open(f"{to['read']}/up/secret").read()


@attempt()
def read_the_private_folder(to):
    return open(f"{to['garden']}/.planaria/journal.key").read()


@attempt()
def list_the_private_folder(to):
    return got(os.listdir(f"{to['garden']}/.planaria"))


@attempt()
def read_a_hidden_name(to):
    return got(open(f"{to['read']}/.env").read())


@attempt()
def move_the_private_folder(to):
    os.rename(f"{to['garden']}/.planaria", f"{to['write']}/moved")
    os.rename(f"{to['write']}/moved", f"{to['garden']}/.planaria")


@attempt()
def write_outside(to):
    open(f"{to['outside']}/new", "w").close()


@attempt()
def write_what_is_read_only(to):
    open(f"{to['read']}/file", "a").close()


@attempt()
def cut_what_is_read_only(to):
    os.truncate(f"{to['read']}/empty", 0)


@attempt()
def remove_what_is_read_only(to):
    open(f"{to['read']}/victim", "w").close() if to["bare"] else None
    os.unlink(f"{to['read']}/victim")


@attempt()
def change_what_governs_agents(to):
    open(f"{to['garden']}/agents/scout.md", "a").close()


@attempt()
def make_a_folder_for_tools(to):
    os.mkdir(f"{to['garden']}/tools")
    os.rmdir(f"{to['garden']}/tools")


@attempt()
def change_a_mode_outside(to):
    os.chmod(to["secret"], 0o600)


@attempt()
def change_a_time_outside(to):
    os.utime(to["secret"])


@attempt()
def link_what_is_outside_hard(to):
    os.link(to["secret"], f"{to['write']}/hard1")
    os.unlink(f"{to['write']}/hard1")


@attempt()
def link_what_is_read_only_hard(to):
    os.link(f"{to['read']}/file", f"{to['write']}/hard2")
    os.unlink(f"{to['write']}/hard2")


@attempt()
def make_a_program_run_as_its_owner(to):
    name = f"{to['write']}/owner"
    os.close(os.open(name, os.O_CREAT | os.O_WRONLY, 0o755))
    try:
        os.chmod(name, 0o4755)
        return got(os.stat(name).st_mode & stat.S_ISUID)
    finally:
        os.unlink(name)


@attempt()
def make_such_a_program_at_once(to):
    name = f"{to['write']}/owner2"
    handle = os.open(name, os.O_CREAT | os.O_WRONLY, 0o4755)
    mode = os.fstat(handle).st_mode
    os.unlink(name)
    return got(mode & stat.S_ISUID)


@attempt(root=True)
def make_a_device(to):
    name = f"{to['write']}/disk"
    os.mknod(name, stat.S_IFCHR | 0o600, os.makedev(1, 3))
    os.unlink(name)


@attempt(harmless=False)
def open_a_disk(to):
    return got(
        [os.open(f"/dev/{each}", os.O_RDONLY) for each in os.listdir("/dev") if each.startswith(("vd", "sd"))]
    )


@attempt(root=True)
def set_how_the_kernel_works(to):
    os.close(os.open("/proc/sys/kernel/core_pattern", os.O_WRONLY))


@attempt()
def look_at_the_machine(to):
    return got(os.listdir("/sys"))


@attempt()
def fill_what_is_no_disk(to):
    if to["bare"]:
        return True
    for folder in ("/", "/dev", "/etc", "/run", "/run/planaria"):
        try:
            open(f"{folder}/x", "w").close()
        except OSError:
            continue
        return folder
    raise Held


# --- processes ---


@attempt()
def read_the_environment(to):
    return os.environ["PLANARIA_CANARY"]


@attempt()
def read_the_environment_of_others(to):
    found = []
    for each in os.listdir("/proc"):
        try:
            if each.isdecimal() and b"PLANARIA_CANARY" in Path(f"/proc/{each}/environ").read_bytes():
                found.append(each)
        except OSError:
            pass
    return got(found)


@attempt()
def see_a_process_of_the_host(to):
    return open(f"/proc/{to['pid']}/status").read()


@attempt()
def signal_a_process_of_the_host(to):
    os.kill(to["pid"], 0)


@attempt()
def hold_a_process_of_the_host(to):
    os.close(os.pidfd_open(to["pid"]))


@attempt()
def look_at_the_limits_of_a_process_of_the_host(to):
    resource.prlimit(to["pid"], resource.RLIMIT_NOFILE)


@attempt()
def find_descriptors_left_open(to):
    if to["bare"]:
        return True
    for number in range(3, 1024):
        try:
            os.fstat(number)
        except OSError:
            continue
        # Our own library may have opened one; nothing was passed on.
        if not os.get_inheritable(number):
            continue
        return number
    raise Held


@attempt()
def trace(to):
    called(libc.ptrace(0, 0, None, None))


@attempt()
def make_a_user_namespace(to):
    called(libc.unshare(0x10000000))


@attempt()
def clone_into_a_user_namespace(to):
    pid = called(
        libc.syscall(220 if ARM else 56, ctypes.c_ulong(0x10000000 | signal.SIGCHLD), None, None, None, None)
    )
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


@attempt(root=True)
def change_the_root(to):
    os.chroot(to["write"])


@attempt(harmless=False)
def mount(to):
    called(libc.mount(b"none", to["write"].encode(), b"tmpfs", 0, None))


@attempt()
def use_the_keyring(to):
    called(libc.syscall(219 if ARM else 250, 0, -4, 1))


@attempt(harmless=False)
def use_io_uring(to):
    called(libc.syscall(425, 1, ctypes.byref(ctypes.create_string_buffer(256))))


@attempt()
def gain_rights_by_executing(to):
    return got(libc.prctl(39, 0, 0, 0, 0) == 0)


@attempt(root=True)
def have_capabilities(to):
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    sets = (ctypes.c_uint32 * 6)()
    called(libc.capget(ctypes.byref(header), ctypes.byref(sets)))
    return got(any(sets))


@attempt(root=True)
def type_into_a_terminal(to):
    _, near = pty.openpty()
    fcntl.ioctl(near, 0x5412, b"x")


@attempt(harmless=False)
def type_into_the_own_terminal(to):
    pid, _ = pty.fork()
    if pid == 0:
        try:
            fcntl.ioctl(0, termios.TIOCSTI, b"x")
        except OSError:
            os._exit(1)
        os._exit(0)
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]):
        raise Held


# --- network ---


@attempt()
def connect_to_the_host(to):
    socket.create_connection(("127.0.0.1", to["tcp"]), 2).close()


@attempt()
def ask_over_udp(to):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(0.5)
        asking.sendto(b"?", ("127.0.0.1", to["udp"]))
        return asking.recv(10)


@attempt(harmless=False)
def reach_the_metadata(to):
    socket.create_connection(("169.254.169.254", 80), 1).close()


@attempt(harmless=False)
def reach_the_internet(to):
    socket.create_connection(("198.51.100.1", 443), 1).close()


@attempt()
def connect_to_an_abstract_socket(to):
    with socket.socket(socket.AF_UNIX) as near:
        near.connect(b"\0" + to["abstract"].encode())


@attempt()
def connect_to_a_socket_in_a_folder(to):
    with socket.socket(socket.AF_UNIX) as near:
        near.connect(to["unix"])


@attempt(root=True)
def listen_to_packets(to):
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close()


@attempt(harmless=False)
def talk_to_the_hypervisor(to):
    socket.socket(40, socket.SOCK_STREAM).close()


def run(name: str, to: dict[str, Any]) -> str:
    """Make one attempt in a child; what it got, or nothing."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(write, (repr(ATTEMPTS[name](to))[:200] or "None").encode())
        except BaseException:  # noqa: BLE001 - held, whatever held it
            pass
        os._exit(0)
    os.close(write)
    told = b""
    while piece := os.read(read, 1000):
        told += piece
    os.close(read)
    os.waitpid(pid, 0)
    return told.decode()


if __name__ == "__main__":
    targets = json.loads(sys.argv[1])
    if not targets["names"]:
        targets["names"] = sorted(ATTEMPTS)
    print(json.dumps({name: run(name, targets) for name in targets["names"]}))
