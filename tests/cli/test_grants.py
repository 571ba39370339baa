"""Grants, approvals and the second factor as their user meets them: terminal and dashboard of a real node."""

import asyncio
import json
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
from click.testing import CliRunner, Result
from pyotp.totp import TOTP

from planaria.cli import main
from planaria.cortex.durable.questions import Questions
from planaria.membrane.authority import Authority
from planaria.membrane.gate.gate import Gate
from planaria.membrane.grants import read_grants
from planaria.membrane.tool import Context, Denied, Done, Outcome, tool
from planaria.nerve.web.dashboard import Dashboard
from planaria.otp import Node
from planaria.records.library import Library
from tests.nerve.web.garden import Visit, whole_node

SCOUT = """\
---
class: agent
tools: [notes.*, files.*]
grants:
  files.read: [notes/**]
  files.write:
  shell.run: {allow: ["ls *"], ask: ["git *"]}
---
You look.
"""


@tool(needs={"shell.run"}, touches={"shell.run": "command"}, name="shell.run")
async def run(context: Context, command: list[str]) -> Done:
    """Run a program.

    Args:
        command: its words.
    """
    return Done(command)


class Terminal:
    def __init__(self, garden: Path) -> None:
        self.garden = garden

    async def run(self, *words: str) -> Result:
        arguments = [*words, "--garden", str(self.garden)]
        return await asyncio.to_thread(CliRunner().invoke, main, arguments)

    async def json(self, *words: str) -> Any:
        result = await self.run(*words, "--json")
        assert result.exit_code == 0, result.stderr
        return json.loads(result.output)


def push(node: Node, garden: Path, id: str, **grants: Any) -> "asyncio.Task[Outcome]":
    """Let the agent scout push, as its record would have it."""
    given, _ = read_grants(grants or {"shell.run": {"ask": ["git *"]}})
    authority = Authority("agent:scout", ["*"], given)
    context = Context("agent:scout", garden, session="session:scout@garden", room="garden", call_id=id)
    arguments = {"command": ["git", "push", "<b>origin</b>"]}
    return asyncio.create_task(
        node.run(partial(Gate([run]).call, "shell.run", arguments, context, authority))
    )


async def until_asked(node: Node, number: int) -> None:
    async with asyncio.timeout(10):
        while not any(each.number == number for each in await Questions.pending(node["questions"])):
            await asyncio.sleep(0)


async def test_grants_are_explained_approved_and_revoked(tmp_path: Path) -> None:
    async with whole_node(tmp_path) as node:
        garden = tmp_path / "garden"
        terminal = Terminal(garden)
        (garden / "agents/scout.md").write_text(SCOUT)
        Library.changed(node["library"], "agents/scout.md")
        async with asyncio.timeout(10):
            while not any(
                "files.write without a scope" in str(each) for each in await Library.problems(node["library"])
            ):
                await asyncio.sleep(0)
        said = (await terminal.run("grants", "scout")).output
        assert (
            "files.write is granted without a scope, which grants nothing; write `files.write: [notes/**]`"
            in said
        )
        assert "shell.run: run programs in the sandbox  (agents/scout.md:7)" in said
        explained = await terminal.json("grants", "scout")
        tools = {each["name"]: each["offered"] for each in explained["grants"]["tools"] if each["named_by"]}
        assert tools["files.read"] and tools["notes.write"] and not tools["files.write"]
        nobody = await terminal.run("grants", "nobody")
        assert nobody.exit_code == 6 and "Those that do" in nobody.stderr

        call = push(node, garden, "1")
        await until_asked(node, 1)
        assert '"<b>origin</b>"' in (await terminal.run("questions", "show", "1")).output
        url = (await Dashboard.url(node["dashboard"])).rstrip("/")
        async with httpx2.AsyncClient(timeout=10.0, trust_env=False) as client:
            visit = Visit(node, url, client, {"Origin": url, "HX-Request": "true"})
            await client.get(await visit.link())
            page = (await visit.get("/questions")).text
            assert "&lt;b&gt;origin&lt;/b&gt;" in page and "shell.run on git push" in page
            (question,) = await Questions.pending(node["questions"])
            answer = await visit.post(f"/questions/{question.id}/answer", option="always", text="git push *")
            assert "Answered #1: always" in answer.text
            assert isinstance(await call, Done)
            assert isinstance(await push(node, garden, "2"), Done)
            page = (await visit.get("/grants/scout")).text
            assert "shell.run on git push *" in page and "files.write is granted without a scope" in page
            assert "scout" in (await visit.get("/grants")).text
            (approval,) = await terminal.json("approvals")
            gone = await visit.post(f"/grants/approvals/{approval['id']}/revoke")
            assert "It is asked for again." in gone.text
            assert (await visit.get("/grants/nobody")).status_code == 404
        assert await terminal.json("approvals", "list") == []
        again = await terminal.run("approvals", "revoke", approval["id"])
        assert again.exit_code == 6 and "there is no approval" in again.stderr
        call = push(node, garden, "3")
        await until_asked(node, 2)
        await terminal.run("questions", "answer", "2", "no")
        assert isinstance(await call, Denied)


async def test_a_second_factor_from_enrolment_to_use(tmp_path: Path) -> None:
    async with whole_node(tmp_path) as node:
        garden = tmp_path / "garden"
        terminal = Terminal(garden)
        assert not (await terminal.json("totp", "status"))["enrolled"]
        made = await terminal.json("totp", "enroll")
        totp = TOTP(made["secret"])
        wrong = await terminal.run("totp", "confirm", "12345")
        assert wrong.exit_code == 6 and "six digits" in wrong.stderr
        now = int(node.clock.wall())
        assert (await terminal.json("totp", "confirm", totp.at(now)))["enrolled"]
        call = push(node, garden, "1", **{"shell.run": {"second_factor": ["git *"]}})
        await until_asked(node, 1)
        bare = await terminal.run("questions", "answer", "1", "once")
        assert bare.exit_code == 6 and "needs a code of your authenticator" in bare.stderr
        spent = await terminal.run("questions", "answer", "1", "once", "--code", totp.at(now))
        assert spent.exit_code == 6 and "used already" in spent.stderr
        done = await terminal.run("questions", "answer", "1", "once", "--code", totp.at(now + 30))
        assert done.exit_code == 0, done.stderr
        assert isinstance(await call, Done)
        assert made["secret"].encode() not in (garden / ".planaria/journal.db").read_bytes()
