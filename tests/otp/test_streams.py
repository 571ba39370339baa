"""Local sockets served by processes, over real sockets."""

import asyncio
import contextlib
import gc
import os
import socket
import stat

import pytest

from planaria.otp import Node, exit_signal, supervisor, task_child
from planaria.otp.io.streams import Stream, open_unix, serve_unix


async def echo(stream: Stream) -> None:
    """Says every line again; crashes when told to."""
    while line := await stream.read_line():
        if line == b"crash\n":
            raise ZeroDivisionError
        stream.write(line)


class Served:
    """A node that echoes on a socket."""

    def __init__(self, node: Node, path: str) -> None:
        self.node = node
        self.path = path
        self.streams: list[Stream] = []

    async def connect(self) -> Stream:
        self.streams.append(await open_unix(self.path, within=10))
        return self.streams[-1]

    async def says(self, stream: Stream, line: bytes) -> bytes:
        stream.write(line)
        return await stream.read_line(within=10)

    def server(self):
        return next(pid for pid in self.node.processes() if pid.label == "echo server")


@pytest.fixture
async def served(tmp_path):
    path = str(tmp_path / "echo.sock")
    async with Node("n") as node:
        spec = task_child(serve_unix, path, echo, label="echo server")
        await node.start(supervisor(spec, name="root", max_restarts=10))
        await node.settle()
        run = Served(node, path)
        yield run
        for stream in run.streams:
            stream.abort()
        await node.settle()


async def test_each_connection_is_served_by_a_process_of_its_own(served):
    one, two = await served.connect(), await served.connect()
    assert await served.says(two, b"b\n") == b"b\n"
    assert await served.says(one, b"a\n") == b"a\n"
    assert sum(pid.label == "connection" for pid in served.node.processes()) == 2


async def test_a_connection_that_crashes_hurts_no_other(served):
    one, two = await served.connect(), await served.connect()
    server = served.server()
    assert await served.says(one, b"crash\n") == b""
    assert await served.says(two, b"still here\n") == b"still here\n"
    assert served.server() is server


async def test_its_process_ends_with_the_connection(served):
    stream = await served.connect()
    await served.says(stream, b"a\n")
    (pid,) = [pid for pid in served.node.processes() if pid.label == "connection"]
    stream.close()
    assert await served.node.wait_exit(pid) == "normal"


async def test_connections_end_with_the_server_however_it_ends(served):
    for reason in ("kill", "shutdown", "broken"):
        stream = await served.connect()
        await served.says(stream, b"a\n")
        server = served.server()

        async def end(reason=reason, server=server):
            exit_signal(server, reason)

        await served.node.run(end)
        assert await stream.read(within=10) == b""
        await served.node.settle()
        assert served.server() is not server


async def test_only_the_owner_may_connect_and_the_socket_goes_with_the_server(tmp_path):
    path = tmp_path / "echo.sock"
    async with Node("n") as node:
        await node.start(supervisor(task_child(serve_unix, str(path), echo), name="root"))
        await node.settle()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not path.exists()


async def test_a_socket_left_behind_is_replaced_and_a_file_is_not(tmp_path):
    left = tmp_path / "left.sock"
    old = socket.socket(socket.AF_UNIX)
    old.bind(str(left))
    old.close()
    (tmp_path / "file").write_text("precious")
    async with Node("n") as node:
        server = node.spawn(serve_unix, str(left), echo)
        refused = node.spawn(serve_unix, str(tmp_path / "file"), echo)
        reason = await node.wait_exit(refused)
        assert str(tmp_path / "file") in str(reason)
        await node.settle()
        stream = await open_unix(left, within=10)
        stream.write(b"a\n")
        assert await stream.read_line(within=10) == b"a\n"
        stream.abort()
        assert server.alive
    assert (tmp_path / "file").read_text() == "precious"


async def test_a_socket_of_somebody_else_is_left_alone_at_the_end(tmp_path):
    path = tmp_path / "echo.sock"
    async with Node("n") as node:
        node.spawn(serve_unix, str(path), echo)
        await node.settle()
        os.unlink(path)
        other = socket.socket(socket.AF_UNIX)
        other.bind(str(path))
    assert path.exists()
    other.close()


async def test_one_connection_too_many_is_closed_at_once(tmp_path):
    path = str(tmp_path / "echo.sock")
    async with Node("n") as node:
        node.spawn(lambda: serve_unix(path, echo, most=1))
        await node.settle()
        first, second = await open_unix(path, within=10), await open_unix(path, within=10)
        assert await second.read(within=10) == b""
        first.write(b"a\n")
        assert await first.read_line(within=10) == b"a\n"
        first.abort()
        second.abort()
        await node.settle()


async def test_nobody_listening_is_an_error_at_once(tmp_path):
    with pytest.raises(FileNotFoundError):
        await open_unix(tmp_path / "nobody.sock", within=10)


@pytest.mark.parametrize("turns", range(8))
async def test_a_connection_taken_while_its_server_is_killed_is_closed(tmp_path, turns):
    path = tmp_path / "s.sock"

    async def end() -> None:
        exit_signal(server, "kill")

    gc.disable()  # a collection would close what was lost
    try:
        async with Node("n") as node:
            server = node.spawn(serve_unix, path, echo)
            await node.settle()
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
                client.connect(str(path))
                for _ in range(turns):
                    await asyncio.sleep(0)
                node.spawn(end)
                client.setblocking(False)
                with contextlib.suppress(ConnectionError):
                    assert await asyncio.wait_for(asyncio.get_running_loop().sock_recv(client, 1), 5.0) == b""
    finally:
        gc.enable()


async def test_what_is_written_after_the_other_side_is_gone_is_dropped_without_a_word(tmp_path, caplog):
    """A program that is killed leaves its connection; a burst for it comes before the end is told."""
    other = socket.socket(socket.AF_UNIX)
    other.bind(str(tmp_path / "s.sock"))
    other.listen()
    stream = await open_unix(str(tmp_path / "s.sock"), within=10)
    other.accept()[0].close()
    for _ in range(20):
        stream.write(b"news\n")
    other.close()

    async def read_to_the_end() -> None:
        while True:
            await stream.read()

    with pytest.raises(OSError, match=r"(?i)broken pipe"):
        await read_to_the_end()
    assert caplog.messages == []
