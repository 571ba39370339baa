"""A whole node, as people start it, on a disk that a test may break."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from planaria.cli.client import Client
from planaria.cli.errors import CliError
from tests.crash.harness import RunningNode
from tests.faults.disk import SmallDisk, small_disk

EXAMPLE = Path(__file__).parents[2] / "examples" / "garden"
PATIENCE = 20.0


class Garden:
    """A garden whose node runs as a program of its own, and what a person does with it."""

    def __init__(self, path: Path, port: int) -> None:
        self.path = path
        self.log = path.parent / "node.log"
        shutil.copytree(EXAMPLE, path, ignore=shutil.ignore_patterns(".planaria"))
        (path / "workflows" / "public_feed.py").unlink()
        (path / "planaria.toml").write_text(f"[web]\nport = {port}\n")
        self.node: RunningNode | None = None
        self.accepted: list[str] = []

    @property
    def journal(self) -> Path:
        return self.path / ".planaria" / "journal.db"

    def up(self) -> None:
        """Start the node and wait until it greets."""
        if self.node is not None:
            self.node.close()
        command = [sys.executable, "-m", "planaria.cli", "up", "--garden", str(self.path)]
        self.node = RunningNode(command, self.path, self.log)
        self.node.wait_ready()

    def ends(self) -> int:
        """Wait for the node's own end; its exit code."""
        assert self.node is not None
        return self.node.process.wait(timeout=30)

    @property
    def runs(self) -> bool:
        return self.node is not None and self.node.process.poll() is None

    def down(self) -> None:
        """End it in order."""
        assert self.node is not None
        self.node.process.terminate()
        self.node.process.wait(timeout=30)

    def ask(self, method: str, **params: Any) -> Any:
        with Client(self.path) as client:
            return client.ask(method, **params)

    def kill(self, process: str) -> None:
        """Kill a process in it. The control socket may be among those that are restarted with it."""
        try:
            self.ask("process.kill", process=process)
        except CliError as error:
            if error.code != "closed":
                raise

    def post(self, text: str) -> str | None:
        """Post a message to nobody in particular; what it was refused with, None if it was accepted."""
        posted = {"room": "garden", "author": "ada", "text": f"@nobody {text}", "client_id": text[:60]}
        try:
            self.ask("room.post", **posted)
        except CliError as error:
            if error.code != "unavailable":
                raise
            return error.message
        self.accepted.append(posted["text"])
        return None

    def said(self) -> list[str]:
        """What ada has said, as the room has it."""
        messages = self.ask("room.transcript", room="garden", limit=1000)
        return [message["text"] for message in messages if message["author"] == "ada"]

    def trouble(self) -> str:
        """What `status` says is wrong with the journal."""
        return str(self.ask("status")["journal"])

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command as a person would."""
        command = [sys.executable, "-m", "planaria.cli", *words, "--garden", str(self.path)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    def json(self, *words: str) -> Any:
        done = self.command(*words, "--json")
        return json.loads(done.stdout)


def until(condition: Callable[[], bool], what: str) -> None:
    """Ask again until it is so: it concerns another program, which has no virtual time."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            if condition():
                return
        except CliError:
            pass  # a part of the node is being restarted
        time.sleep(0.1)
    raise AssertionError(f"{what} did not come to be")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk", 12) as disk:
        yield disk


def close(garden: Garden) -> None:
    if garden.node is not None:
        garden.node.close()


@pytest.fixture
def on_disk(disk: SmallDisk, unused_tcp_port: int) -> Iterator[Garden]:
    """On the small disk."""
    garden = Garden(disk.path / "garden", unused_tcp_port)
    garden.log = disk.path.parent / "node.log"
    yield garden
    close(garden)


@pytest.fixture
def garden(tmp_path: Path, unused_tcp_port: int) -> Iterator[Garden]:
    """On an ordinary disk."""
    garden = Garden(tmp_path / "garden", unused_tcp_port)
    yield garden
    close(garden)
