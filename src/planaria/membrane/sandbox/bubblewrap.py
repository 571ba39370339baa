"""What bubblewrap is told: namespaces of everything, and of this machine nothing but what is granted.

Source: bwrap(1). `--bind-fd` is what makes a grant mean the folder that was opened rather than its name, so a
bubblewrap without it is not used. Standard library only.
"""

import os
from collections.abc import Sequence

from planaria.membrane.sandbox.paths import Places
from planaria.membrane.sandbox.plan import Plan

USER = 1000
"""User and group inside; outside it is whoever runs the node."""
RELAY_FOLDER = "/run/planaria"
RELAY_PORT = 3128
SHARED_MEMORY = 16 * 1024 * 1024
"""Bytes in /dev/shm."""
USERS = f"sandbox:x:{USER}:{USER}::/tmp:/bin/sh\nnobody:x:65534:65534::/nonexistent:/usr/sbin/nologin\n"
GROUPS = f"sandbox:x:{USER}:\nnogroup:x:65534:\n"
FILES = {
    "/etc/passwd": USERS,
    "/etc/group": GROUPS,
    "/etc/hosts": "127.0.0.1 localhost sandbox\n::1 localhost\n",
    "/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
}
"""Instead of this machine's own."""


def arguments(
    plan: Plan, places: Places, data: Sequence[tuple[str, int]], descriptors: dict[str, int]
) -> list[str]:
    """Everything before the program.

    Args:
        data: names of files inside, each with a descriptor of what is in it.
        descriptors: for `seccomp`, `block-fd` and `json-status-fd`.
    """
    told = [*namespaces(), "--hostname", "sandbox", "--clearenv"]
    for name, value in plan.environment.items():
        told += ["--setenv", name, value]
    told += _system(plan.system)
    told += ["--proc", "/proc", "--dev", "/dev"]
    told += [
        "--size",
        str(min(SHARED_MEMORY, plan.limits.temporary_bytes)),
        "--perms",
        "1777",
        "--tmpfs",
        "/dev/shm",
    ]
    told += ["--size", str(plan.limits.temporary_bytes), "--perms", "1777", "--tmpfs", "/tmp"]
    for name, descriptor in data:
        told += ["--ro-bind-data", str(descriptor), name]
    if plan.folder:
        told += ["--dir", plan.folder]
    told += _mounts(places)
    if plan.relay:
        told += ["--ro-bind", plan.relay.script, f"{RELAY_FOLDER}/relay.py"]
        told += ["--ro-bind", plan.relay.socket, f"{RELAY_FOLDER}/proxy.sock"]
    # What bubblewrap itself mounted would take files without a limit. In /proc are the settings of the kernel, which
    # ask for no capability but for the user: started by root, a program could change them.
    for folder in ("/proc", "/dev", "/", *(place.path for place in places.covered if place.folder)):
        told += ["--remount-ro", folder]
    told += ["--chdir", plan.folder or "/tmp"]
    for option, descriptor in descriptors.items():
        told += [f"--{option}", str(descriptor)]
    return told


def _mounts(places: Places) -> list[str]:
    """What is granted and what is covered, shorter paths first: the longer one decides."""
    mounts: list[tuple[int, int, list[str]]] = []
    for rank, option, these in ((0, "--ro-bind-fd", places.read), (2, "--bind-fd", places.write)):
        for place in these:
            mounts.append((place.path.count("/"), rank, [option, str(place.descriptor), place.path]))
    for place in places.covered:
        name = place.path
        empty = ["--perms", "0555", "--size", "65536", "--tmpfs", name]
        mounts.append((place.path.count("/"), 1, empty if place.folder else ["--ro-bind", os.devnull, name]))
    return [word for _, _, words in sorted(mounts) for word in words]


def namespaces() -> list[str]:
    """The options that take everything of this machine away."""
    return [
        *("--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts"),
        *("--unshare-cgroup-try", "--uid", str(USER), "--gid", str(USER), "--cap-drop", "ALL"),
        *("--die-with-parent", "--new-session"),
    ]


def _system(paths: Sequence[str]) -> list[str]:
    told: list[str] = []
    for path in paths:
        # Links at the top (`/bin` to `usr/bin`) are made again; those deeper lead to the same files inside.
        if path.count("/") == 1 and os.path.islink(path):
            told += ["--symlink", os.readlink(path), path]
        elif os.path.exists(path):
            told += ["--ro-bind", os.path.realpath(path), path]
    return told
