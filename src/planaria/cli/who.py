"""Who sits at the terminal: whose name is kept with an answer or a decision."""

import getpass
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import click


def by_option[F: Callable[..., Any]](command: F) -> F:
    """`--as NAME`, given to the command as `by`."""
    option = click.option(
        "--as", "by", default=login, help="Your name; the one you are logged in with by default."
    )
    return option(command)


def login() -> str:
    """The name of the user."""
    try:
        name = getpass.getuser()
    except (OSError, KeyError, ImportError):  # no such user, as in some containers
        name = ""
    return re.sub(r"[^\w.-]", "", name) or "you"


def moment(at: float) -> str:
    """A time for people, in their zone."""
    return datetime.fromtimestamp(at, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
