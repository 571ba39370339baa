"""Which garden a command is about, and the options that most commands share."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from planaria.cli.errors import NO_GARDEN, CliError

SETTINGS = "planaria.toml"
VARIABLE = "PLANARIA_GARDEN"


def find_garden(named: Path | None) -> Path:
    """The garden's folder: as named, else `$PLANARIA_GARDEN`, else the nearest folder upwards with settings.

    Raises:
        CliError: there is none; says what to do.
    """
    mend = "name one with --garden DIR, or make one with `planaria init DIR`"
    if named is not None:
        return _checked(named, f"--garden {named}", mend)
    if variable := os.environ.get(VARIABLE):
        return _checked(Path(variable), f"${VARIABLE} ({variable})", mend)
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / SETTINGS).is_file():
            return folder
    raise CliError(NO_GARDEN, f"no garden here: neither {here} nor a folder above it holds {SETTINGS}", mend)


def _checked(folder: Path, how: str, mend: str) -> Path:
    if not folder.is_dir():
        raise CliError(NO_GARDEN, f"{how} is no folder", mend)
    if not (folder / SETTINGS).is_file():
        raise CliError(NO_GARDEN, f"{how} holds no {SETTINGS}, so it is no garden", mend)
    return folder.absolute()


def garden_option[F: Callable[..., Any]](command: F) -> F:
    """`--garden DIR`, given to the command as `garden`: the path as found."""
    option = click.option(
        "--garden",
        type=click.Path(path_type=Path),
        callback=_found,
        help="The garden's folder.",
        metavar="DIR",
    )
    return option(command)


def _found(context: click.Context, parameter: click.Parameter, value: Path | None) -> Path | None:
    return None if context.resilient_parsing else find_garden(value)


def json_option[F: Callable[..., Any]](command: F) -> F:
    """`--json`, given to the command as `as_json`."""
    # Eager, so that an error in another option is shown as JSON too.
    return click.option("--json", "as_json", is_flag=True, is_eager=True, help="Print JSON.")(command)
