"""Nothing outlives a node, however it ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.otp.isolation.support import alive

pytestmark = pytest.mark.subprocess
ROOT = Path(__file__).parents[3]


NODE = """
import asyncio, sys
from planaria.otp import Node, child
from planaria.otp.isolation.pool import worker_pool
from planaria.otp.isolation.proxy import worker_of
from tests.otp.isolation.residents import Desk

async def main():
    async with Node("doomed") as node:
        one = await node.start(child(Desk, isolation="worker"))
        two = await node.start(child(Desk, isolation="worker"))
        Desk.hold_up(two, 600)
        command = await Desk.spawn_command(one)
        pool = worker_pool(node)
        print(pool.template_pid, worker_of(one).os_pid, worker_of(two).os_pid, command, flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_nothing_is_left_when_the_node_is_killed(number):
    environ = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    with subprocess.Popen(
        [sys.executable, "-c", NODE],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as node:
        assert node.stdout is not None
        *workers, command = (int(pid) for pid in node.stdout.readline().split())
        assert all(alive(pid) for pid in workers)
        node.send_signal(number)
        node.wait(20)
        until = time.monotonic() + 30
        while any(alive(pid) for pid in (*workers, command)) and time.monotonic() < until:
            time.sleep(0.01)
        try:
            assert not any(alive(pid) for pid in workers)
            assert not alive(command)
        finally:
            if alive(command):
                os.kill(command, signal.SIGKILL)
