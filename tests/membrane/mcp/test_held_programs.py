"""Servers that are programs: held in the sandbox, with what planaria.toml declares and nothing else."""

import asyncio
import os
import sys
import sysconfig
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from planaria.config.mcp import McpServerSettings
from planaria.membrane.mcp.connection import Connection, McpError
from planaria.membrane.mcp.hold import program_of
from planaria.membrane.mcp.offer import Changed
from planaria.membrane.mcp.tree import MEMORY, target_of
from planaria.membrane.sandbox.available import find_sandbox
from planaria.nerve.doctor import examine
from planaria.otp import Node, child, sleep, supervisor
from planaria.otp.isolation.limits import Limits, Worker

SPY = Path(__file__).with_name("spy_server.py")
PYTHON = (sys.prefix, os.path.realpath(sys.base_prefix), sys.base_prefix, sysconfig.get_paths()["purelib"])
DECLARED = (*dict.fromkeys(PYTHON), str(SPY))
ENVIRON = {"PATH": os.environ.get("PATH", ""), "TOKEN": "declared", "OTHER": "not declared"}

needs_sandbox = pytest.mark.skipif(find_sandbox().backend is None, reason="there is no sandbox here")


class Server:
    """A connection to the spy."""

    def __init__(self, node: Node, pid: Any) -> None:
        self.node, self.pid = node, pid

    async def call(self, tool: str, **arguments: Any) -> Any:
        answer = await self.node.run(partial(Connection.call_tool.within(20.0), self.pid, tool, arguments))
        return (
            answer.value["result"]
            if isinstance(answer.value, dict) and "result" in answer.value
            else answer.value
        )


@asynccontextmanager
async def connected(garden: Path, **given: Any) -> AsyncGenerator[tuple[Server, Changed]]:
    """A server's connection, once it is up or says why it is not."""
    settings = McpServerSettings((sys.executable, str(SPY)), timeout=20.0, **given)
    async with Node("test") as node:
        target = target_of("spy", settings, garden, ENVIRON)
        isolation = Worker(Limits(memory=MEMORY), admits=(McpError,))
        await node.start(
            supervisor(
                child(Connection, target, "nobody", name="spy", isolation=isolation),
                name="node",
            )
        )
        pid = node["spy"]

        async def settled() -> Changed:
            while (state := await Connection.state(pid)).problem == "connecting":
                await sleep(0.02)
            return state

        state = await node.run(settled)
        yield Server(node, pid), state


@pytest.fixture
def garden(tmp_path: Path) -> Path:
    for name in ("notes", "other", ".planaria", "agents"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file.txt").write_text(f"in {name}")
    return tmp_path


@pytest.mark.subprocess
@needs_sandbox
async def test_a_server_gets_at_nothing_that_is_not_declared(garden: Path):
    listening = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    secret = garden.parent / "secret.txt"
    secret.write_text("a key")
    given: dict[str, Any] = {"paths": (*DECLARED, "notes"), "write": ("other", "agents"), "env": ("TOKEN",)}
    async with listening, connected(garden, **given) as (spy, state):
        assert state.problem == ""
        assert await spy.call("look", path=str(garden / "notes" / "file.txt")) == "in notes"
        assert await spy.call("look", path="notes/file.txt") == "in notes"  # it starts in the garden
        for path in (secret, garden / ".planaria" / "file.txt", garden / "other" / "..", "/etc/shadow"):
            assert (await spy.call("look", path=str(path))).startswith("no: "), path
        assert await spy.call("write", path=str(garden / "other" / "new.txt")) == "written"
        assert (garden / "other" / "new.txt").read_text() == "spy"
        assert (await spy.call("write", path=str(garden / "notes" / "new.txt"))).startswith("no: ")
        environment = await spy.call("environment")
        assert environment["TOKEN"] == "declared"
        assert set(environment) <= {"TOKEN", "PATH", "LANG", "HOME", "PWD", "TMPDIR", "LC_CTYPE"}
        assert environment["HOME"] != str(Path.home())
        assert (await spy.call("reach", port=port)).startswith("no: ")


@pytest.mark.subprocess
@needs_sandbox
async def test_a_server_reaches_the_hosts_that_are_declared_and_no_others(garden: Path):
    async def hello(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
        writer.close()

    declared = await asyncio.start_server(hello, "127.0.0.1", 0)
    other = await asyncio.start_server(hello, "127.0.0.1", 0)
    ports = [each.sockets[0].getsockname()[1] for each in (declared, other)]
    given: dict[str, Any] = {"paths": DECLARED, "network": (f"127.0.0.1:{ports[0]}",)}
    async with declared, other, connected(garden, **given) as (spy, state):
        assert state.problem == ""
        assert await spy.call("fetch", url=f"http://127.0.0.1:{ports[0]}/") == "hello"
        assert (await spy.call("fetch", url=f"http://127.0.0.1:{ports[1]}/")).startswith("no: ")
        assert (await spy.call("reach", port=ports[0])).startswith("no: ")  # only by way of the proxy


@pytest.mark.subprocess
async def test_one_that_a_person_let_out_gets_at_everything(garden: Path):
    secret = garden.parent / "secret.txt"
    secret.write_text("a key")
    async with connected(garden, sandbox=False) as (spy, state):
        assert state.problem == ""
        assert await spy.call("look", path=str(secret)) == "a key"


@pytest.mark.subprocess
@needs_sandbox
async def test_what_it_lacks_is_told_with_the_mend(garden: Path):
    async with connected(garden, paths=(*DECLARED, "nowhere")) as (_, state):
        assert "nowhere" in state.problem


def test_a_program_that_it_could_not_read_is_told_before_it_is_tried(garden: Path):
    tool = garden / "bin" / "tool"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    environ = {"PATH": str(tool.parent)}
    server = partial(McpServerSettings, ("tool", "-y"))
    program = program_of("x", server(), garden, environ)
    assert f'add its folder, as in paths = ["{tool.parent}"], to [mcp.servers.x]' in program.problem
    program = program_of("x", server(paths=("bin",), write=("agents", ".")), garden, environ)
    assert (program.problem, program.command) == ("", (str(tool), "-y"))
    policy = program.policy
    assert policy.folder == garden and policy.hidden == (garden / ".planaria",)
    # What is declared itself may be written, though it governs agents; with all of the garden it may not.
    assert garden / "agents" not in policy.kept and garden / "planaria.toml" in policy.kept
    # A plan stands in its agent's prompt: it is written where its folder is named, and nowhere else.
    plans = garden / "notes" / "plans"
    assert policy.over == (plans,) and plans.is_dir()
    assert program_of("x", server(write=("notes/plans", ".")), garden, environ).policy.over == ()
    assert program_of("x", server(write=("other",)), garden, environ).policy.over == ()
    assert program_of("x", server(network=True), garden, environ).policy.hosts == ("*",)
    assert "there is no program 'tool'" in program_of("x", server(), garden, {"PATH": "/nowhere"}).problem


def test_the_doctor_says_what_holds_each_server_that_is_a_program(garden: Path):
    tool = garden.parent / "tool"
    tool.write_text("")
    tool.chmod(0o755)
    servers = {
        "held": 'command = ["sh"]\npaths = ["notes"]\nnetwork = ["example.org"]',
        "out": 'command = ["sh"]\nsandbox = false',
        "unseen": f'command = ["{tool}"]',
        "absent": 'command = ["sh"]\nwrite = ["nowhere"]',
        "wrong": 'command = ["sh"]\npaths = ["/"]',
    }
    told = "\n".join(f"[mcp.servers.{name}]\n{given}" for name, given in servers.items())
    (garden / "planaria.toml").write_text(told)
    findings = {each.what: each for each in examine(garden, ENVIRON, [])}
    if find_sandbox().backend is not None:
        said = "in the sandbox; it reads notes, writes nothing, reaches example.org"
        assert (findings["mcp held"].level, findings["mcp held"].detail) == ("ok", said)
    assert findings["mcp out"].level == "warning"
    assert "with all this user's files" in findings["mcp out"].detail
    assert {findings[f"mcp {name}"].level for name in ("unseen", "absent", "wrong")} == {"error"}
