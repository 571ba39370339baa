"""`planaria doctor`: what is well, what is not, and how to mend it. Works without a node too."""

import os
from pathlib import Path
from typing import Any

import click

from planaria.cli import output
from planaria.cli.client import Client
from planaria.cli.errors import NEGATIVE, NOT_RUNNING, CliError
from planaria.cli.garden import garden_option, json_option

SIGNS = {"ok": ("ok", "green"), "warning": ("warning", "yellow"), "error": ("error", "red")}


@click.command()
@garden_option
@json_option
def doctor(garden: Path, as_json: bool) -> None:
    """Look at settings, records, model services and the node. Exit code 1 if something is wrong."""
    with output.working("looking"):
        findings = _findings(garden)
    if as_json:
        output.print_json(findings)
    else:
        for finding in findings:
            word, color = SIGNS[finding["level"]]
            click.echo(f"{click.style(word.ljust(8), fg=color)} {output.clean(finding['what'])}: ", nl=False)
            click.echo(output.clean(finding["detail"]))
            if finding["mend"] and finding["level"] != "ok":
                click.echo(f"         {output.clean(finding['mend'])}")
    if any(finding["level"] == "error" for finding in findings):
        raise SystemExit(NEGATIVE)


def _findings(garden: Path) -> list[dict[str, Any]]:
    try:
        with Client(garden) as client:
            found: list[dict[str, Any]] = client.ask("doctor")
            return found
    except CliError as error:
        if error.exit_code == NOT_RUNNING:
            return _look(garden)
        # It runs and does not answer, which is a finding itself.
        answer = {"level": "error", "what": "control socket", "detail": error.message, "mend": error.mend}
        return [*_look(garden), answer]


def _look(garden: Path) -> list[dict[str, Any]]:
    # Lazily: records and settings are needed only where no node can be asked.
    import msgspec

    from planaria.nerve.doctor import examine

    found: list[dict[str, Any]] = msgspec.to_builtins(examine(garden, os.environ))
    return found
