"""The `planaria` command.

Each command is a file here, imported when it is used, and imports what it needs inside its function: `planaria tree`
must not pay for the web server, nor `planaria --help` for anything (measured by `benchmarks/bench_node.py`). This is
the one floor that may do so. Clients talk to the node over its control socket with plain blocking sockets.

Exit codes: see `planaria.cli.errors`.
"""

import os
from collections.abc import Mapping, Sequence
from importlib import import_module

import click

from planaria import __version__
from planaria.cli.listing import Listing

SECTIONS = {
    "A garden and its node": {
        "init": "planaria.cli.init:init",
        "up": "planaria.cli.up:up",
        "status": "planaria.cli.look:status",
        "doctor": "planaria.cli.doctor:doctor",
        "stop": "planaria.cli.stop:stop",
    },
    "Talk and work": {
        "chat": "planaria.cli.chat:chat",
        "rooms": "planaria.cli.rooms:rooms",
        "notes": "planaria.cli.notes:notes",
        "workflow": "planaria.cli.workflow:workflow",
        "work": "planaria.cli.work:work",
    },
    "Models and tools": {
        "provider": "planaria.cli.provider:provider",
        "route": "planaria.cli.route:route",
        "tools": "planaria.cli.tools:tools",
        "mcp": "planaria.cli.mcp:mcp",
    },
    "What waits for you": {
        "questions": "planaria.cli.questions:questions",
        "approvals": "planaria.cli.approvals:approvals",
        "dead": "planaria.cli.dead:dead",
    },
    "What is allowed": {
        "grants": "planaria.cli.grants:grants",
        "totp": "planaria.cli.totp:totp",
        "breakers": "planaria.cli.breakers:breakers",
        "budget": "planaria.cli.budget:budget",
    },
    "What goes on now": {
        "top": "planaria.cli.live:top",
        "sessions": "planaria.cli.live:sessions",
        "live": "planaria.cli.live:live",
    },
    "What happened": {
        "trace": "planaria.cli.trace:trace",
        "traces": "planaria.cli.trace:traces",
        "replay": "planaria.cli.replay:replay",
        "prompt": "planaria.cli.prompt:prompt",
        "fork": "planaria.cli.fork:fork",
        "diff": "planaria.cli.diff:diff",
        "journal": "planaria.cli.journal:journal",
    },
    "Processes": {
        "tree": "planaria.cli.look:tree",
        "processes": "planaria.cli.look:processes",
        "inspect": "planaria.cli.look:inspect",
        "observe": "planaria.cli.observe:observe",
        "attach": "planaria.cli.attach:attach",
        "restart": "planaria.cli.look:restart",
        "kill": "planaria.cli.look:kill",
    },
}
"""Name of each command and where it is, as the help lists them: by what a person wants."""
COMMANDS = {name: place for section in SECTIONS.values() for name, place in section.items()}


class Commands(Listing):
    """Finds commands in `COMMANDS`."""

    def sections(self, ctx: click.Context) -> Mapping[str, Sequence[str]]:
        """As `SECTIONS`."""
        return {title: list(names) for title, names in SECTIONS.items()}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every command, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        place = COMMANDS.get(cmd_name)
        if place is None:
            return None
        module, _, name = place.partition(":")
        command = getattr(import_module(module), name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, and name the nearest command for an unknown one."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            import difflib

            near = difflib.get_close_matches(args[0], COMMANDS, n=1, cutoff=0.5)
            mend = f"did you mean {near[0]!r}?" if near else "`planaria --help` lists them"
            raise click.UsageError(f"no command {args[0]!r}; {mend}", ctx)
        return super().resolve_command(ctx, args)


def show_version(context: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    """The version, and which kernel runs: the compiled one or plain Python."""
    if wanted and not context.resilient_parsing:
        from planaria.otp.kernel.compiled import COMPILED

        click.echo(f"planaria, version {__version__}, {'compiled' if COMPILED else 'pure'} kernel")
        context.exit()


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=show_version,
    help="Show the version and exit.",
)
def main() -> None:
    """Run supervised AI agents in a garden, and look at them.

    The garden is --garden, else $PLANARIA_GARDEN, else the nearest folder upwards that holds planaria.toml.
    """
    if os.environ.get("NO_COLOR"):  # Rich heeds it, click does not
        click.get_current_context().color = False
