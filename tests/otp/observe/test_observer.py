"""The observer answers from a thread of its own: over a real socket, also while the loop is stuck."""

import asyncio
import os
import socket
import stat
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from planaria.otp import GenServer, Node, call, cast, child, receive, supervisor
from planaria.otp.observe.client import Asked, ObserverClient
from planaria.otp.observe.dump import NoStacks, read_stacks
from planaria.otp.observe.observer import Observer
from planaria.otp.observe.watchdog import Watchdog


class Busy(GenServer):
    def init(self) -> None:
        self.count = 0
        self.password = "correct horse"
        self.release = threading.Event()
        self.stuck = threading.Event()

    @call
    def add(self, by: int = 1) -> int:
        self.count += by
        return self.count

    @cast
    def hang(self) -> None:
        self.stuck.set()
        self.release.wait()

    @cast
    def spin(self) -> None:
        self.stuck.set()
        while not self.release.is_set():
            pass

    @call
    async def fetch(self, address: str) -> None:
        token = "not for your eyes"
        tries = 3
        await asyncio.Event().wait()
        del token, tries

    @cast
    def crash(self) -> None:
        raise ValueError("boom")


class Far(GenServer):
    def init(self) -> None:
        self.count = 0
        self.password = "correct horse"

    @call
    def add(self) -> None:
        self.count += 1


class Nasty:
    def __repr__(self) -> str:
        raise RuntimeError("no")


class Slow:
    def __repr__(self) -> str:
        threading.Event().wait()
        return ""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "private" / "observe.sock"


@pytest.fixture
async def node(path):
    async with Node("seen") as node:
        with Watchdog(node, warn=0.02, limit=None) as watchdog, Observer(node, path, watchdog=watchdog):
            yield node


async def start(node: Node):
    await node.start(supervisor(child(Busy, name="busy"), name="root"))
    return node["busy"]


async def asked[T](path: Path, work: Callable[[ObserverClient], T]) -> T:
    """Ask from another thread, as clients do."""

    def ask() -> T:
        with ObserverClient(path) as client:
            return work(client)

    return await asyncio.to_thread(ask)


async def test_the_socket_is_for_its_owner_alone(node, path):
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(path.parent).st_mode) == 0o700


async def test_a_folder_that_others_can_enter_is_refused(tmp_path):
    folder = tmp_path / "open"
    folder.mkdir(mode=0o755)
    async with Node("seen") as node:
        with pytest.raises(PermissionError, match="0700"):
            Observer(node, folder / "observe.sock").start()


async def test_another_user_is_turned_away(node, path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises((ConnectionError, TimeoutError)):
        await asked(path, lambda client: client.ask("node", within=2.0))


async def test_nothing_is_left_behind(tmp_path):
    path = tmp_path / "private" / "observe.sock"
    async with Node("seen") as node:
        with Observer(node, path):
            pass
    assert list(path.parent.iterdir()) == []


async def test_figures_of_the_node(node, path):
    await start(node)
    view = await asked(path, lambda client: client.ask("node"))
    assert (view["name"], view["processes"], view["os_pid"]) == ("seen", 2, os.getpid())
    assert view["loop_lag"] >= 0
    assert view["watchdog"] == {"warn": 0.02, "limit": None, "watching": True}


async def test_processes_tree_and_patterns(node, path):
    pid = await start(node)
    rows = await asked(path, lambda client: client.ask("processes"))
    assert [row["name"] for row in rows] == ["root", "busy"]
    for pattern in ("b?sy", "Busy", str(pid)):
        (row,) = await asked(path, partial(ObserverClient.ask, method="processes", pattern=pattern))
        assert row["pid"] == str(pid)
    (tree,) = await asked(path, lambda client: client.ask("tree"))
    assert [each["name"] for each in tree["children"]] == ["busy"]


async def test_one_process_with_state_messages_links_and_no_secrets(node, path):
    pid = await start(node)
    await node.run(Busy.add, "busy", 5)
    info = await asked(path, lambda client: client.ask("info", process="busy"))
    assert info["pid"] == str(pid)
    assert info["state"]["count"] == "5"
    assert info["state"]["password"] == "[secret]"
    assert [each["text"] for each in info["consumed"]] == ["add(5)", "init()"]
    assert info["links"] == [info["parent"]]
    assert info["waits_for"] == "a message"
    assert info["memory"]["bytes"] > 0


async def test_the_chain_of_awaits_has_file_line_and_variables(node, path):
    await start(node)

    async def caller() -> None:
        address = "http://example"
        await Busy.fetch("busy", address)

    asking = node.spawn(caller)
    await node.settle()
    info = await asked(path, lambda client: client.ask("info", process="busy"))
    frame = next(each for each in info["awaits"] if each["function"] == "Busy.fetch")
    assert frame["file"] == __file__
    assert frame["source"] == "await asyncio.Event().wait()"
    assert frame["locals"] == {"address": "'http://example'", "token": "[secret]", "tries": "3"}
    assert info["current"]["text"] == "fetch('http://example')"
    waiting = await asked(path, lambda client: client.ask("info", process=str(asking)))
    assert waiting["waits_for"].startswith("the answer to fetch from busy")
    assert waiting["awaits"][0]["locals"] == {"address": "'http://example'"}


@pytest.mark.parametrize(("how", "name"), [(Busy.hang, "hang"), (Busy.spin, "spin")])
async def test_it_answers_while_a_process_is_stuck(node, path, how, name):
    pid = await start(node)
    server: Any = pid.body
    seen: dict[str, Any] = {}

    def look() -> None:
        server.stuck.wait(10)
        try:
            with ObserverClient(path) as client:
                until = time.monotonic() + 10
                while (view := client.ask("node"))["stall"] is None and time.monotonic() < until:
                    pass
                seen["node"] = view
                seen["info"] = client.ask("info", process="busy")
        finally:
            server.release.set()

    looking = asyncio.to_thread(look)
    task = asyncio.ensure_future(looking)
    await asyncio.sleep(0)
    how(pid)
    await task
    assert seen["node"]["loop_lag"] is None
    assert seen["node"]["running"] == f"busy {pid}"
    assert seen["node"]["stall"]["who"] == f"busy {pid!r}"
    assert seen["info"]["status"] == "running"
    assert seen["info"]["current"]["text"] == f"{name}()"
    assert f"Busy.{name}" in [line["function"] for line in seen["info"]["executing"]]


async def test_reasons_of_restarts_are_kept_for_the_one_that_came_after(node, path):
    await start(node)
    await node.run(_crash_it)
    await node.settle()
    info = await asked(path, lambda client: client.ask("info", process="busy"))
    assert info["restarts"] == 1
    (reason,) = info["restart_reasons"]
    assert reason["text"] == "ValueError: boom"
    assert reason["where"].startswith(__file__)


async def _crash_it() -> None:
    Busy.crash("busy")


@pytest.mark.parametrize("value", [Nasty(), Slow()])
async def test_no_code_of_a_shown_value_is_run(node, path, value):
    async def holder(held: object) -> None:
        await receive()

    pid = node.spawn(holder, value)
    await node.settle()
    info = await asked(path, lambda client: client.ask("info", process=str(pid)))
    assert info["state"]["held"] == f"{type(value).__name__}()"


async def test_huge_values_are_cut(node, path):
    pid = await start(node)
    server: Any = pid.body
    server.rows = [list(range(1000)) for _ in range(1000)]
    server.text = "x" * 1_000_000
    info = await asked(path, lambda client: client.ask("info", process="busy"))
    assert len(info["state"]["rows"]) <= 2000
    assert len(info["state"]["text"]) <= 2000


async def test_bad_requests_are_told_what_is_wrong(node, path):
    def ask(client: ObserverClient) -> list[str]:
        codes = []
        for method in ("nonsense", "info"):
            with pytest.raises(Asked) as refusal:
                client.ask(method, process="nobody")
            codes.append(refusal.value.code)
        return codes

    assert await asked(path, ask) == ["unknown_method", "not_found"]

    def not_json() -> bytes:
        with socket.socket(socket.AF_UNIX) as raw:
            raw.connect(str(path))
            raw.sendall(b"hello\n")
            return raw.recv(1000)

    assert b"bad_request" in await asyncio.to_thread(not_json)


async def test_kill_and_commands_go_through_the_loop(path):
    async def where(node: Node, params: dict[str, Any]) -> object:
        return str(node.whereis(params["name"]))

    async with Node("seen") as node:
        with Observer(node, path, commands={"where": where}):
            pid = await start(node)
            assert await asked(path, lambda client: client.ask("where", name="busy")) == str(pid)
            assert await asked(path, lambda client: client.ask("kill", process="busy")) == {
                "killed": str(pid)
            }
            assert not pid.alive


async def test_a_program_that_answers_nobody_still_tells_its_stacks(node, path):
    text = await asyncio.to_thread(read_stacks, f"{path}.stacks")
    assert "most recent call first" in text
    assert "test_observer.py" in text or "selectors.py" in text


def test_stacks_of_a_program_that_is_gone_are_refused(tmp_path):
    path = tmp_path / "left.stacks"
    path.write_text("4194304 42\n")
    with pytest.raises(NoStacks, match="has ended"):
        read_stacks(str(path))


@pytest.mark.subprocess
async def test_what_a_worker_does_is_told_without_its_secrets(node, path):
    await node.start(supervisor(child(Far, name="far", isolation="worker"), name="root"))
    await node.run(Far.add, "far")
    info = await asked(path, lambda client: client.ask("info", process="far"))
    assert info["worker"]["os_pid"] != os.getpid()
    assert info["worker"]["state"] == {"count": "1", "password": "[secret]"}


# --- the prompt ---------------------------------------------------------------------------------------------------


def evaluate(client: ObserverClient, source: str) -> tuple[str, bool]:
    """What an input printed, and whether it went well."""
    number = client.send("eval", source=source)
    output = ""
    while True:
        reply = client.read(10.0)
        if reply["id"] == number and "event" in reply:
            output += reply["event"]["output"]
        elif reply["id"] == number:
            return output, reply["result"]["ok"]


@pytest.mark.parametrize(
    ("source", "output"),
    [
        ("1 + 1", "2\n"),
        ("x = 3\nx * 2", "6\n"),
        ("print('to me')", "to me\n"),
        ("whereis('nobody')", ""),
        ("import asyncio; await asyncio.sleep(0, 'slept')", "'slept'\n"),
        ("def double(n):\n    return 2 * n\ndouble(4)", "8\n"),
        ("state('busy')['count']", "0\n"),
        ("info('busy').kind", "'Busy'\n"),
    ],
)
async def test_the_prompt_evaluates_in_the_node(node, path, source, output):
    await start(node)
    assert await asked(path, lambda client: evaluate(client, source)) == (output, True)


async def test_errors_are_shown_and_hurt_nobody(node, path):
    pid = await start(node)

    def work(client: ObserverClient) -> list[tuple[str, bool]]:
        return [evaluate(client, source) for source in ("1/0", "def", "raise SystemExit", "6 * 7")]

    division, syntax, leaving, after = await asked(path, work)
    assert "ZeroDivisionError" in division[0] and not division[1]
    assert "SyntaxError" in syntax[0] and not syntax[1]
    assert leaving == ("", True)
    assert after == ("42\n", True)
    assert pid.alive


async def test_names_last_as_long_as_the_connection_and_complete(node, path):
    def work(client: ObserverClient) -> list[Any]:
        return [
            evaluate(client, "number = 12"),
            evaluate(client, "number"),
            client.ask("complete", text="numb"),
        ]

    assert await asked(path, work) == [("", True), ("12\n", True), ["number"]]


@pytest.mark.parametrize(
    "source",
    ["import asyncio; print('begun'); await asyncio.sleep(1000)", "print('begun')\nwhile True: pass"],
)
async def test_an_interrupt_ends_what_is_evaluated(node, path, source):
    def work(client: ObserverClient) -> str:
        number = client.send("eval", source=source)
        output = ""
        while True:
            if output == "begun\n":
                client.send("interrupt")
            reply = client.read(10.0)
            if reply["id"] == number and "result" in reply:
                return output
            output += reply.get("event", {}).get("output", "")

    assert "ended: " in await asked(path, work)


async def test_what_an_input_prints_without_end_does_not_swallow_its_answer(node, path, monkeypatch):
    monkeypatch.setattr("planaria.otp.observe.outbox.MOST_BYTES", 10_000)

    def work(client: ObserverClient) -> tuple[dict[str, Any], int]:
        number = client.send("eval", source="for number in range(50_000): print(number)")
        count = 0
        while "event" in (reply := client.read(30.0)):
            assert reply["id"] == number
            count += 1 + reply.get("dropped", 0)
        return reply, count + reply.get("dropped", 0)

    reply, count = await asked(path, work)
    assert reply["result"] == {"ok": True}
    assert count == 50_000 * 2  # a line, and its end


async def test_huge_output_is_cut(node, path):
    for source in ("print('x' * 10**7)", "'x' * 10**7", "raise ValueError('x' * 10**7)"):
        output, _ = await asked(path, partial(evaluate, source=source))
        assert len(output) < 200_000
        assert "characters" in output


async def test_an_input_is_refused_while_the_one_before_still_runs(node, path):
    def work(client: ObserverClient) -> str:
        client.send("eval", source="import asyncio; await asyncio.sleep(1000)")
        return evaluate(client, "1")[0]

    assert "still runs" in await asked(path, work)


async def test_an_input_that_waits_for_a_stuck_loop_can_be_taken_back(node, path):
    await start(node)
    server = node.state(node["busy"])

    def work(client: ObserverClient) -> str:
        server["stuck"].wait()
        client.send("eval", source="print('ran')")
        assert client.ask("interrupt") == {"interrupted": True}
        server["release"].set()
        while "event" not in (reply := client.read(10.0)):
            pass
        return str(reply["event"]["output"])

    answer = asyncio.create_task(asked(path, work))
    await asyncio.sleep(0)
    Busy.hang(node["busy"])
    assert "interrupted before it began" in await answer


@pytest.mark.parametrize("source", ["input()", "breakpoint()", "help()"])
async def test_what_needs_a_terminal_is_refused(node, path, source):
    output, well = await asked(path, partial(evaluate, source=source))
    assert "there is no terminal" in output
    assert not well


async def test_exit_leaves_the_prompt_and_the_standard_input_of_the_node_open(node, path, monkeypatch):
    with open(os.devnull) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)

        def work(client: ObserverClient) -> Any:
            return client.ask("eval", source="exit()")

        assert await asked(path, work) == {"ok": True, "left": True}
        assert not stdin.closed


async def test_others_find_standard_output_as_ever_while_an_input_runs(node, path):
    source = "import sys; (sys.stdout.encoding, sys.stdout.errors, sys.stdout.writable())"
    expected = f"{(sys.stdout.encoding, sys.stdout.errors, True)}\n"
    assert await asked(path, partial(evaluate, source=source)) == (expected, True)


# --- bad company --------------------------------------------------------------------------------------------------


async def test_labels_that_no_encoding_can_write_are_told(node, path):
    pid = node.spawn(asyncio.sleep, 1000)
    pid.label = "\udc80"
    rows = await asked(path, lambda client: client.ask("processes"))
    assert [row["label"] for row in rows] == ["\udc80"]


async def test_a_line_without_end_ends_the_connection(node, path, monkeypatch):
    monkeypatch.setattr("planaria.otp.observe.observer.LONGEST_LINE", 1000)

    def work() -> bytes:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(10.0)
            client.connect(str(path))
            client.sendall(b"x" * 1000)
            found = b""
            while chunk := client.recv(1000):
                found += chunk
            return found

    assert b"too_long" in await asyncio.to_thread(work)


async def test_one_connection_too_many_is_told_so(node, path, monkeypatch):
    monkeypatch.setattr("planaria.otp.observe.observer.MOST_CONNECTIONS", 1)

    def work(first: ObserverClient) -> None:
        first.ask("node")
        with ObserverClient(path) as second, pytest.raises(Asked, match="others are connected"):
            second.ask("node")
        first.ask("node")

    await asked(path, work)


async def test_a_node_does_not_take_the_place_of_another(node, path):
    async with Node("other") as other:
        with pytest.raises(OSError, match="another program observes there"):
            Observer(other, path).start()
    assert (await asked(path, lambda client: client.ask("node")))["name"] == "seen"


async def test_each_input_is_told_to_the_audit_before_it_runs(path):
    heard: list[str] = []
    async with Node("seen") as node:
        with Observer(node, path, audit=heard.append):
            await asked(path, lambda client: evaluate(client, "1/0"))
    assert heard == ["1/0"]


async def test_standard_output_is_put_back(node, path):
    before = sys.stdout
    await asked(path, lambda client: evaluate(client, "print(1)"))
    await node.settle()
    assert sys.stdout is before
