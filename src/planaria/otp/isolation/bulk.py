"""Large pieces of messages: outside the pickle, in shared memory where the platform has it.

On Linux a piece of at least `SHARED_FROM` bytes travels as a sealed memfd whose descriptor is sent beside the message
(SCM_RIGHTS). A `memoryview` or an array is mapped on arrival without a copy; `bytes` and `bytearray`, which must own
their memory, are read from it once. What was allocated with `shared_buffer` is not copied at the sender either.
Elsewhere pieces follow the message in the stream.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import sys
from typing import Any

OUT_OF_BAND_FROM = 32 * 1024
"""Bytes from which a buffer is kept out of the pickle."""
SHARED_FROM = 256 * 1024
"""Bytes from which a piece travels as shared memory (measured: below it the stream is faster)."""

MAX_PIECES = 4096
"""Pieces of one message; further buffers stay in its pickle."""

VIEW, BYTES, BYTEARRAY = 0, 1, 2
"""What becomes of a piece: a mapping, or an object that owns its memory."""

HAS_MEMFD = sys.platform == "linux" and hasattr(os, "memfd_create")
_ADD_SEALS = getattr(fcntl, "F_ADD_SEALS", 1033)
_GET_SEALS = getattr(fcntl, "F_GET_SEALS", 1034)
_SEAL_SHRINK = getattr(fcntl, "F_SEAL_SHRINK", 2)
_SEAL_GROW = getattr(fcntl, "F_SEAL_GROW", 4)
_SEAL_WRITE = getattr(fcntl, "F_SEAL_WRITE", 8)


class Piece:
    """One buffer of a message: its bytes in the stream (`data`), or a descriptor (`fd`)."""

    __slots__ = ("data", "fd", "kind", "length")

    def __init__(self, kind: int, length: int, *, data: memoryview | None = None, fd: int = -1) -> None:
        self.kind = kind
        self.length = length
        self.data = data
        self.fd = fd

    def close(self) -> None:
        """Let go of the descriptor."""
        if self.fd >= 0:
            with contextlib.suppress(OSError):
                os.close(self.fd)
            self.fd = -1

    def __del__(self) -> None:
        self.close()

    def unshared(self) -> int:
        """Bytes that `share` would copy."""
        view = self.data
        if view is None or not HAS_MEMFD or self.length < SHARED_FROM or _descriptor_of(view) is not None:
            return 0
        return self.length

    def share(self) -> None:
        """Put a large piece into shared memory, unless it is there already. May run in a thread."""
        view = self.data
        if view is None or not HAS_MEMFD or self.length < SHARED_FROM:
            return
        try:
            known = _descriptor_of(view)
            self.fd = _copied(view) if known is None else os.dup(known)
        except OSError:  # no descriptor or no memory for it, or the system forbids it: it goes in the stream
            return
        self.data = None

    def load(self) -> bytes | bytearray | memoryview:
        """What the receiver gets. Copies only what must own its memory."""
        if self.data is not None:
            if self.kind == BYTES:
                return bytes(self.data)
            whole = bytearray(self.data)
            return memoryview(whole) if self.kind == VIEW else whole
        try:
            if self.kind == VIEW:
                return _mapped(self.fd, self.length)
            if self.kind == BYTES:
                return _read(self.fd, self.length)
            whole = bytearray(self.length)
            view = memoryview(whole)
            done = 0
            while done < self.length:
                done += _some(os.preadv(self.fd, [view[done:]], done))
            return whole
        finally:
            self.close()


# From 3.13 on a mapping need not hold a descriptor of its own.
_UNTRACKED: dict[str, Any] = {"trackfd": False} if sys.version_info >= (3, 13) else {}


def _copied(view: memoryview) -> int:
    fd = os.memfd_create("planaria", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        done = 0
        while done < len(view):
            done += os.write(fd, view[done:])
        fcntl.fcntl(fd, _ADD_SEALS, _SEAL_SHRINK | _SEAL_GROW | _SEAL_WRITE)
    except OSError:
        os.close(fd)
        raise
    return fd


def _read(fd: int, length: int) -> bytes:
    first = os.pread(fd, length, 0)
    if len(first) == length:
        return first
    parts = [first]
    done = len(first)
    while done < length:  # the system reads at most 2 GB at once
        parts.append(os.pread(fd, length - done, done))
        done += _some(len(parts[-1]))
    return b"".join(parts)


def _some(count: int) -> int:
    if count <= 0:
        raise ValueError("a shared piece is shorter than announced")
    return count


def _mapped(fd: int, length: int) -> memoryview:
    if length == 0:
        return memoryview(b"")
    seals = fcntl.fcntl(fd, _GET_SEALS)
    if not seals & _SEAL_SHRINK or os.fstat(fd).st_size < length:
        # Memory that can shrink under a mapping would end this process with SIGBUS.
        raise ValueError("a shared piece is not sealed, or shorter than announced")
    if seals & _SEAL_WRITE:  # a copy nobody else can change: writes stay here
        return memoryview(mmap.mmap(fd, length, flags=mmap.MAP_PRIVATE, **_UNTRACKED))
    return _shared(fd, length)


def piece_of(buffer: memoryview | bytes | bytearray, kind: int) -> Piece:
    """The piece that carries `buffer`; nothing is copied yet."""
    view = memoryview(buffer)
    return Piece(kind, view.nbytes, data=view.cast("B") if view.nbytes else view)


# --- memory that is shared from the beginning ---------------------------------------------------------------


class _Shared(mmap.mmap):
    """A mapping that knows the descriptor to send."""

    descriptor = -1

    def __del__(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)


def _shared(fd: int, length: int) -> memoryview:
    whole = _Shared(fd, length)
    whole.descriptor = os.dup(fd)
    return memoryview(whole)


def shared_buffer(length: int) -> memoryview:
    """`length` writable bytes that messages carry to workers and back without any copy.

    Fill it, send it whole (the view itself, or an array over all of it), and leave it alone afterwards: sender and
    receiver see the same memory. Where the platform has no memfd it is an ordinary buffer and is copied.
    """
    if length <= 0:
        raise ValueError(f"shared_buffer({length!r}): at least one byte")
    if not HAS_MEMFD:
        return memoryview(bytearray(length))
    fd = os.memfd_create("planaria", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(fd, length)
        fcntl.fcntl(fd, _ADD_SEALS, _SEAL_SHRINK | _SEAL_GROW)
        return _shared(fd, length)
    finally:
        os.close(fd)


def _descriptor_of(view: memoryview) -> int | None:
    """The descriptor behind a view of a whole shared buffer, also through an array made over it."""
    owner: object = view.obj
    for _ in range(4):
        if isinstance(owner, _Shared):
            return owner.descriptor if len(owner) == view.nbytes else None
        owner = owner.obj if isinstance(owner, memoryview) else getattr(owner, "base", None)
    return None
