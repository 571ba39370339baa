"""`planaria chat`: talk in a room from the terminal; answers appear while they are written."""

import getpass
import re
import sys
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from planaria.cli import output
from planaria.cli.client import Client
from planaria.cli.errors import REFUSED, CliError
from planaria.cli.garden import garden_option, json_option

FIRST_CHOICE = "garden"
"""The room people get who name none, if it exists."""


@click.command()
@click.argument("room", required=False)
@click.option("--as", "author", help="Your name in the room; the name you are logged in with by default.")
@click.option("-m", "--message", help="Say this, print the answers and end.")
@click.option("--wait", default=600.0, show_default=True, help="Seconds without news after which to give up.")
@garden_option
@json_option
def chat(
    room: str | None, author: str | None, message: str | None, wait: float, garden: Path, as_json: bool
) -> None:
    """Talk in ROOM, by default the room "garden". `@name` addresses an agent; Ctrl-D ends.

    With --json every event is one line of JSON; without a terminal each line of standard input is a message.
    """
    with Client(garden) as client:
        talk = Talk(client, room or _choose(client), author or _login(), wait, as_json)
        for text in _messages(message, talk):
            talk.say(text)


class Talk:
    """One person in one room."""

    def __init__(self, client: Client, room: str, author: str, wait: float, as_json: bool) -> None:
        self.client = client
        self.room = room
        self.author = author
        self.wait = wait
        self.as_json = as_json
        self.last = 0
        self.writing = ""  # whose answer is on the screen, unfinished
        self.streamed: dict[
            tuple[str, str], str
        ] = {}  # what came in pieces: author and question, last stretch

    def begin(self) -> None:
        """Show who is here and what was said last."""
        messages = self.client.ask("room.transcript", room=self.room, limit=10)
        click.echo(
            click.style(f"room {output.clean(self.room)}, you are {output.clean(self.author)}", dim=True)
        )
        self._show(messages)

    def catch_up(self) -> None:
        """Show what others said meanwhile."""
        self._show(self.client.ask("room.transcript", room=self.room, after_seq=self.last))

    def say(self, text: str) -> None:
        """Post a message and print what is said until everybody asked has answered."""
        from planaria.rooms.addressing import question_answered, stop_asked

        # Its own id: sent again after a broken connection, it would still be one message.
        params: dict[str, Any] = {
            "room": self.room,
            "author": self.author,
            "text": text,
            "client_id": uuid.uuid4().hex,
        }
        with ExitStack() as waiting:
            waiting.enter_context(output.working(f"waiting for {self.room}"))
            stream = self.client.follow("room.ask", within=self.wait, **params)
            answered = output.each(stream, lambda event: self._hear(event, waiting))
        self._end_line()
        self.last = max(self.last, answered["seq"])
        if self.as_json:
            output.print_json_line({"type": "answered", "value": answered})
        elif not answered["to"] and question_answered(text) is None and stop_asked(text, ()) is None:
            note = "nobody here is asked to answer: address an agent with @name"
            click.echo(click.style(note, dim=True), err=True)

    def _hear(self, event: dict[str, Any], waiting: ExitStack) -> None:
        value = event["value"]
        if self.as_json:
            output.print_json_line(event)
        elif event["type"] == "delta":
            waiting.close()
            self._delta(value)
        elif event["type"] == "message":
            waiting.close()
            self._message(value)
        elif self.writing == value["agent"]:
            # Between two stretches of an answer it acts; each has a line of its own.
            self._end_line()

    def _delta(self, delta: dict[str, Any]) -> None:
        who, answer, text = delta["author"], (delta["author"], delta["cause_id"]), delta["text"]
        if delta.get("again") and self.streamed.get(answer):
            self._end_line()
            click.echo(click.style(f"  {output.clean(delta['again'])}; the answer begins again", dim=True))
        if not text:
            return
        if self.writing != who:
            text = text.lstrip("\n")  # the stretch has its own line already
            self._end_line()
            click.echo(click.style(f"{output.clean(who)}: ", bold=True), nl=False)
            self.writing = who
            self.streamed[answer] = ""
        self.streamed[answer] += text
        click.echo(output.clean(text), nl=False)
        sys.stdout.flush()

    def _message(self, message: dict[str, Any]) -> None:
        self.last = max(self.last, message["seq"])
        if message["author"] == self.author and message["author_kind"] == "person":
            return
        shown = self.streamed.get((message["author"], message["cause_id"] or ""), "").strip()
        self._end_line()
        if shown and message["text"].strip().endswith(shown):
            # It stands there already; only what wrote it was not known yet.
            click.echo(click.style(f"  {label(message)}", dim=True))
            return
        click.echo(click.style(f"{label(message)}: ", bold=True), nl=False)
        click.echo(output.clean(message["text"]))

    def _show(self, messages: list[dict[str, Any]]) -> None:
        for message in messages:
            if message["seq"] > self.last:
                self._message(message)

    def _end_line(self) -> None:
        if self.writing:
            click.echo()
            self.writing = ""


def label(message: dict[str, Any]) -> str:
    """Who wrote a message, and with which model: `scout · offline`."""
    return output.clean(" · ".join(part for part in (message["author"], message["model"]) if part))


def _choose(client: Client) -> str:
    names = [room["name"] for room in client.ask("rooms")]
    if not names:
        raise CliError(REFUSED, "no room is open", "`planaria rooms open garden` opens one", "not_found")
    return FIRST_CHOICE if FIRST_CHOICE in names else str(names[0])


def _login() -> str:
    try:
        name = getpass.getuser()
    except (OSError, KeyError, ImportError):  # no such user, as in some containers
        name = ""
    return re.sub(r"[^\w.-]", "", name) or "you"


def _messages(message: str | None, talk: Talk) -> Iterator[str]:
    if message is not None:
        yield message
        return
    if not sys.stdin.isatty():
        yield from (line.strip() for line in sys.stdin if line.strip())
        return
    talk.begin()
    while True:
        try:
            text = input(f"{talk.author}> ")
        except EOFError:
            click.echo()
            return
        talk.catch_up()
        if text.strip():
            yield text
