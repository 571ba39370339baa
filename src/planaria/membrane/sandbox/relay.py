"""The relay: inside the sandbox, from a port that programs can reach to the socket where the proxy listens.

    python -I -S relay.py SOCKET PORT PROGRAM ARGUMENTS...

It listens on 127.0.0.1 of the sandbox's own network, lets a grandchild pass bytes on, and becomes the program. One
file, standard library only: nothing else of ours is inside.
"""

import os
import selectors
import socket
import sys

PIECE = 65536
MOST = 64
"""Connections at a time."""


class Link:
    """One direction of a connection: what was read on one side and not yet written on the other."""

    def __init__(self, source: socket.socket, target: socket.socket) -> None:
        self.source = source
        self.target = target
        self.waiting = b""
        self.ended = False


def serve(listening: socket.socket, path: str) -> None:
    """Pass bytes on until killed."""
    ready = selectors.DefaultSelector()
    ready.register(listening, selectors.EVENT_READ)
    links: dict[socket.socket, tuple[Link, Link]] = {}  # by socket: what it reads, what it is written

    def close(one: socket.socket) -> None:
        reading, _ = links.pop(one)
        links.pop(reading.target, None)
        for each in (reading.source, reading.target):
            if each in ready.get_map():
                ready.unregister(each)
            each.close()

    def watch(one: socket.socket) -> None:
        reading, writing = links[one]
        events = 0 if reading.ended or reading.waiting else selectors.EVENT_READ
        events |= selectors.EVENT_WRITE if writing.waiting else 0
        if one in ready.get_map():
            ready.unregister(one)
        if events:
            ready.register(one, events)

    def step(one: socket.socket, events: int) -> None:
        reading, writing = links[one]
        if events & selectors.EVENT_WRITE and writing.waiting:
            writing.waiting = writing.waiting[one.send(writing.waiting) :]
        if events & selectors.EVENT_READ and not reading.waiting:
            reading.waiting = one.recv(PIECE)
            reading.ended = not reading.waiting
        for link in (reading, writing):
            if link.ended and not link.waiting:
                link.target.shutdown(socket.SHUT_WR)

    def accept() -> None:
        near, _ = listening.accept()
        far = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            if len(links) >= 2 * MOST:
                raise OSError("too many connections")
            far.connect(path)
        except OSError:
            near.close()
            far.close()
            return
        out, back = Link(near, far), Link(far, near)
        links[near], links[far] = (out, back), (back, out)
        for each in (near, far):
            each.setblocking(False)
            watch(each)

    while True:
        for key, events in ready.select():
            one = key.fileobj
            if one is listening:
                accept()
            elif isinstance(one, socket.socket) and one in links:
                pair = links[one]
                try:
                    step(one, events)
                except OSError:
                    close(one)
                    continue
                if all(link.ended and not link.waiting for link in pair):
                    close(one)
                else:
                    watch(one)
                    watch(pair[0].target)


def main(path: str, port: int, program: list[str]) -> None:
    """Start the relay, then become the program."""
    listening = socket.create_server(("127.0.0.1", port))
    if os.fork() == 0:
        if os.fork() == 0:  # not the program's child: it may wait for all of those
            nowhere = os.open(os.devnull, os.O_RDWR)
            for descriptor in (0, 1, 2):
                os.dup2(nowhere, descriptor)
            os.closerange(3, listening.fileno())
            serve(listening, path)
        os._exit(0)
    os.wait()
    listening.close()
    try:
        os.execvp(program[0], program)
    except OSError as error:
        sys.stderr.write(f"{program[0]}: {error.strerror}\n")
        sys.stderr.flush()
        os._exit(127 if isinstance(error, FileNotFoundError | NotADirectoryError) else 126)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
