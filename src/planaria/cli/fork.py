"""`planaria fork`: branch off a session at one of its steps, with another model, message or answer; it goes on live."""

from pathlib import Path
from typing import Any

import click

from planaria.cli import output
from planaria.cli.client import Client
from planaria.cli.errors import REFUSED, CliError
from planaria.cli.garden import garden_option, json_option
from planaria.cli.who import by_option

NEW = "SESSION"
"""The hidden command that makes a branch; called so because its usage is shown as `planaria fork SESSION`."""


class ForkGroup(click.Group):
    """`fork SESSION …` makes one; `fork list` and `fork remove` are commands."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """What is no command is a session to branch off."""
        if args and args[0] not in self.commands and args[0] not in ("-h", "--help"):
            args = [NEW, *args]
        return super().parse_args(ctx, args)


@click.group(cls=ForkGroup)
def fork() -> None:
    """Branch off a session at one of its steps; list branches, remove one.

    \b
    planaria fork SESSION --at N [--model M] [--edit [TEXT]] [--no-wait]
      --at N         ask for answer N anew, or handle message N anew
      --model M      another model answers: provider/model, or a tier
      --edit [TEXT]  another message, or another answer, at N; without TEXT in an editor
      --no-wait      do not show the branch's answer

    The branch is a session of the same agent in a room of its own. What was said before, and the tool calls of the
    turn that had finished before step N, are kept and not made again; everything from step N on is made live.
    `planaria replay SESSION` numbers the steps, `planaria diff SESSION BRANCH` compares the two.
    """


@fork.command(NEW, hidden=True)
@click.argument("session", metavar="")
@click.option(
    "--at", type=click.IntRange(min=1), required=True, metavar="N", help="The step to branch off at."
)
@click.option("--model", default="", help="Who answers in the branch: provider/model, or a tier.")
@click.option(
    "--edit",
    is_flag=False,
    flag_value="",
    default=None,
    metavar="[TEXT]",
    help="Put TEXT in place of the message or the answer at N; without TEXT, open an editor.",
)
@click.option("--wait/--no-wait", default=True, help="Show the branch's answer when it comes.")
@by_option
@garden_option
@json_option
def new(
    session: str, at: int, model: str, edit: str | None, wait: bool, by: str, garden: Path, as_json: bool
) -> None:
    """Branch off SESSION at step N."""
    with Client(garden) as client:
        if edit == "":
            edit = _edited(client.ask("session.step", session=session, step=at)["step"])
        made = client.ask("session.fork", session=session, at=at, model=model, edit=edit, by=by)
        if as_json:
            output.print_json(made)
            return
        room = made["room"]
        click.echo(
            f"{made['session']} goes on from step {at} of {made['fork']['session']}, in the room {room}"
        )
        if not made["running"]:
            click.echo(
                f"its agent {made['fork']['agent']} does not run now; the branch starts with it", err=True
            )
        elif wait:
            _await_answer(client, room, made["seq"])
        name = made["session"].partition(":")[2]
        mend = f"planaria chat {room}    planaria replay {name}    planaria fork remove {room}"
        click.echo(click.style(mend, dim=True))


@fork.command("list")
@garden_option
@json_option
def list_(garden: Path, as_json: bool) -> None:
    """The branches that run."""
    with Client(garden) as client:
        found = client.ask("session.forks")
    if as_json:
        output.print_json(found)
        return
    if not found:
        click.echo("no branches", err=True)
        return
    rows = [
        (
            *(each["room"], each["agent"], each["session"].partition(":")[2], each["step"]),
            *(each.get("model", ""), each.get("edit", "")),
        )
        for each in found
    ]
    output.print_table(("room", "agent", "branched off", "at step", "model", "edited"), rows)


@fork.command()
@click.argument("branch")
@by_option
@garden_option
@json_option
def remove(branch: str, by: str, garden: Path, as_json: bool) -> None:
    """End the branch in room BRANCH; what was said there stays."""
    with Client(garden) as client:
        done = client.ask("session.fork_remove", branch=branch, by=by)
    if as_json:
        output.print_json(done)
        return
    click.echo(f"the branch in {done['room']} has ended; its room stays")


def _edited(step: dict[str, Any]) -> str:
    """What the editor makes of the message or answer at a step."""
    from planaria.agents.past.forking import editable

    calls = [(call["tool"], call["arguments"]) for call in step["calls"]]
    before = editable(step["text"], calls)
    after = click.edit(before, extension=".json" if calls else ".md")
    if after is None or after.rstrip("\n") == before.rstrip("\n"):
        raise CliError(
            REFUSED, "nothing was changed, so nothing was branched off", "leave out --edit", "refused"
        )
    return after.rstrip("\n")


def _await_answer(client: Client, room: str, after_seq: int) -> None:
    """Show what is said in the branch until its agent has answered."""
    with output.working("the branch goes on"):
        for event in client.follow("room.follow", within=600.0, room=room, after_seq=after_seq):
            said = event["value"]
            answers = said.get("cause_id") and said.get("author_kind") in ("agent", "notice")
            if event["type"] == "message" and answers:
                name = click.style(output.clean(said["author"]), bold=True)
                click.echo(f"{name}  {output.clean(said['text'])}")
                return
