"""`planaria grants`: what an agent may do, who granted it, and what to write for the rest."""

from pathlib import Path
from typing import Any

import click

from planaria.cli import output
from planaria.cli.client import Client
from planaria.cli.garden import garden_option, json_option
from planaria.cli.who import moment

PARTS = (("may", "allow"), ("asked first", "ask"), ("asked, with a code", "second_factor"), ("never", "deny"))


@click.command()
@click.argument("agent", metavar="AGENT")
@click.option("--all", "everything", is_flag=True, help="Also the tools that no word of its record names.")
@garden_option
@json_option
def grants(agent: str, everything: bool, garden: Path, as_json: bool) -> None:
    """What AGENT may do: each tool and capability, who granted it and where, or what to write to grant it."""
    with Client(garden) as client, output.working("asking the node"):
        found = client.ask("grants.show", agent=agent)
    if as_json:
        output.print_json(found)
        return
    view = found["grants"]
    tools = [tool for tool in view["tools"] if everything or tool["named_by"]]
    click.echo(click.style(f"{agent}: tools", bold=True) + click.style(f"  ({view['record']})", dim=True))
    if tools:
        columns = ("tool", "", "named by", "needs", "why not, or what to write")
        output.print_table(columns, [_tool(each) for each in tools])
    else:
        click.echo("  none; name some, such as `tools: [notes.*]`")
    if left := len(view["tools"]) - len(tools):
        click.echo(click.style(f"  {left} more are not named; --all lists them", dim=True))
    click.echo()
    click.echo(click.style("capabilities", bold=True))
    for each in view["capabilities"]:
        _capability(each)
    _approved(found["approved"])
    _denied(found["denied"])


def _tool(tool: dict[str, Any]) -> list[object]:
    mark = "yes" if tool["offered"] else "no"
    said = tool["approval"] if tool["offered"] else tool["problem"]
    if not tool["offered"] and tool["line"]:
        said += f"; write `{tool['line']}`"
    name = f"{tool['name']} ({tool['source']})" if tool["source"] else tool["name"]
    return [name, mark, tool["named_by"], ", ".join(tool["needs"]), said]


def _capability(each: dict[str, Any]) -> None:
    mark = click.style("no ", fg="red") if each["problem"] else click.style("yes", fg="green")
    where = f"  ({each['where']})" if each["where"] else ""
    name = click.style(output.clean(each["name"]), bold=True)
    click.echo(f"  {mark}  {name}: {output.clean(each['says'])}" + click.style(output.clean(where), dim=True))
    for word, key in PARTS:
        if each[key]:
            click.echo(output.clean(f"       {word}: {', '.join(each[key])}"))
    for other in each["others"]:
        click.echo(output.clean(f"       and within {other}"))
    if each["problem"]:
        click.echo(output.clean(f"       {each['problem']}; write `{each['line']}` below `grants:`"))


def _approved(approvals: list[dict[str, Any]]) -> None:
    if not approvals:
        return
    click.echo()
    click.echo(
        click.style("approved by people", bold=True)
        + click.style("  (planaria approvals revoke ID)", dim=True)
    )
    for each in approvals:
        click.echo(
            output.clean(f"  {each['id'][:10]}  {covered(each)}, by {each['by']}, {moment(each['at'])}")
        )


def _denied(denials: list[dict[str, Any]]) -> None:
    if not denials:
        return
    click.echo()
    click.echo(click.style("denied of late", bold=True))
    for each in denials:
        click.echo(output.clean(f"  {moment(each['at'])}  {each['tool']}: {each['error']}"))


def covered(approval: dict[str, Any]) -> str:
    """What an approval is for, in a line."""
    what = "; ".join(_scope(each, approval["tool"]) for each in approval["covers"])
    until = f", until {moment(approval['until'])}" if approval["until"] else ""
    where = f", in {approval['session']}" if approval["session"] else ""
    return f"{what}{where}{until}"


def _scope(each: dict[str, Any], tool: str) -> str:
    if not each.get("scope"):
        return f"{tool} with exactly the arguments it had"
    capability = each["capability"]
    return f"{tool if capability == tool else f'{tool}: {capability}'} on {each['scope']}"
