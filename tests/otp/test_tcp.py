import asyncio
import socket
import struct

import pytest

from planaria.otp.io.tcp import HIGH_WATER, open_tcp


class Peer:
    """The other end: a server that hands its one connection to the test."""

    def __init__(self):
        self.connected = asyncio.get_running_loop().create_future()

    async def __aenter__(self):
        self.server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.stream = await open_tcp("127.0.0.1", self.server.sockets[0].getsockname()[1], within=5.0)
        self.reader, self.writer = await self.connected
        return self

    def _accept(self, reader, writer):
        self.connected.set_result((reader, writer))

    async def __aexit__(self, *exc):
        self.stream.abort()
        self.writer.close()
        await asyncio.gather(self.writer.wait_closed(), return_exceptions=True)
        self.server.close()
        await self.server.wait_closed()


@pytest.fixture
async def peer():
    async with Peer() as peer:
        yield peer


async def test_bytes_come_as_they_were_sent_and_end_with_nothing(peer):
    peer.writer.write(b"hello")
    assert await peer.stream.read() == b"hello"
    peer.writer.write_eof()
    assert await peer.stream.read() == b""
    assert await peer.stream.read() == b""
    assert peer.stream.closed


async def test_a_read_gives_no_more_than_asked(peer):
    peer.writer.write(b"hello")
    assert await peer.stream.read(2) == b"he"
    assert await peer.stream.read(2) == b"ll"
    assert await peer.stream.read(2) == b"o"


async def test_lines_are_cut_at_newlines(peer):
    peer.writer.write(b"one\ntwo\nthr")
    assert await peer.stream.read_line() == b"one\n"
    assert await peer.stream.read_line() == b"two\n"
    peer.writer.write(b"ee\nrest")
    assert await peer.stream.read_line() == b"three\n"
    peer.writer.write_eof()
    assert await peer.stream.read_line() == b"rest"
    assert await peer.stream.read_line() == b""


async def test_a_line_without_end_is_refused(peer):
    peer.writer.write(b"x" * 2000)
    with pytest.raises(ValueError, match="1000"):
        await peer.stream.read_line(limit=1000)


async def test_silence_times_out_and_the_stream_lives_on(peer):
    with pytest.raises(TimeoutError):
        await peer.stream.read(within=0.01)
    peer.writer.write(b"late")
    assert await peer.stream.read(within=5.0) == b"late"


async def test_a_shorter_deadline_counts_after_a_longer_one(peer):
    peer.writer.write(b"x")
    await peer.stream.read(within=60.0)
    with pytest.raises(TimeoutError):
        await peer.stream.read(within=0.01)


async def test_a_resting_stream_closes_itself_unless_it_is_read(peer):
    peer.stream.rest(0.01)
    assert await peer.reader.read() == b""
    assert peer.stream.closed


async def test_a_stream_taken_up_again_does_not_close(peer):
    peer.stream.rest(0.01)
    peer.writer.write(b"x")
    assert await peer.stream.read(within=5.0) == b"x"
    with pytest.raises(TimeoutError):
        await peer.stream.read(within=0.02)
    assert not peer.stream.closed


async def test_a_reader_that_does_not_read_slows_the_sender(peer):
    total = HIGH_WATER * 40
    peer.writer.write(b"x" * total)
    first = len(await peer.stream.read())
    assert peer.stream._held <= HIGH_WATER * 2
    while first < total:
        first += len(await peer.stream.read())
    assert first == total


async def test_what_was_written_arrives_before_close(peer):
    peer.stream.write(b"last words")
    await peer.stream.drain(5.0)
    peer.stream.close()
    assert await peer.reader.read() == b"last words"


async def test_a_reset_is_an_error_not_an_end(peer):
    peer.writer.get_extra_info("socket").setsockopt(
        socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
    )
    peer.writer.transport.abort()
    with pytest.raises(ConnectionResetError):
        await peer.stream.read(within=5.0)


async def test_two_readers_at_once_are_refused(peer):
    first = asyncio.create_task(peer.stream.read())
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="another reader"):
        await peer.stream.read()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_nobody_listening_is_an_oserror():
    server = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    with pytest.raises(OSError, match=r"."):
        await open_tcp("127.0.0.1", port, within=5.0)
