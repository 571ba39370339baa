"""What a program may use up, and that nothing of it is left when it has ended."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from planaria.membrane.sandbox.available import find_sandbox
from planaria.membrane.sandbox.errors import NoSandbox, PolicyRefused
from planaria.membrane.sandbox.policy import SandboxPolicy
from planaria.membrane.sandbox.run import PYTHON, PYTHON_FILES, run_sandboxed
from planaria.membrane.sandbox.strength import Backend
from planaria.otp import Node, exit_signal

from .conftest import Run

MEGABYTE = 1_000_000
pytestmark = pytest.mark.subprocess


def marked(word: str) -> list[int]:
    """The processes of the host that have this word among their arguments."""
    found = []
    for each in filter(str.isdecimal, os.listdir("/proc")):
        try:
            if word.encode() in Path(f"/proc/{each}/cmdline").read_bytes().split(b"\0"):
                found.append(int(each))
        except OSError:
            pass
    return found


async def until_gone(word: str) -> None:
    async with asyncio.timeout(20):
        while marked(word):
            await asyncio.sleep(0)


async def until_there(word: str) -> None:
    async with asyncio.timeout(20):
        while not marked(word):
            await asyncio.sleep(0)


def leftovers() -> list[str]:
    """Groups of keepers in the file system of control groups."""
    return [
        str(folder)
        for base, folders, _ in os.walk("/sys/fs/cgroup")
        for folder in (Path(base, each) for each in folders)
        if folder.name.startswith("planaria-")
        and not os.path.exists(f"/proc/{folder.name.partition('-')[2]}")
    ]


async def test_a_program_has_its_input_and_output_and_its_code(boxed: Run, backend: Backend) -> None:
    told: list[tuple[int, bytes]] = []
    done = await boxed(
        "cat; echo out; echo err >&2; echo answer >&3; exit 7",
        SandboxPolicy(),
        b"in\n",
        lambda stream, data: told.append((stream, data)),
        answer=100,
        backend=backend,
    )
    assert (done.exit_code, done.killed_by, done.stdout, done.stderr) == (7, None, b"in\nout\n", b"err\n")
    assert done.answer == b"answer\n"
    assert b"".join(data for stream, data in told if stream == 1) == b"in\nout\n"
    assert done.strength.backend == backend
    assert not leftovers()


async def test_the_environment_is_what_is_granted(boxed: Run, bubblewrap: str) -> None:
    done = await boxed("env", SandboxPolicy(environment={"A": "1"}))
    names = {line.partition("=")[0] for line in done.stdout.decode().splitlines()}
    assert names == {"PATH", "LANG", "HOME", "PWD", "A"}


@pytest.mark.parametrize(("program", "code"), [("nosuchprogram", 127), ("/usr", 126), ("./no/such", 127)])
async def test_a_program_that_cannot_be_run_is_told_as_by_a_shell(
    boxed: Run, backend: Backend, program: str, code: int
) -> None:
    done = await boxed([program], SandboxPolicy(), backend=backend)
    assert done.exit_code == code
    assert done.stderr.startswith(program.encode() + b": ")


async def test_time(boxed: Run, backend: Backend) -> None:
    done = await boxed("sleep 1000", SandboxPolicy(wall_seconds=0.2), backend=backend)
    assert (done.killed_by, done.exit_code) == ("time", 137)


async def test_processor_time_of_all_processes_together(boxed: Run, backend: Backend) -> None:
    spin = "while :; do :; done"
    done = await boxed(f"({spin})& ({spin})& {spin}", SandboxPolicy(cpu_seconds=0.5), backend=backend)
    assert done.killed_by == "cpu"


async def test_memory(boxed: Run, backend: Backend) -> None:
    code = "x = bytearray(300_000_000); print(len(x))"
    argv = [PYTHON, "-I", "-S", "-c", code]
    policy = SandboxPolicy(read=PYTHON_FILES, memory_bytes=100 * MEGABYTE)
    done = await boxed(argv, policy, backend=backend)
    assert done.stdout == b""
    assert done.killed_by == "memory" or b"MemoryError" in done.stderr
    enough = SandboxPolicy(read=PYTHON_FILES, memory_bytes=600 * MEGABYTE)
    assert (await boxed(argv, enough, backend=backend)).stdout == b"300000000\n"


async def test_memory_in_a_file_system_counts(boxed: Run, bubblewrap: str) -> None:
    policy = SandboxPolicy(temporary_bytes=MEGABYTE, file_bytes=100 * MEGABYTE)
    done = await boxed(
        "for at in /tmp /dev/shm; do head -c 50000000 /dev/zero > $at/x; wc -c < $at/x; done", policy
    )
    assert [int(each) <= 2 * MEGABYTE for each in done.stdout.split()] == [True, True]
    assert b"No space left" in done.stderr


async def test_processes(boxed: Run, backend: Backend) -> None:
    bomb = "bomb() { bomb | bomb & }; bomb; sleep 0.5; echo survived"
    done = await boxed(["bash", "-c", bomb], SandboxPolicy(processes=20, wall_seconds=20), backend=backend)
    # Held by the kernel, which refuses to start more, or by the keeper, which ends them all.
    assert done.killed_by == "processes" or b"Resource temporarily unavailable" in done.stderr


async def test_one_file(boxed: Run, backend: Backend) -> None:
    done = await boxed(["head", "-c", "9000000", "/dev/zero"], SandboxPolicy(), backend=backend)
    assert done.truncated and len(done.stdout) == 1_000_000
    policy = SandboxPolicy(file_bytes=MEGABYTE)
    done = await boxed("head -c 9000000 /dev/zero > $HOME/x; wc -c < $HOME/x", policy, backend=backend)
    assert done.stdout == b"1000000\n"


async def test_a_disk_is_not_filled_with_many_files(boxed: Run, backend: Backend, tmp_path: Path) -> None:
    fill = "i=0; while :; do i=$((i+1)); head -c 5000000 /dev/zero > f$i || exit; done"
    policy = SandboxPolicy(write=(tmp_path,), folder=tmp_path, disk_bytes=50 * MEGABYTE)
    done = await boxed(fill, policy, backend=backend)
    assert done.killed_by == "disk"


async def test_what_is_left_lying_is_removed_and_links_are_not_followed(boxed: Run, garden: Path) -> None:
    if not find_sandbox().has("landlock"):
        pytest.skip("this kernel has no Landlock")
    outside = garden.parent / "outside"
    os.chmod(outside, 0o755)
    done = await boxed(
        f"cd $HOME; echo $HOME; mkdir -p a/b; mkdir -m 0 c; ln -s {outside} d; ln -s {outside}/secret e; touch a/b/f",
        SandboxPolicy(),
        backend="landlock",
    )
    assert done.exit_code == 0, done.stderr
    assert not os.path.exists(done.stdout.decode().strip())
    assert outside.stat().st_mode & 0o777 == 0o755 and (outside / "secret").read_text() == "the secret"


async def test_what_is_left_running_ends_with_the_program(boxed: Run, backend: Backend) -> None:
    word = f"87{os.getpid()}"
    hidden = f"(setsid sh -c '(sleep {word} &) ; exec sleep {word}' >/dev/null 2>&1 &)"
    done = await boxed(f"{hidden}; sleep {word} & echo done", SandboxPolicy(), backend=backend)
    assert done.stdout == b"done\n"
    assert marked(word) == []


async def test_without_the_sandbox_it_goes_on_running(tmp_path: Path) -> None:
    word = f"88{os.getpid()}"
    subprocess.run(["sh", "-c", f"(setsid sleep {word} >/dev/null 2>&1 &)"], check=True)
    await until_there(word)
    for pid in marked(word):
        os.kill(pid, signal.SIGKILL)


async def test_all_of_it_ends_with_the_process_that_runs_it(node_: Node, backend: Backend) -> None:
    word = f"89{os.getpid()}"
    command = ["sh", "-c", f"(setsid sh -c 'sleep {word} & sleep {word}' &) ; sleep {word}"]
    running = node_.spawn(run_sandboxed, command, SandboxPolicy(), backend=backend)
    await until_there(word)

    async def kill() -> None:
        exit_signal(running, "kill")

    await node_.run(kill)
    await until_gone(word)
    async with asyncio.timeout(20):
        while leftovers():
            await asyncio.sleep(0)


async def test_all_of_it_ends_with_the_program_of_the_node(backend: Backend) -> None:
    word = f"90{os.getpid()}"
    program = f"""
import asyncio
from planaria.membrane.sandbox.policy import SandboxPolicy
from planaria.membrane.sandbox.run import run_sandboxed
from planaria.otp import Node
async def main():
    async with Node("test") as node:
        command = ["sh", "-c", "(setsid sleep {word} &) ; sleep {word}"]
        await node.run(lambda: run_sandboxed(command, SandboxPolicy(), backend={backend!r}))
asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", program]) as node:
        await until_there(word)
        node.kill()
    await until_gone(word)
    async with asyncio.timeout(20):
        while leftovers():
            await asyncio.sleep(0)


@pytest.mark.parametrize(
    "policy",
    [
        SandboxPolicy(read=(Path("/"),)),
        SandboxPolicy(read=(Path("notes"),)),
        SandboxPolicy(write=(Path("/tmp/../etc"),)),
        SandboxPolicy(write=(Path("/proc/sys"),)),
        SandboxPolicy(read=(Path("/g/.planaria/x"),), hidden=(Path("/g/.planaria"),)),
        SandboxPolicy(read=(Path("/no/such/place"),)),
        SandboxPolicy(hosts=("http://example.org/",)),
        SandboxPolicy(memory_bytes=0),
        SandboxPolicy(environment={"A=B": "1"}),
    ],
)
async def test_what_cannot_be_granted_is_refused(boxed: Run, bubblewrap: str, policy: SandboxPolicy) -> None:
    with pytest.raises(PolicyRefused):
        await boxed("true", policy)


async def test_a_link_is_not_granted(boxed: Run, backend: Backend, garden: Path) -> None:
    (garden / "code").symlink_to(garden.parent / "outside")
    policy = SandboxPolicy(write=(garden / "code",), below=(garden,))
    with pytest.raises(PolicyRefused, match="code is a link"):
        await boxed("true", policy, backend=backend)


async def test_landlock_grants_no_hosts(boxed: Run) -> None:
    with pytest.raises((PolicyRefused, NoSandbox), match="bubblewrap"):
        await boxed("true", SandboxPolicy(hosts=("example.org",)), backend="landlock")


async def test_with_no_sandbox_nothing_is_run(
    boxed: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from planaria.membrane.sandbox import available

    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(available, "landlock_version", lambda: 0)
    available._find.cache_clear()
    try:
        with pytest.raises(NoSandbox, match=r"bubblewrap is not installed; install bubblewrap \(apt-get"):
            await boxed(f"touch {tmp_path}/ran", SandboxPolicy(write=(tmp_path,)))
    finally:
        available._find.cache_clear()
    assert not (tmp_path / "ran").exists()


async def test_without_bubblewrap_landlock_is_taken_and_said(
    boxed: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from planaria.membrane.sandbox import available

    if not available.find_sandbox().has("landlock"):
        pytest.skip("this kernel has no Landlock")
    monkeypatch.setenv("PATH", str(tmp_path))
    available._find.cache_clear()
    try:
        done = await boxed("echo hello")
    finally:
        available._find.cache_clear()
    assert (done.stdout, done.strength.backend) == (b"hello\n", "landlock")
    assert any("hosts cannot be granted" in each for each in done.strength.weaker)
