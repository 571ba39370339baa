"""Kills a whole node again and again while a client talks to it, and judges what is left.

    python -m tests.crash.harness [--kills 20] [--messages 200] [--seed 1] [--keep]

Starts `planaria up` on a new garden as a program of its own, posts numbered messages over the control socket, several
at a time, sends SIGKILL at random moments (while it starts, too), starts it again, and posts anew, with the same
`client_id`, whatever was not acknowledged. At last it waits for every answer and judges the transcript (`verdict.py`).
"""

import argparse
import asyncio
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from planaria.config.settings import FILE_NAME, JournalSettings, load_settings
from planaria.cortex.codec.reading import read_events
from planaria.cortex.codec.seal import load_master_key
from planaria.cortex.event import Event
from planaria.cortex.query import Query
from planaria.cortex.stores.place import JournalPlace
from planaria.nerve.protocol import Reply, Request, socket_path
from tests.crash.verdict import Post, Verdict, judge

AUTHOR = "ada"
ROOM = "garden"
START_TIME = 60.0
ANSWER_TIME = 60.0
READY = "dashboard"  # the line a node greets with when all of it has started
REFUSED_HARD = frozenset({"bad_request", "unknown_method", "not_found", "too_long"})


class NodeDied(Exception):
    """The node was gone before it answered."""


class RunningNode:
    """One node as a program of its own."""

    def __init__(self, command: Sequence[str], garden: Path, log: Path) -> None:
        # Few variables: no keys, so no model but the offline one; no proxies.
        known = ("PATH", "HOME", "LANG", "PYTHONPATH", "TMPDIR")
        environment = {name: os.environ[name] for name in known if name in os.environ}
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                command,
                cwd=garden,
                env=environment | {"PYTHONUNBUFFERED": "1"},
                stdout=subprocess.PIPE,
                stderr=output,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self.ready = threading.Event()
        self.greeted = False
        self._listener = threading.Thread(target=self._listen, args=(log,), daemon=True)
        self._listener.start()

    def _listen(self, log: Path) -> None:
        assert self.process.stdout is not None
        with log.open("ab") as output:
            for line in self.process.stdout:
                output.write(line)
                if line.decode(errors="replace").startswith(READY):
                    self.greeted = True
                    self.ready.set()
        self.ready.set()  # it is gone; nobody need wait any longer

    def wait_ready(self) -> None:
        """Return when it has greeted.

        Raises:
            NodeDied: it ended instead.
        """
        if not self.ready.wait(START_TIME):
            self.kill()
            raise TimeoutError(f"the node was not ready within {START_TIME:g} s")
        if self.process.poll() is not None:
            raise NodeDied(f"the node ended with {self.process.returncode}")

    def kill_after(self, seconds: float) -> threading.Timer:
        """SIGKILL in so many seconds, whatever it does then."""
        timer = threading.Timer(seconds, self.kill)
        timer.start()
        return timer

    def kill(self) -> None:
        """SIGKILL to it and to all it has started, and wait until it is gone."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()

    def close(self) -> None:
        """Kill it if it runs, and let go of its output."""
        self.kill()
        self._listener.join()
        if self.process.stdout is not None:
            self.process.stdout.close()


class Line:
    """One connection to a node's control socket, several requests at a time."""

    def __init__(self, garden: Path) -> None:
        self._buffer = b""
        self._last_id = 0
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(ANSWER_TIME)
        try:
            self._socket.connect(str(socket_path(garden)))
        except OSError as error:
            self._socket.close()
            raise NodeDied(str(error)) from error

    def send(self, method: str, **params: Any) -> int:
        """Ask; the answer bears the id."""
        self._last_id += 1
        line = msgspec.json.encode(Request(method=method, id=self._last_id, params=params)) + b"\n"
        try:
            self._socket.sendall(line)
        except OSError as error:
            raise NodeDied(str(error)) from error
        return self._last_id

    def receive(self) -> Reply:
        """The next answer or event, whichever request it belongs to."""
        while b"\n" not in self._buffer:
            try:
                chunk = self._socket.recv(1 << 16)
            except TimeoutError:
                raise
            except OSError as error:
                raise NodeDied(str(error)) from error
            if not chunk:
                raise NodeDied("the connection ended")
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        return msgspec.json.decode(line, type=Reply)

    def ask(self, method: str, **params: Any) -> Any:
        """One request and its result."""
        wanted = self.send(method, **params)
        while True:
            reply = self.receive()
            if reply.id == wanted and reply.event is msgspec.UNSET:
                if not isinstance(reply.error, msgspec.UnsetType):
                    raise RuntimeError(f"{method}: {reply.error.message}")
                return reply.result

    def close(self) -> None:
        """End the connection."""
        self._socket.close()


def words(number: int) -> str:
    """What the client says: some need no tool, some a search, some a file written."""
    kinds = ("message {n:05}", "search message {n:05}", "remember message {n:05}: it rained", "status {n:05}")
    return kinds[number % 4].format(n=number)


class Client:
    """Says its messages in order, `window` of them under way at a time, until each is acknowledged."""

    def __init__(self, messages: int, window: int) -> None:
        self.window = window
        self.posts = [Post(f"client-{n:05}", words(n)) for n in range(messages)]
        self.things = 0

    @property
    def unfinished(self) -> list[Post]:
        """What is not acknowledged, in order."""
        return [post for post in self.posts if post.accepted_at is None]

    def talk(self, line: Line) -> None:
        """Say what is unfinished.

        Raises:
            NodeDied: with some of it unfinished.
            RuntimeError: the node refuses a message for good.
        """
        waiting = self.unfinished
        under_way: dict[int | str | None, Post] = {}
        while waiting or under_way:
            while waiting and len(under_way) < self.window:
                post = waiting.pop(0)
                self.things += 1
                if post.asked_at is None:
                    post.asked_at = self.things
                post.attempts += 1
                asked = line.send(
                    "room.post", room=ROOM, author=AUTHOR, text=post.text, client_id=post.client_id
                )
                under_way[asked] = post
            reply = line.receive()
            post = under_way.pop(reply.id)
            self.things += 1
            if isinstance(reply.error, msgspec.UnsetType):
                post.accepted_at, post.id, post.seq = self.things, reply.result["id"], reply.result["seq"]
            elif reply.error.code in REFUSED_HARD:
                raise RuntimeError(f"{post.text}: {reply.error.message}")
            else:
                waiting.insert(0, post)  # not accepted; said again with the same client_id


class Outcome(msgspec.Struct, frozen=True):
    """How a run went: its verdict, and figures that tell whether the kills came at interesting moments."""

    verdict: Verdict
    kills: int
    kills_while_starting: int
    posted_again: int
    messages: int


def run(
    command: Sequence[str],
    garden: Path,
    *,
    kills: int,
    messages: int,
    seed: int,
    longest: float = 1.0,
    window: int = 4,
) -> Outcome:
    """Kill and restart the node of a garden `kills` times while a client talks to it, then judge.

    Args:
        command: starts the node, in the garden's folder, in the foreground.
        messages: how many the client says at least; while the node still has kills to come it says more.
        seed: of the moments of the kills.
        longest: seconds a node lives at most.
        window: messages under way at a time.
    """
    chance = random.Random(seed)
    client = Client(messages, window)
    log = garden / "node.log"
    starting = 0
    for _ in range(kills):
        if not client.unfinished:
            more = len(client.posts)
            client.posts += [Post(f"client-{n:05}", words(n)) for n in range(more, more + messages)]
        node = RunningNode(command, garden, log)
        early = chance.random() < 0.2
        timer = node.kill_after(chance.uniform(0, longest)) if early else None
        try:
            node.wait_ready()
            if timer is None:
                timer = node.kill_after(chance.uniform(0, longest))
            line = Line(garden)
            try:
                client.talk(line)
                timer.join()
            finally:
                line.close()
        except NodeDied:
            starting += not node.greeted
        finally:
            if timer is not None:
                timer.join()
            ended = node.process.poll()
            node.close()
        if ended != -signal.SIGKILL:
            raise RuntimeError(f"the node ended by itself with {ended}; its output is in {log}")
    node = RunningNode(command, garden, log)
    try:
        node.wait_ready()
        line = Line(garden)
        client.talk(line)
        _wait_for_answers(line, garden, {post.id for post in client.posts})
        line.close()
    finally:
        node.close()
    return Outcome(
        judge(client.posts, journaled(garden), AUTHOR),
        kills,
        starting,
        sum(post.attempts > 1 for post in client.posts),
        len(client.posts),
    )


def _wait_for_answers(line: Line, garden: Path, ids: set[str | None]) -> None:
    """Return once every message has an answer, or when none has come for long."""
    following = line.send("room.follow", room=ROOM, after_seq=0)
    missing: set[str | None] | None = None
    while missing is None or missing:
        try:
            reply = line.receive()
        except TimeoutError:
            return  # the verdict names what has no answer
        if reply.id == following and not isinstance(reply.event, msgspec.UnsetType):
            if missing is None:  # heard from now on; what was answered before is in the journal
                missing = ids - {message["cause_id"] for message in journaled(garden)}
            if reply.event["type"] == "message":
                missing.discard(reply.event["value"].get("cause_id"))


def journaled(garden: Path) -> list[dict[str, Any]]:
    """The messages of the room as its journal has them, oldest first: nobody's memory, only the disk."""

    async def read() -> list[Event]:
        settings = load_settings(garden).journal if (garden / FILE_NAME).exists() else JournalSettings()
        store = JournalPlace(settings, garden, os.environ)()
        await store.open()
        key = garden / ".planaria" / "journal.key"
        query = Query(session=f"room:{ROOM}", kinds=("room.message",))
        events = await read_events(store, query, load_master_key(key) if key.exists() else None)
        await store.close()
        return events

    return [
        {**event.payload, "id": event.id, "seq": event.seq, "cause_id": event.cause_id}
        for event in asyncio.run(read())
        if event.payload.get("final", True)
    ]


def new_garden(folder: Path, database: str | None = None) -> Path:
    """A garden made by `planaria init`, with a free dashboard port; its journal in a database if one is named."""
    garden = folder / "garden"
    subprocess.run(
        [sys.executable, "-m", "planaria.cli", "init", str(garden)], check=True, stdout=subprocess.DEVNULL
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = garden / "planaria.toml"
    text = settings.read_text().replace("port = 4747", f"port = {port}")
    if database is not None:
        text += f'\n[journal]\ndatabase = "{database}"\n'
    settings.write_text(text)
    return garden


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--messages", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--longest", type=float, default=2.0, help="seconds a node lives at most")
    parser.add_argument("--keep", action="store_true", help="leave the garden, and say where it is")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="planaria-crash-"))
    command = [sys.executable, "-m", "planaria.cli", "up", "--garden", "."]
    outcome = run(
        command,
        new_garden(folder),
        kills=options.kills,
        messages=options.messages,
        seed=options.seed,
        longest=options.longest,
    )
    faults = outcome.verdict.faults()
    print(msgspec.json.encode(outcome).decode())
    if options.keep:
        print(folder)
    else:
        shutil.rmtree(folder)
    if faults:
        sys.exit(f"wrong: {faults}")


if __name__ == "__main__":
    main()
