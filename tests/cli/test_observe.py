"""`planaria observe` and `planaria attach`, on a program with an observer and without a garden."""

import asyncio
import json
import socket
import threading
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from planaria.cli.attach import read_input
from planaria.otp import GenServer, Node, call, child, sleep, supervisor, task_child
from planaria.otp.observe.observer import Observer
from planaria.otp.observe.watchdog import Watchdog
from tests.cli.conftest import planaria


class Counter(GenServer):
    def init(self) -> None:
        self.count = 5
        self.api_key = "sk-not-to-be-shown"

    @call
    def add(self, by: int) -> int:
        self.count += by
        return self.count


async def tick() -> None:
    while True:
        await Counter.add("counter", 1)
        await sleep(0.01)


@dataclass
class Program:
    """A node in a thread of its own."""

    socket: Path
    loop: asyncio.AbstractEventLoop = field(init=False)
    stopped: asyncio.Event = field(init=False)

    def run(self, *args: str, **kwargs: Any):
        return planaria(*args, "--socket", str(self.socket), **kwargs)

    async def main(self, started: threading.Event) -> None:
        self.loop, self.stopped = asyncio.get_running_loop(), asyncio.Event()
        async with Node("plain") as node:
            with Watchdog(node) as watchdog, Observer(node, self.socket, watchdog=watchdog):
                tree = supervisor(
                    child(Counter, name="counter"), task_child(tick, name="ticker"), name="root"
                )
                await node.start(tree)
                started.set()
                await self.stopped.wait()


@pytest.fixture
def program(tmp_path):
    program = Program(tmp_path / "private" / "o.sock")
    started = threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(program.main(started)))
    thread.start()
    assert started.wait(10)
    yield program
    program.loop.call_soon_threadsafe(program.stopped.set)
    thread.join(10)


def test_the_node_and_its_processes(program):
    output = program.run("observe").output
    assert "the loop turns" in output
    assert "ticker" in output
    view = json.loads(program.run("observe", "--json").stdout)
    assert view["node"]["name"] == "plain"
    assert {row["name"] for row in view["processes"]} == {"root", "counter", "ticker"}


def test_one_process_and_a_pattern(program):
    output = program.run("observe", "counter").output
    assert "api_key = [secret]" in output
    assert "call add(1) from ticker" in output
    view = json.loads(program.run("observe", "*er", "--json").stdout)
    assert {row["name"] for row in view["processes"]} == {"counter", "ticker"}


def test_where_a_process_waits(program):
    output = program.run("observe", "ticker").output
    assert f"{__file__}:" in output
    assert "tick" in output


def test_an_unknown_process_is_an_error_in_words(program):
    result = program.run("observe", "nobody")
    assert result.exit_code == 6
    assert "no process 'nobody'" in result.stderr


def test_no_node_is_an_error_in_words(tmp_path):
    result = planaria("observe", "--socket", str(tmp_path / "none.sock"))
    assert result.exit_code == 4
    assert "no node listens" in result.stderr


def test_stacks_are_had_without_asking_the_node(program):
    assert "most recent call first" in program.run("observe", "--stacks").output


def test_kill_ends_one_process(program):
    before = json.loads(program.run("observe", "counter", "--json").stdout)["info"]["pid"]
    assert program.run("observe", "counter", "--kill").exit_code == 0
    assert json.loads(program.run("observe", "counter", "--json").stdout)["info"]["pid"] != before


def test_attach_runs_code_in_the_node(program):
    assert program.run("attach", "-c", "whereis('counter').name").output == "'counter'\n"
    assert (
        program.run("attach", input="print(state('counter')['api_key'])\n").output == "sk-not-to-be-shown\n"
    )


def test_attach_shows_errors_and_says_so_in_its_exit_code(program):
    result = program.run("attach", "-c", "1/0")
    assert result.exit_code == 1
    assert "ZeroDivisionError" in result.output


def test_following_ends_in_peace_with_ctrl_c(program, monkeypatch):
    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("planaria.cli.observe.time", SimpleNamespace(sleep=interrupted))
    result = program.run("observe", "--follow")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["node"]["name"] == "plain"


def test_a_node_that_goes_away_is_told_in_words(tmp_path):
    path = tmp_path / "o.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()

        def turn_away() -> None:
            listening.accept()[0].close()

        closer = threading.Thread(target=turn_away)
        closer.start()
        result = planaria("observe", "--socket", str(path))
        closer.join(10)
    assert result.exit_code != 0
    assert "has closed the connection" in result.output


def test_attach_ends_with_the_input_that_leaves(program):
    assert program.run("attach", "-c", "exit()").exit_code == 0
    assert program.run("attach", "-c", "exit('no')").exit_code == 1


def test_attach_says_what_the_node_refuses(program):
    result = program.run("attach", "-c", "(" * 10_000)
    assert result.exit_code == 1
    assert "too many nested parentheses" in result.output


@pytest.mark.parametrize(
    ("lines", "source"),
    [
        (["for n in x:", "  a", "  b", ""], "for n in x:\n  a\n  b\n"),
        (["x = 1; x"], "x = 1; x"),
        (["await x"], "await x"),
        (["f(1,", "2)"], "f(1,\n2)"),
        (["def f(:"], "def f(:"),
    ],
)
def test_an_empty_line_ends_a_block(lines, source, monkeypatch):
    given = iter(lines)
    monkeypatch.setattr("builtins.input", lambda prompt: next(given))
    assert read_input() == source
