"""The control socket, over real sockets."""

import json
import os
import stat
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from planaria.config.settings import Settings
from planaria.cortex.redact import Redactor
from planaria.nerve.control import MOST_REQUESTS, serve_control
from planaria.nerve.methods import METHODS, Method, Services
from planaria.nerve.methods.method import Nothing
from planaria.nerve.protocol import LONGEST_LINE, ControlError, socket_path
from planaria.nerve.web.dashboard import Dashboard
from planaria.otp import (
    DynamicSupervisor,
    GenServer,
    Node,
    call,
    child,
    dynamic,
    exit_signal,
    supervisor,
    task_child,
)
from planaria.otp.io.streams import open_unix


class Counter(GenServer):
    def init(self, start: int = 0) -> None:
        self.count = start
        self.api_key = "sesame-sesame"

    @call
    def add(self, by: int = 1) -> int:
        self.count += by
        return self.count


class Client:
    """One connection."""

    def __init__(self, stream) -> None:
        self.stream = stream

    def send(self, method, id=1, **params) -> None:
        self.stream.write(json.dumps({"id": id, "method": method, "params": params}).encode() + b"\n")

    async def line(self):
        return json.loads(await self.stream.read_line(1 << 24, within=10))

    async def ask(self, method, **params):
        self.send(method, **params)
        return await self.line()


class Running:
    """A node that serves the control socket of a garden."""

    def __init__(self, node: Node, garden: Path) -> None:
        self.node = node
        self.garden = garden
        self.stopped = 0
        self.clients: list[Client] = []

    def stop(self) -> None:
        self.stopped += 1

    async def connect(self) -> Client:
        self.clients.append(Client(await open_unix(socket_path(self.garden), within=10)))
        return self.clients[-1]


@asynccontextmanager
async def running(garden, login_link=None):
    async with Node("garden") as node:
        run = Running(node, garden)
        services = Services(
            garden=garden,
            settings=Settings(),
            stop=run.stop,
            redactor=Redactor({"MY_TOKEN": "sesame-sesame"}),
            login_link=login_link,
        )
        await node.start(
            supervisor(
                child(Counter, 5, name="counter"),
                dynamic(name="crowd"),
                task_child(serve_control, services, label="control"),
                name="root",
            )
        )
        await node.settle()
        yield run
        for client in run.clients:
            client.stream.abort()
        await node.settle()


@pytest.fixture
async def run(tmp_path):
    async with running(tmp_path) as started:
        yield started


@pytest.fixture
async def client(run):
    return await run.connect()


@pytest.fixture
def extra_method(monkeypatch):
    """Adds a method to the table."""

    def add(name, function, params=Nothing) -> None:
        monkeypatch.setitem(METHODS, name, Method(params, function))

    return add


# --- the socket ----------------------------------------------------------------------------------------------------


async def test_only_the_owner_can_open_the_socket(run, tmp_path):
    path = socket_path(tmp_path)
    assert stat.S_ISSOCK(path.stat().st_mode)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


async def test_the_socket_is_gone_after_the_node(tmp_path):
    async with running(tmp_path):
        assert socket_path(tmp_path).exists()
    assert not socket_path(tmp_path).exists()


async def test_a_socket_left_by_a_killed_node_is_replaced(tmp_path):
    async with running(tmp_path):
        os.link(socket_path(tmp_path), tmp_path / "kept")
    os.rename(tmp_path / "kept", socket_path(tmp_path))
    async with running(tmp_path) as run:
        assert "result" in await (await run.connect()).ask("tree")


async def test_a_path_too_long_for_a_socket_is_served_from_a_short_private_folder(tmp_path):
    garden = tmp_path / ("long" * 25) / ("longer" * 20)
    garden.mkdir(parents=True)
    async with running(garden) as run:
        path = socket_path(garden)
        assert len(os.fsencode(path)) <= 103
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert "result" in await (await run.connect()).ask("tree")
    assert not path.parent.exists()
    assert not (garden / ".planaria" / "control.path").exists()


async def test_the_server_lives_again_after_it_was_killed(run):
    first = await run.connect()
    (control,) = [pid for pid in run.node.processes() if pid.label == "control"]

    async def kill():
        exit_signal(control, "kill")

    await run.node.run(kill)
    await run.node.settle()
    assert await first.stream.read(within=10) == b""
    assert "result" in await (await run.connect()).ask("tree")


# --- requests ------------------------------------------------------------------------------------------------------


async def test_status_tells_name_and_figures(client, tmp_path):
    result = (await client.ask("status"))["result"]
    assert result["name"] == "garden"
    assert result["garden"] == str(tmp_path)
    assert result["pid"] == os.getpid()
    assert result["processes"] >= 4
    assert result["problems"] is None  # no library runs here


async def test_status_answers_without_a_link_while_the_dashboard_is_down(tmp_path):
    async with running(tmp_path, partial(Dashboard.login_link, "dashboard")) as run:
        result = (await (await run.connect()).ask("status"))["result"]
    assert result["name"] == "garden"
    assert result["login_url"] == ""


async def test_the_tree_is_the_supervision_tree(client):
    (root, *_) = (await client.ask("tree"))["result"]
    assert root["name"] == "root"
    assert [branch["label"] for branch in root["children"]] == ["counter", "crowd", "control"]


async def test_a_process_is_found_by_name_by_pid_and_by_bare_id(client):
    by_name = (await client.ask("inspect", process="counter"))["result"]
    assert (await client.ask("inspect", process=by_name["pid"]))["result"]["name"] == "counter"
    bare = by_name["pid"].strip("<>").split(".")[1]
    assert (await client.ask("inspect", process=bare))["result"]["name"] == "counter"


async def test_inspecting_shows_the_state_with_secrets_masked(client):
    view = (await client.ask("inspect", process="counter"))["result"]
    assert {"name": "count", "value": "5"} in view["state"]
    assert "sesame" not in json.dumps(view)


async def test_an_unknown_process_is_answered_with_the_nearest_name(client):
    error = (await client.ask("inspect", process="countre"))["error"]
    assert error["code"] == "not_found"
    assert "'counter'" in error["mend"]


async def test_a_killed_process_is_replaced_by_its_supervisor(client, run):
    before = run.node["counter"]
    result = (await client.ask("process.kill", process="counter"))["result"]
    assert str(before) in result["process"]
    await run.node.settle()
    assert run.node["counter"] is not before


async def test_a_restart_gives_a_new_process_under_the_same_name(client, run):
    before = run.node["counter"]
    result = (await client.ask("process.restart", process="counter"))["result"]
    assert result["successor"] == str(run.node["counter"])
    assert run.node["counter"] is not before


async def test_a_process_nobody_can_start_anew_is_not_ended(client, run):
    pid = await run.node.run(DynamicSupervisor.start_child, "crowd", child(Counter, 1, name="one"))
    assert (await client.ask("process.restart", process="one"))["error"]["code"] == "refused"
    assert run.node.whereis("one") is pid


async def test_stop_asks_the_node_to_stop(client, run):
    assert (await client.ask("stop"))["result"] == {"stopping": True}
    assert run.stopped == 1


async def test_a_part_that_does_not_run_is_unavailable(client):
    error = (await client.ask("notes.search", query="worm"))["error"]
    assert error["code"] == "unavailable"
    assert "index" in error["message"]


async def test_the_doctor_names_missing_settings(client):
    findings = (await client.ask("doctor"))["result"]
    settings = next(finding for finding in findings if finding["what"] == "settings")
    assert settings["level"] == "error"
    assert settings["mend"]


# --- what clients do wrong -------------------------------------------------------------------------------------------


async def test_a_line_that_is_no_json_is_answered_and_the_connection_lives(client):
    client.stream.write(b"hello\n")
    reply = await client.line()
    assert reply["id"] is None
    assert reply["error"]["code"] == "bad_request"
    assert '"method"' in reply["error"]["mend"]
    assert "result" in await client.ask("tree")


@pytest.mark.parametrize(
    "line",
    [
        b"[]\n",
        b'{"id": 1}\n',
        b'{"id": [], "method": "tree"}\n',
        b"\xff\xfe\n",
        b'{"method": "tree", "x": 1}\n',
    ],
)
async def test_json_that_is_no_request_is_answered(client, line):
    client.stream.write(line)
    assert (await client.line())["error"]["code"] == "bad_request"
    assert "result" in await client.ask("tree")


async def test_empty_lines_mean_nothing(client):
    client.stream.write(b"\n\r\n")
    assert "result" in await client.ask("tree")


async def test_an_unknown_method_is_answered_with_the_nearest(client):
    error = (await client.ask("tre"))["error"]
    assert error["code"] == "unknown_method"
    assert error["mend"] == "did you mean 'tree'?"


async def test_a_wrong_parameter_is_named_with_those_there_are(client):
    error = (await client.ask("inspect", proces="counter"))["error"]
    assert error["code"] == "bad_request"
    assert "proces" in error["message"]
    assert error["mend"] == "parameters: process"


async def test_a_line_too_long_ends_the_connection_and_nothing_else(run):
    greedy, other = await run.connect(), await run.connect()
    greedy.stream.write(b"x" * (LONGEST_LINE + 100_000))
    assert (await greedy.line())["error"]["code"] == "too_long"
    with pytest.raises(OSError, match="reset"):  # what it still wanted to say was not read
        await greedy.stream.read(within=10)
    assert "result" in await other.ask("tree")


async def test_a_crash_answers_its_request_and_hurts_no_other(client, extra_method):
    async def broken(params, services, channel):
        raise ZeroDivisionError("sesame-sesame")

    extra_method("broken", broken)
    error = (await client.ask("broken"))["error"]
    assert error["code"] == "crashed"
    assert "ZeroDivisionError" in error["message"]
    assert "sesame" not in error["message"]
    assert "result" in await client.ask("tree")


async def test_a_result_that_is_not_for_the_wire_is_a_crash(client, extra_method):
    async def strange(params, services, channel):
        return object()

    extra_method("strange", strange)
    assert (await client.ask("strange"))["error"]["code"] == "crashed"


async def test_text_that_is_no_unicode_crashes_its_request_and_hurts_no_other(client, extra_method):
    async def strange(params, services, channel):
        return "notes/\udcff.md"

    extra_method("strange", strange)
    assert (await client.ask("strange"))["error"]["code"] == "crashed"
    assert "result" in await client.ask("tree")


async def test_a_foreseen_error_tells_the_mend(client, extra_method):
    async def refusing(params, services, channel):
        raise ControlError("refused", "not today", "come tomorrow")

    extra_method("refusing", refusing)
    error = (await client.ask("refusing"))["error"]
    assert error == {"code": "refused", "message": "not today", "mend": "come tomorrow"}


# --- several at once, streams -----------------------------------------------------------------------------------------


async def test_a_slow_request_holds_up_no_other(client, extra_method):
    extra_method("slow", _forever)
    client.send("slow", id=1)
    client.send("tree", id=2)
    assert (await client.line())["id"] == 2


async def test_a_stream_ends_with_its_cancellation(client, run, extra_method):
    async def counting(params, services, channel):
        for number in range(3):
            channel.send({"number": number})
        await _forever(params, services, channel)

    extra_method("counting", counting)
    client.send("counting", id="s")
    assert [await client.line() for _ in range(3)] == [{"id": "s", "event": {"number": n}} for n in range(3)]
    client.send("cancel", id=2, request="s")
    assert await client.line() == {"id": 2, "result": {"cancelled": True}}
    assert not any(info.label == "control counting" for info in map(run.node.info, run.node.processes()))


async def test_nothing_is_left_running_for_a_client_that_went_away(client, run, extra_method):
    extra_method("slow", _forever)
    client.send("slow", id=1)
    await client.ask("tree", id=2)
    client.stream.close()
    async with run.node.open_port():
        for pid in [pid for pid in run.node.processes() if pid.label.startswith("control ")]:
            await run.node.wait_exit(pid)
    labels = [pid.label for pid in run.node.processes()]
    assert not [label for label in labels if label.startswith("control ") or label == "connection"]


async def test_too_many_requests_at_once_are_refused(client, extra_method):
    extra_method("slow", _forever)
    for number in range(MOST_REQUESTS):
        client.send("slow", id=number)
    assert (await client.ask("tree", id="one more"))["error"]["code"] == "too_many"


async def test_an_id_in_use_is_refused_and_the_first_request_goes_on(client, extra_method):
    extra_method("slow", _forever)
    client.send("slow", id=7)
    assert (await client.ask("tree", id=7))["error"]["code"] == "bad_request"
    client.send("cancel", id=8, request=7)
    assert (await client.line())["result"] == {"cancelled": True}


async def _forever(params, services, channel):
    from planaria.otp import receive

    await receive(type(None))
