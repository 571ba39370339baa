"""The whole node as a program: started, refused twice, stopped, killed."""

import contextlib
import os
import signal
import subprocess
import sys

import pytest

from planaria.config.lock import find_holder

pytestmark = pytest.mark.subprocess

ENVIRONMENT = {
    name: value for name, value in os.environ.items() if not name.endswith(("_KEY", "_TOKEN", "_HOST"))
}


class Program:
    """`planaria up` as a process of its own."""

    def __init__(self, path) -> None:
        command = [sys.executable, "-m", "planaria.cli", "up", "--garden", str(path)]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
        )
        self.output = ""

    def wait_ready(self) -> None:
        """Return when it has said where the dashboard is."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output += line
            if line.startswith("Ctrl-C"):
                return
        raise AssertionError(f"it ended: {self.output}{self.process.communicate(timeout=10)[1]}")

    def end(self, how: signal.Signals) -> int:
        """Signal it and wait; its exit code."""
        self.process.send_signal(how)
        self.errors = self.process.communicate(timeout=30)[1]
        return self.process.returncode


@pytest.fixture
def start(garden, unused_tcp_port):
    """Start the garden's node; whatever runs at the end is killed."""
    (garden.path / "planaria.toml").write_text(f"[web]\nport = {unused_tcp_port}\n")
    programs: list[Program] = []

    def begin() -> Program:
        programs.append(Program(garden.path))
        return programs[-1]

    yield begin
    for program in programs:
        with contextlib.suppress(ProcessLookupError):
            program.process.kill()
        program.process.communicate(timeout=30)


def test_it_shows_tree_and_dashboard_and_ends_in_order_on_sigterm(garden, start):
    program = start()
    program.wait_ready()
    assert "journal" in program.output
    assert "dashboard  http://127.0.0.1:" in program.output
    holder = find_holder(garden.path)
    assert holder is not None
    assert holder.pid == program.process.pid
    assert holder.url.startswith("http://127.0.0.1:")
    assert program.end(signal.SIGTERM) == 0
    assert program.errors == ""
    assert find_holder(garden.path) is None
    assert not (garden.path / ".planaria" / "control.sock").exists()


def test_ctrl_c_ends_it_in_order(start):
    program = start()
    program.wait_ready()
    assert program.end(signal.SIGINT) == 0
    assert program.errors == ""


def test_a_second_node_is_refused_and_the_first_goes_on(garden, start):
    first = start()
    first.wait_ready()
    result = garden.run("up")
    assert result.exit_code == 5
    assert f"process {first.process.pid}" in result.stderr
    assert "planaria stop" in result.stderr
    assert garden.run("status").exit_code == 0


def test_after_a_kill_it_starts_again_and_knows_what_was_said(garden, start):
    first = start()
    first.wait_ready()
    assert garden.run("chat", "-m", "hello", "--as", "ada").exit_code == 0
    first.end(signal.SIGKILL)
    assert find_holder(garden.path) is None
    assert garden.run("tree").exit_code == 4
    start().wait_ready()
    authors = [
        event["payload"]["author"] for event in garden.json("journal", "tail", "--kind", "room.message")
    ]
    assert authors[0] == "ada"
    assert "scout" in authors


def test_stop_ends_it_from_another_terminal(garden, start):
    program = start()
    program.wait_ready()
    assert garden.run("stop", "--yes").output.startswith("stopped: the node")
    assert program.process.wait(timeout=30) == 0


def test_settings_that_cannot_be_used_are_named_and_nothing_starts(garden):
    (garden.path / "planaria.toml").write_text("[web]\nprot = 1\n")
    result = garden.run("up")
    assert result.exit_code == 3
    assert "did you mean 'port'?" in result.stderr
    assert find_holder(garden.path) is None


@pytest.mark.parametrize("name", ["journal", "control", "dashboard"])
def test_a_kill_that_takes_the_control_socket_along_still_tells_who_came_after(garden, start, name: str):
    start().wait_ready()
    before = garden.json("inspect", name)["pid"]
    told = garden.json("kill", name)
    assert told["process"] == f"{name} {before}"
    assert told["successor"] not in (None, before)
