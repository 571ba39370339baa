"""`planaria mcp`: servers whose tools this node uses, and programs that use this node's."""

import os
from pathlib import Path
from typing import Any

import click

from planaria.cli import output
from planaria.cli.client import Client
from planaria.cli.errors import REFUSED, CliError
from planaria.cli.garden import find_garden, garden_option, json_option
from planaria.cli.listing import Listing

TOKEN = "PLANARIA_MCP_TOKEN"


@click.group(cls=Listing, invoke_without_command=True)
@click.option("--garden", type=click.Path(path_type=Path), help="The garden's folder.", metavar="DIR")
@json_option
@click.pass_context
def mcp(context: click.Context, garden: Path | None, as_json: bool) -> None:
    """The Model Context Protocol: tools of others for this node's agents, this node's tools for others.

    Without a subcommand: the list.
    """
    if context.invoked_subcommand is None:
        _list(find_garden(garden), as_json)


@mcp.command("list")
@garden_option
@json_option
def list_(garden: Path, as_json: bool) -> None:
    """Servers with what they offer, and clients."""
    _list(garden, as_json)


@mcp.command()
@click.argument("client")
@garden_option
@json_option
def token(client: str, garden: Path, as_json: bool) -> None:
    """Make a token for CLIENT, in place of the one before. It is shown once."""
    made = Client(garden).ask("mcp.token", client=client)
    if as_json:
        output.print_json(made)
        return
    click.echo(made["token"])
    click.echo(
        f"Give it to {client} as {TOKEN}, or over HTTP as `Authorization: Bearer {client}:TOKEN`.", err=True
    )


@mcp.command()
@click.option("--client", help=f"Who is served over standard input and output; its token is in {TOKEN}.")
@click.option(
    "--http", "port", type=click.IntRange(1, 65535), help="Serve all clients over HTTP on this port."
)
@garden_option
def serve(client: str | None, port: int | None, garden: Path) -> None:
    """Offer this node's tools and records to MCP clients, each within what planaria.toml grants it."""
    try:
        from planaria.cli import mcp_serve
    except ModuleNotFoundError as error:
        mend = "pip install 'planaria[mcp]'"
        raise CliError(REFUSED, f"the extra is not installed ({error.name})", mend, "no_extra") from error
    if (client is None) == (port is None):
        raise click.UsageError("name one of --client NAME and --http PORT")
    if port is not None:
        mcp_serve.over_http(garden, port)
    else:
        assert client is not None
        mcp_serve.run_stdio(garden, client, os.environ.get(TOKEN, ""))


def _list(garden: Path, as_json: bool) -> None:
    found: dict[str, Any] = Client(garden).ask("mcp.list")
    if as_json:
        output.print_json(found)
        return
    if not found["servers"] and not found["clients"]:
        click.echo(
            "no servers and no clients; [mcp.servers.NAME] and [mcp.clients.NAME] in planaria.toml add them"
        )
    for server in found["servers"]:
        colour = {"ready": "green", "off": "bright_black"}.get(server["state"], "yellow")
        about = " ".join(part for part in (server["server"], server["protocol"]) if part)
        click.echo(f"{click.style('●', fg=colour)} {server['name']}  {server['where']}  {about}")
        if server["problem"]:
            click.echo(f"    {click.style(server['problem'], fg='red')}")
        for what in ("tools", "resources", "prompts"):
            if server[what]:
                click.echo(f"    {what}: {', '.join(server[what])}")
    for name, fault in found["clients"].items():
        click.echo(f"client {name}" + (f"  {click.style(fault, fg='red')}" if fault else ""))
