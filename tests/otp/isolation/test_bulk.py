"""Large buffers: they arrive whole, and move without copies where they can."""

import asyncio
import errno
import mmap
import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from planaria.otp import Limits, shared_buffer
from planaria.otp.isolation.bulk import (
    BYTES,
    HAS_MEMFD,
    OUT_OF_BAND_FROM,
    SHARED_FROM,
    VIEW,
    Piece,
    piece_of,
)
from planaria.otp.isolation.channel import MESSAGE, Channel, Frame
from tests.otp.isolation.residents import Desk, Point
from tests.otp.isolation.support import start

pytestmark = [pytest.mark.subprocess, pytest.mark.asyncio(loop_scope="module")]

SIZES = (10, OUT_OF_BAND_FROM + 1, SHARED_FROM + 1, 20 << 20)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
async def test_buffers_of_all_sizes_go_there_and_back(home, size, kind):
    desk = await start(home, Desk)
    data = (os.urandom(1009) * (size // 1009 + 1))[:size]
    sent: Any = memoryview(bytearray(data)) if kind is memoryview else kind(data)
    back = await Desk.echo(desk, sent)
    assert type(back) is kind
    assert back == data
    assert (await Desk.sum_up(desk, sent))[0] == kind.__name__


async def test_many_buffers_in_one_message_and_deep_inside(home):
    desk = await start(home, Desk)
    pieces = [bytes([n]) * (SHARED_FROM + n) for n in range(30)]
    value = {"deep": Point([{"er": pieces}], b"x" * SHARED_FROM)}  # type: ignore[arg-type]
    assert await Desk.echo(desk, value) == value


async def test_more_buffers_than_descriptors_follow_in_the_stream(home):
    desk = await start(home, Desk)
    too_many = [bytes(SHARED_FROM) for _ in range(100)]
    assert await Desk.echo(desk, too_many) == too_many


async def test_order_is_kept_around_a_buffer_that_is_copied_in_a_thread(home):
    desk = await start(home, Desk)
    big = bytes(30 << 20)
    for message in (1, big, 2, b"small", 3):
        home.send(desk, message)
    while len(seen := await Desk.everything.within(20)(desk)) < 5:
        pass
    assert [each if each != big else "big" for each in seen] == [1, "big", 2, b"small", 3]


@pytest.mark.skipif(not HAS_MEMFD, reason="no memfd here")
async def test_a_shared_buffer_is_the_same_memory_on_both_sides(home):
    desk = await start(home, Desk)
    whole = shared_buffer(8 << 20)
    whole[:5] = b"hello"
    piece = piece_of(whole, VIEW)
    assert piece.unshared() == 0  # nothing to copy
    back = await Desk.echo(desk, whole)
    whole[:5] = b"HELLO"
    assert bytes(back[:5]) == b"HELLO"
    assert isinstance(back.obj, mmap.mmap)


@pytest.mark.skipif(not HAS_MEMFD, reason="no memfd here")
async def test_what_was_sent_as_a_view_is_a_private_copy_that_can_be_written(home):
    desk = await start(home, Desk)
    mine = memoryview(bytearray(SHARED_FROM))
    back = await Desk.echo(desk, mine)
    back[0] = 7
    assert mine[0] == 0


@pytest.mark.skipif(not HAS_MEMFD, reason="no memfd here")
async def test_memory_that_may_shrink_is_not_mapped(unsealed):
    piece = Piece(VIEW, 4096, fd=os.dup(unsealed))
    with pytest.raises(ValueError, match="not sealed"):
        piece.load()
    with pytest.raises(ValueError, match="shorter"):
        Piece(BYTES, 8192, fd=os.dup(unsealed)).load()


@pytest.fixture
def unsealed() -> Iterator[int]:
    fd = os.memfd_create("test")
    os.ftruncate(fd, 4096)
    yield fd
    os.close(fd)


async def test_the_node_does_not_keep_the_megabytes_of_messages_it_remembers(home):
    desk = await start(home, Desk)
    assert len(await Desk.echo(desk, bytes(1 << 20))) == 1 << 20
    home.send(desk, b"y" * (1 << 20))
    await Desk.add(desk)
    _, consumed = home.messages(desk)
    texts = [view.text for view in consumed[-3:]]
    assert texts == ["'echo(<bytes 1048576>)'", "'<bytes 1048576>'", "add()"]
    assert all(not isinstance(envelope[1], bytes) or len(envelope[1]) < 100 for envelope in home.recent)


async def test_a_worker_lets_go_of_what_it_has_handled(home):
    desk = await start(home, Desk, limits=Limits(memory="200 MB"))
    for _ in range(5):
        assert len(await Desk.echo(desk, bytes(40_000_000))) == 40_000_000


async def test_descriptors_are_given_back(home):
    desk = await start(home, Desk)
    await Desk.echo(desk, bytes(SHARED_FROM))
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(40):
        await Desk.echo(desk, [bytes(SHARED_FROM), memoryview(bytearray(SHARED_FROM))])
    assert len(os.listdir("/proc/self/fd")) <= before + 12  # the pool may have forked meanwhile


async def test_without_shared_memory_pieces_go_in_the_stream(home, monkeypatch):
    def refuse(*_: object) -> int:
        raise OSError(24, "Too many open files")

    desk = await start(home, Desk)
    monkeypatch.setattr(os, "memfd_create", refuse)
    assert await Desk.sum_up(desk, bytes([1]) * (1 << 20)) == ("bytes", 16)


class Crowded(socket.socket):
    """The system has too many descriptors on their way, at first."""

    refused = 0

    def sendmsg(self, *args: Any) -> int:
        if self.refused < 2:
            self.refused += 1
            raise OSError(errno.ETOOMANYREFS, "Too many references")
        return super().sendmsg(*args)


async def test_a_crowded_system_delays_descriptors_and_loses_none():
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    crowded = Crowded(fileno=ours.detach())
    came: list[Frame] = []
    sender = Channel(crowded, loop, came.append, lambda error: None)
    receiver = Channel(theirs, loop, came.append, lambda error: None)
    for number in range(2):
        sender.send(MESSAGE, number, b"pickle", [piece_of(bytes(SHARED_FROM), BYTES)])
    while len(came) < 2:
        await asyncio.sleep(0)
    assert [frame.number for frame in came] == [0, 1]
    assert crowded.refused == 2
    sender.close()
    receiver.close()
