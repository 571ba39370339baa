import asyncio
import os
import sys
from pathlib import Path

import pytest

from planaria.otp import Node, Pid, exit_signal
from planaria.otp.io.subprocess import run_command

PATH = {"PATH": os.defpath}


async def shell(script: str, tmp_path: Path, **options: object) -> object:
    return await run_command(["/bin/sh", "-c", script], cwd=tmp_path, env=PATH, **options)  # type: ignore[arg-type]


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


async def gone(pid: int) -> None:
    """Wait until the system has ended a process that was sent SIGKILL."""
    async with asyncio.timeout(5):
        while alive(pid):
            await asyncio.sleep(0)


async def test_a_command_gives_its_code_and_both_streams(tmp_path: Path) -> None:
    done = await run_command(["/bin/sh", "-c", "echo out; echo err >&2; exit 3"], cwd=tmp_path, env=PATH)
    assert (done.returncode, done.stdout, done.stderr, done.truncated) == (3, b"out\n", b"err\n", False)


async def test_nothing_is_inherited_from_our_environment(tmp_path: Path) -> None:
    done = await run_command(["/usr/bin/env"], cwd=tmp_path, env={"A": "1"})
    assert done.stdout == b"A=1\n"


async def test_input_is_handed_over_and_is_empty_by_default(tmp_path: Path) -> None:
    assert (await run_command(["/bin/cat"], cwd=tmp_path, env={}, stdin=b"hello")).stdout == b"hello"
    assert (await run_command(["/bin/cat"], cwd=tmp_path, env={})).stdout == b""


async def test_output_past_the_limit_is_dropped_and_said_so(tmp_path: Path) -> None:
    code = "import sys; sys.stdout.write('x' * 5_000_000)"
    done = await run_command([sys.executable, "-c", code], cwd=tmp_path, env={}, max_output=1000)
    assert (done.returncode, len(done.stdout), done.truncated) == (0, 1000, True)


async def test_when_the_time_is_up_the_whole_group_is_killed(tmp_path: Path) -> None:
    script = "sleep 600 & echo $! > child; echo $$ > parent; wait"
    with pytest.raises(TimeoutError):
        await shell(script, tmp_path, timeout=0.3)
    await gone(int((tmp_path / "child").read_text()))
    await gone(int((tmp_path / "parent").read_text()))


async def test_cancelling_the_caller_kills_the_whole_group(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "ready")
    task = asyncio.create_task(shell("sleep 600 & echo $! > child; echo > ready; wait", tmp_path))
    await asyncio.to_thread((tmp_path / "ready").read_text)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await gone(int((tmp_path / "child").read_text()))


async def test_killing_the_process_that_waits_kills_the_whole_group(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "ready")
    async with Node("test") as node:
        pid = node.spawn(shell, "sleep 600 & echo $! > child; echo > ready; wait", tmp_path)
        await asyncio.to_thread((tmp_path / "ready").read_text)
        await node.run(_kill, pid)
        await gone(int((tmp_path / "child").read_text()))


async def _kill(pid: Pid) -> None:
    exit_signal(pid, "kill")


async def test_children_left_behind_are_killed_and_do_not_hold_up_the_answer(tmp_path: Path) -> None:
    done = await run_command(["/bin/sh", "-c", "sleep 600 & echo $!"], cwd=tmp_path, env=PATH, timeout=20)
    assert done.returncode == 0
    await gone(int(done.stdout))


async def test_a_program_that_is_not_there_raises(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await run_command(["no-such-program"], cwd=tmp_path, env=PATH)
    with pytest.raises(FileNotFoundError):
        await run_command(["/bin/true"], cwd=tmp_path / "missing", env=PATH)
