"""Starting a program held by bubblewrap or by Landlock, up to the moment where it only waits to be let go.

Part of the keeper. Blocking; standard library only.
"""

import errno
import math
import os
import resource
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, NoReturn

from planaria.membrane.sandbox import bubblewrap, kernel, landlock
from planaria.membrane.sandbox.paths import PathError, Place, Places, open_place
from planaria.membrane.sandbox.plan import Plan
from planaria.membrane.sandbox.seccomp import seccomp_filter

MOST_FILES = 256
"""Files a process may have open."""
TEMPORARY = "/tmp"
NO_PROGRAM, NOT_RUNNABLE = 127, 126
_ABSENT = (errno.ENOENT, errno.ENOTDIR)


class Refused(Exception):
    """Nothing was run; the message says why."""


class Broken(Exception):
    """It could not be set up."""


class Started(NamedTuple):
    """A program that waits.

    Attributes:
        main: our child; when it ends, the run is over.
        inner: the process that is to be limited before it goes on.
        gate: a byte written here lets it go.
        told: where bubblewrap says how the program ended; -1 without it.
        folder: its /tmp, to be removed afterwards; empty if there is nothing to remove.
        weaker: what is not held.
    """

    main: int
    inner: int
    gate: int
    told: int = -1
    folder: str = ""
    weaker: tuple[str, ...] = ()


def start_bubblewrap(plan: Plan, places: Places) -> Started:
    """Start bubblewrap; it has made its namespaces and waits.

    Raises:
        Broken: it ended at once; it says why on standard error.
    """
    waiting, gate = os.pipe()
    told, telling = os.pipe()
    data = [(name, _in_memory(text.encode())) for name, text in bubblewrap.FILES.items()]
    descriptors = {
        "seccomp": _in_memory(seccomp_filter()),
        "block-fd": waiting,
        "json-status-fd": telling,
    }
    options = bubblewrap.arguments(plan, places, data, descriptors)
    listed = _in_memory(b"".join(os.fsencode(each) + b"\0" for each in options))
    needed = [listed, *descriptors.values(), *(each for _, each in data)]
    # Bubblewrap closes what it binds. It never gets one of what is covered: the program would find it open.
    granted = [place.descriptor for each in (places.read, places.write) for place in each]
    main = os.fork()
    if main == 0:
        _only(
            lambda: _become(
                [plan.bwrap, "--args", str(listed), "--", *_with_relay(plan)], {}, [*needed, *granted]
            )
        )
    for descriptor in needed:
        os.close(descriptor)
    line = _line(told)
    if "child-pid" not in line:
        raise Broken("bubblewrap could not make the sandbox")
    return Started(main, int(line["child-pid"]), gate, told)


def exit_code_of(told: int) -> int | None:
    """How bubblewrap says that the program ended; None: it does not, since it could not be started."""
    while line := _line(told):
        if "exit-code" in line:
            return int(line["exit-code"])
    return None


def start_landlock(plan: Plan, places: Places, limits: Mapping[int, int]) -> Started:
    """Start a child that confines itself once it is let go, and becomes the program.

    Raises:
        Refused: the kernel is too old, or the plan needs what only bubblewrap can give.
    """
    version = kernel.landlock_version()
    if version < landlock.OLDEST:
        raise Refused(f"this kernel has Landlock version {version}, and {landlock.OLDEST} is needed")
    if plan.relay:
        raise Refused("hosts can be granted with bubblewrap only; install it, or grant none")
    folder = f"{TEMPORARY}/planaria-sandbox-{os.urandom(8).hex()}"
    os.mkdir(folder, 0o700)
    system = [_open(each) for each in plan.system]
    devices = [_open(each) for each in landlock.DEVICES]
    confinement = landlock.Confinement(
        version,
        places,
        [each for each in system if each is not None],
        [each for each in devices if each is not None],
        open_place(folder),
        limits,
    )
    waiting, gate = os.pipe()
    main = os.fork()
    if main == 0:
        os.close(gate)
        _only(lambda: _confined(plan, confinement, folder, waiting))
    os.close(waiting)
    return Started(main, main, gate, folder=folder, weaker=landlock.weaker(version))


def _confined(plan: Plan, confinement: landlock.Confinement, folder: str, waiting: int) -> None:
    if not os.read(waiting, 1):
        return
    try:
        os.chdir(plan.folder or folder)
        confinement.enter()
    except OSError as error:
        _die(f"the sandbox could not be entered: {error}", NOT_RUNNABLE)
    _become(plan.argv, plan.environment | {"HOME": folder, "TMPDIR": folder}, [])


def _only(what: Callable[[], None]) -> NoReturn:
    """What a child does, and its end: it must never come back into what its parent was doing."""
    try:
        what()
    except BaseException as error:  # noqa: BLE001 - whatever it is, this is a copy of the keeper, and must not go on
        _die(f"the sandbox could not be entered: {error!r}", NOT_RUNNABLE)
    os._exit(NOT_RUNNABLE)


def limits_of(plan: Plan, *, memory: bool, processes: int) -> dict[int, int]:
    """What the kernel limits for each process.

    Args:
        memory: whether memory is left to it.
        processes: how many its user may have where it counts; 0: that is not left to it.
    """
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: MOST_FILES,
        resource.RLIMIT_FSIZE: plan.limits.file_bytes,
        resource.RLIMIT_CPU: math.ceil(plan.limits.cpu_seconds) + 1,
        resource.RLIMIT_MEMLOCK: 64 * 1024,
        resource.RLIMIT_MSGQUEUE: 0,
    }
    if memory:
        limits[resource.RLIMIT_AS] = plan.limits.memory_bytes
    if processes:
        limits[resource.RLIMIT_NPROC] = processes
    return limits


def how_counted(backend: str) -> str:
    """How processes are counted where there is no cgroup for it."""
    if os.geteuid() == 0:
        return "watched"
    return "rlimit" if backend == "bubblewrap" else "rlimit with all others of the user, watched"


def _with_relay(plan: Plan) -> list[str]:
    if plan.relay is None:
        return plan.argv
    inside = bubblewrap.RELAY_FOLDER
    start = [plan.relay.python, "-I", "-S", f"{inside}/relay.py"]
    return [*start, f"{inside}/proxy.sock", str(bubblewrap.RELAY_PORT), *plan.argv]


def _become(argv: list[str], environment: Mapping[str, str], descriptors: Sequence[int]) -> NoReturn:
    """The end of a child: it turns into a program, with these descriptors beside the first ones."""
    for descriptor in descriptors:
        os.set_inheritable(descriptor, True)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)  # Python ignores them, and what is ignored stays so
    os.umask(0o022)
    # Not `os.execvpe`: it imports a module, and from in here none can be read any more.
    places = [""] if "/" in argv[0] else [f"{each}/" for each in environment.get("PATH", "").split(":")]
    failure = OSError(errno.ENOENT, os.strerror(errno.ENOENT))
    for place in places:
        try:
            os.execve(place + argv[0], argv, environment)
        except OSError as error:
            if error.errno not in _ABSENT or len(places) == 1:
                failure = error
    _die(f"{argv[0]}: {failure.strerror}", NO_PROGRAM if failure.errno in _ABSENT else NOT_RUNNABLE)


def _die(message: str, code: int) -> NoReturn:
    sys.stderr.write(message + "\n")
    sys.stderr.flush()
    os._exit(code)


def _line(descriptor: int) -> dict[str, int]:
    """The next line that bubblewrap says; empty at the end."""
    text = b""
    while not text.endswith(b"\n"):
        piece = os.read(descriptor, 1)
        if not piece:
            return {}
        text += piece
    # Flat, and all its values are numbers: no reason to load a reader of JSON.
    pairs = (pair.partition(":") for pair in text.decode().strip(" {}\n").split(","))
    return {name.strip(' "'): int(value) for name, _, value in pairs}


def _in_memory(data: bytes) -> int:
    descriptor = os.memfd_create("planaria")
    os.write(descriptor, data)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _open(path: str) -> Place | None:
    try:
        return open_place(path)
    except PathError:
        return None
