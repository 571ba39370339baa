"""What a program tries to get out of the sandbox (`attempts.py`); without it each succeeds, where that is harmless."""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from planaria.membrane.sandbox.policy import SandboxPolicy
from planaria.membrane.sandbox.run import PYTHON, PYTHON_FILES

from . import attempts
from .conftest import Run

SCRIPT = Path(attempts.__file__)
CANARY = {"PLANARIA_CANARY": "sings"}
pytestmark = pytest.mark.subprocess


@pytest.fixture
def targets(garden: Path) -> Iterator[dict[str, Any]]:
    """What there is to get at; a listening socket of every kind, and a process with the canary in its environment."""
    outside = garden.parent / "outside"
    abstract = f"planaria-test-{os.getpid()}"
    tcp = socket.create_server(("127.0.0.1", 0))
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("127.0.0.1", 0))
    nearby = socket.socket(socket.AF_UNIX)
    nearby.bind("\0" + abstract)
    nearby.listen()
    path = socket.socket(socket.AF_UNIX)
    path.bind(str(outside / "s"))
    path.listen()
    ended = threading.Event()

    def answer() -> None:
        while not ended.is_set():
            data, who = udp.recvfrom(10)
            udp.sendto(data, who)

    thread = threading.Thread(target=answer)
    thread.start()
    bystander = subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE, env=CANARY)
    yield {
        "secret": str(outside / "secret"),
        "outside": str(outside),
        "garden": str(garden),
        "write": str(garden / "notes"),
        "read": str(garden / "library"),
        "pid": bystander.pid,
        "tcp": tcp.getsockname()[1],
        "udp": udp.getsockname()[1],
        "abstract": abstract,
        "unix": str(outside / "s"),
        "names": [],
        "bare": False,
    }
    ended.set()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
        last.sendto(b".", udp.getsockname())
    thread.join()
    bystander.kill()
    bystander.communicate()
    for each in (tcp, udp, nearby, path):
        each.close()


def policy(garden: Path) -> SandboxPolicy:
    return SandboxPolicy(
        read=(garden, SCRIPT, *PYTHON_FILES),
        write=(garden,),
        kept=tuple(garden / name for name in ("agents", "tools", "library")),
        hidden=(garden / ".planaria",),
        below=(garden,),
        dotted=False,
    )


async def test_nothing_gets_out(boxed: Run, backend: str, garden: Path, targets: dict[str, Any]) -> None:
    # The standard library is needed for `pty` and the like, so the interpreter starts with it.
    argv = [PYTHON, "-I", "-S", str(SCRIPT), json.dumps(targets)]
    done = await boxed(argv, policy(garden), backend=backend)
    assert done.exit_code == 0, done.stderr.decode()
    told = json.loads(done.stdout)
    assert len(told) > 50
    assert {name: got for name, got in told.items() if got} == {}


def test_without_the_sandbox_they_all_succeed(garden: Path, targets: dict[str, Any]) -> None:
    names = attempts.HARMLESS - (set() if os.geteuid() == 0 else attempts.ROOT_ONLY)
    argv = [sys.executable, str(SCRIPT), json.dumps({**targets, "names": sorted(names), "bare": True})]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, env=CANARY)
    told = json.loads(done.stdout)
    assert [name for name, got in told.items() if not got] == []
