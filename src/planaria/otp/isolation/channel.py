"""One end of the stream between a node and a worker: frames, their pieces, and what waits to be written.

A frame is a header (`magic, operation, pieces, length of the pickle, number`), a table of its pieces, the pickle, and
the pieces that are not in shared memory. Writing never blocks the node: what the other side does not take waits here,
bounded by those who look at `waiting`; reading takes a bounded amount per turn of the event loop.
"""

from __future__ import annotations

import array
import asyncio
import contextlib
import errno
import select
import socket
import struct
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from planaria.otp.isolation.bulk import BYTEARRAY, MAX_PIECES, VIEW, Piece
from planaria.otp.isolation.errors import WorkerBroken

MAGIC = b"PLW1"
_HEADER = struct.Struct("<4sBxHQQ")
_ENTRY = struct.Struct("<QBB6x")
MAX_PICKLE = 2 << 30
"""Bytes of the longest pickle that is read; a longer one is garbage."""
MAX_DESCRIPTORS = 16
"""Descriptors sent beside one frame; the system allows 253, a worker may be allowed 32 in all."""
MAX_WAITING = 32
"""Descriptors waiting to be written from which senders should pause."""
_CROWDED = (errno.ETOOMANYREFS, errno.ENOBUFS, errno.ENOMEM)
"""The system can take no more just now; others must read first."""
_PAUSE = 0.01
HIGH = 1 << 20
"""Bytes waiting to be written from which senders should pause."""
_READ = 256 * 1024
_TURN = 4 * 1024 * 1024
"""Bytes read before the event loop has its turn."""
APART = 4 << 20
"""Bytes of pieces from which they are copied in a thread rather than in the event loop."""
_ANCILLARY = socket.CMSG_SPACE(MAX_DESCRIPTORS * array.array("i").itemsize)
_CLOEXEC = getattr(socket, "MSG_CMSG_CLOEXEC", 0)

MESSAGE, REPLY, FAIL, CONTROL = 1, 2, 3, 4
"""What a frame is: a message for a mailbox, the answer to a call, its failure, a word between the two ends."""


class Frame(NamedTuple):
    """One frame as it came."""

    operation: int
    number: int
    pickle: bytes
    pieces: list[Piece]


class _Chunk:
    __slots__ = ("data", "pieces")

    def __init__(self, data: memoryview, pieces: list[Piece]) -> None:
        self.data = data
        self.pieces = pieces  # whose descriptors go with the first byte


class Channel:
    """Sends and receives frames.

    Args:
        on_frame: called with each frame, in order, from the event loop.
        on_lost: called once, when the other side is gone (None) or sent garbage (the error).
        apart: whether large copies are made in a thread, so that the event loop goes on.
    """

    def __init__(
        self,
        sock: socket.socket,
        loop: asyncio.AbstractEventLoop,
        on_frame: Callable[[Frame], None],
        on_lost: Callable[[Exception | None], None],
        *,
        apart: bool = False,
    ) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.loop = loop
        self.on_frame = on_frame
        self.on_lost = on_lost
        self.apart = apart
        self.open = True
        self.waiting = 0
        self.descriptors = 0  # waiting too
        self._crowded = False
        self._out: deque[_Chunk] = deque()
        self._small = bytearray()  # frames of this turn that go out together
        self._planned = False
        self._blocked = False
        self._room: list[asyncio.Future[None]] = []
        self._in = bytearray()
        self._descriptors: deque[int] = deque()
        self._paused = False
        self._then: Callable[[], None] | None = None
        loop.add_reader(sock, self._readable)

    # --- writing --------------------------------------------------------------------------------------------

    def send(self, operation: int, number: int, data: bytes, pieces: list[Piece] = []) -> None:  # noqa: B006
        """Queue one frame; it is written at the end of this turn of the event loop."""
        if not self.open:
            return
        if pieces:
            for piece in pieces[:MAX_DESCRIPTORS]:  # the others follow in the stream
                piece.share()
        small = self._small
        small += _HEADER.pack(MAGIC, operation, len(pieces), len(data), number)
        with_fd: list[Piece] = []
        if pieces:
            for piece in pieces:
                by_fd = piece.fd >= 0
                if by_fd:
                    with_fd.append(piece)
                small += _ENTRY.pack(piece.length, piece.kind, by_fd)
        self.waiting += _HEADER.size + len(data)
        if not pieces and len(data) < 65536:
            small += data
        else:
            head = bytes(small) if with_fd else None
            if head is not None:
                small.clear()
                # The descriptors must ride on the bytes of their own frame, which begins inside `head`.
                self._out.append(_Chunk(memoryview(head), with_fd))
                self.descriptors += len(with_fd)
            else:
                self._cut()
            self._out.append(_Chunk(memoryview(data), []))
            for piece in pieces:
                if piece.data is not None and piece.length:
                    self.waiting += piece.length
                    self._out.append(_Chunk(piece.data, []))
        if not self._planned:
            self._planned = True
            self.loop.call_soon(self.flush)

    def _cut(self) -> None:
        if self._small:
            self._out.append(_Chunk(memoryview(bytes(self._small)), []))
            self._small.clear()

    def flush(self) -> None:
        """Write what the other side takes now; the rest goes when it is ready."""
        self._planned = False
        self._cut()
        if self._blocked or not self.open:
            return
        while self._out:
            if not self._write_first():
                self._blocked = True
                if self._crowded:
                    self.loop.call_later(_PAUSE, self._writable)
                else:
                    self.loop.add_writer(self.sock, self._writable)
                return
        self._drained()

    def _write_first(self) -> bool:
        """Write from the first chunk; False if the other side takes nothing now."""
        chunk = self._out[0]
        self._crowded = False
        try:
            if chunk.pieces:
                fds = array.array("i", [piece.fd for piece in chunk.pieces])
                count = self.sock.sendmsg([chunk.data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
                for piece in chunk.pieces:
                    piece.close()
                self.descriptors -= len(chunk.pieces)
                chunk.pieces = []
            else:
                count = self.sock.send(chunk.data)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno in _CROWDED:
                self._crowded = True
                return False
            self._out.clear()  # the other side is gone: reading tells
            self.waiting = self.descriptors = 0
            return True
        if count == len(chunk.data):
            self._out.popleft()
        else:
            chunk.data = chunk.data[count:]
        self.waiting -= count
        return True

    def _writable(self) -> None:
        if not self.open:
            return
        self._blocked = False
        self.loop.remove_writer(self.sock)
        self.flush()

    def _drained(self) -> None:
        self.waiting = self.descriptors = 0
        room, self._room = self._room, []
        for future in room:
            if not future.done():
                future.set_result(None)

    @property
    def full(self) -> bool:
        """Whether so much waits to be written that senders should pause."""
        return self.open and (self.waiting > HIGH or self.descriptors > MAX_WAITING)

    async def room(self) -> None:
        """Return when little waits to be written, or the channel is closed."""
        while self.full:
            future = self.loop.create_future()
            self._room.append(future)
            await future

    def write_out(self, seconds: float | None = None) -> bool:
        """Write all that waits, blocking; True if all went. For the end of a worker and its own backpressure."""
        self._cut()
        while self._out and self.open:
            if not self._write_first():
                if self._crowded:
                    time.sleep(_PAUSE)
                elif not self._ready(select.POLLOUT, seconds):
                    return False
        return True

    def wait_readable(self) -> None:
        """Block until something can be read."""
        self._ready(select.POLLIN, None)

    def _ready(self, event: int, seconds: float | None) -> bool:
        poll = select.poll()  # takes descriptors of any number, unlike select()
        poll.register(self.sock, event)
        return bool(poll.poll(None if seconds is None else seconds * 1000))

    # --- reading --------------------------------------------------------------------------------------------

    def _readable(self) -> None:
        taken = 0
        try:
            while taken < _TURN and self.open and not self._paused:
                count = self.read_some()
                if count == 0:
                    self._lose(None)
                    return
                taken += count
                self._parse()
        except BlockingIOError:
            return
        except ConnectionError:
            self._lose(None)
        except (WorkerBroken, ValueError, OSError) as error:
            self._lose(error)

    def read_some(self) -> int:
        """Take what is there into the buffer; 0 at the end of the stream.

        Raises:
            BlockingIOError: nothing is there.
        """
        data, ancillary, flags, _ = self.sock.recvmsg(_READ, _ANCILLARY, _CLOEXEC)
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds = array.array("i")
                fds.frombytes(content[: len(content) - len(content) % fds.itemsize])
                self._descriptors.extend(fds)
        if flags & getattr(socket, "MSG_CTRUNC", 0):
            raise WorkerBroken("descriptors were lost: too many, or too many open files here")
        self._in += data
        return len(data)

    def _parse(self) -> None:
        while self.open and not self._paused:
            frame = self.next_frame()
            if frame is None:
                return
            self._deliver(frame)

    def next_frame(self) -> Frame | None:
        """The next whole frame in the buffer."""
        buffer = self._in
        if len(buffer) < _HEADER.size:
            return None
        magic, operation, count, length, number = _HEADER.unpack_from(buffer)
        if magic != MAGIC or not MESSAGE <= operation <= CONTROL or length > MAX_PICKLE or count > MAX_PIECES:
            raise WorkerBroken(f"no frame begins with {bytes(buffer[:16])!r}")
        at = _HEADER.size + count * _ENTRY.size
        if not count:
            if len(buffer) < at + length:
                return None
            data = bytes(memoryview(buffer)[at : at + length])
            del buffer[: at + length]
            return Frame(operation, number, data, [])
        if len(buffer) < at:
            return None
        entries = [_ENTRY.unpack_from(buffer, _HEADER.size + i * _ENTRY.size) for i in range(count)]
        inline = 0
        shared = 0
        for size, kind, by_fd in entries:
            if kind > BYTEARRAY or by_fd > 1 or size > MAX_PICKLE * 64:
                raise WorkerBroken("a piece that no frame has")
            shared += by_fd
            inline += 0 if by_fd else size
        if inline > MAX_PICKLE:
            raise WorkerBroken("a frame that is too long")
        if len(buffer) < at + length + inline:
            return None
        if len(self._descriptors) < shared:
            raise WorkerBroken("a frame without its descriptors")
        whole = bytes(memoryview(buffer)[at : at + length + inline])
        del buffer[: at + length + inline]
        pieces: list[Piece] = []
        place = length
        for size, kind, by_fd in entries:
            if by_fd:
                pieces.append(Piece(kind, size, fd=self._descriptors.popleft()))
            else:
                pieces.append(Piece(kind, size, data=memoryview(whole)[place : place + size]))
                place += size
        return Frame(operation, number, whole[:length], pieces)

    def _deliver(self, frame: Frame) -> None:
        owned = sum(p.length for p in frame.pieces if p.fd >= 0 and p.kind != VIEW)
        if owned < APART or not self.apart:
            self.on_frame(frame)
            return
        # Copying a hundred megabytes takes as long as ten thousand messages: elsewhere, and what follows waits.
        self._paused = True
        self.loop.remove_reader(self.sock)
        copying = self.loop.run_in_executor(None, _own, frame)
        copying.add_done_callback(self._resume)

    def _resume(self, copied: asyncio.Future[Frame]) -> None:
        self._paused = False
        self._go_on(copied)
        then, self._then = self._then, None
        if then is not None:
            self.finish(then)

    def _go_on(self, copied: asyncio.Future[Frame]) -> None:
        if not self.open or copied.cancelled():
            return
        error = copied.exception()
        if error is not None:
            self._lose(error if isinstance(error, Exception) else WorkerBroken(repr(error)))
            return
        self.on_frame(copied.result())
        try:
            self._parse()
        except WorkerBroken as broken:
            self._lose(broken)
        if self.open and not self._paused:
            self.loop.add_reader(self.sock, self._readable)

    def finish(self, then: Callable[[], None]) -> None:
        """The other side has ended: read its last words, then call `then`; copies that are being made come first."""
        if self.open and not self._paused:
            self._readable()
        if self._paused:
            self._then = then
        else:
            then()

    def _lose(self, error: Exception | None) -> None:
        if self.open:
            self.close()
            self.on_lost(error)

    def close(self) -> None:
        """Let go of the socket and of what waits."""
        if not self.open:
            return
        self.open = False
        with contextlib.suppress(RuntimeError, OSError, ValueError):  # the loop may be closed already
            self.loop.remove_reader(self.sock)
            self.loop.remove_writer(self.sock)
        self.sock.close()
        self._out.clear()
        for fd in self._descriptors:
            Piece(VIEW, 0, fd=fd).close()
        self._descriptors.clear()
        self._drained()


class _Owned(Piece):
    """A piece that has been copied already."""

    __slots__ = ("value",)
    value: bytes | bytearray | memoryview

    def load(self) -> bytes | bytearray | memoryview:
        return self.value


def _own(frame: Frame) -> Frame:
    """Copy what must own its memory; in a thread."""
    pieces: list[Piece] = []
    for piece in frame.pieces:
        if piece.kind == VIEW:
            pieces.append(piece)
        else:
            owned = _Owned(piece.kind, piece.length)
            owned.value = piece.load()
            pieces.append(owned)
    return Frame(frame.operation, frame.number, frame.pickle, pieces)
