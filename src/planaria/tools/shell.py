"""Tools that run programs: each in a sandbox of its own (`planaria.membrane.sandbox`), which ends with the call.

A program sees the files its caller may read (`files.read`), may change those he may write (`files.write`), reaches the
hosts of an explicit `net.fetch`, and nothing else. Without a sandbox on this machine nothing is run.
"""

import re
import shlex
from collections.abc import Mapping
from typing import Any

from planaria.membrane.capability import Touch
from planaria.membrane.tool import Context, Done, Failed, tool
from planaria.membrane.web.outside import outside
from planaria.otp import run_blocking
from planaria.tools._boxed import below_garden, policy_for, run_boxed, said, value_of, with_fields

_PLAIN = re.compile(r"[\w./:@%+,=-]+( +[\w./:@%+,=-]+)*\Z", re.ASCII)
"""What no shell would read otherwise than word by word."""


def words_of(command: str | list[str]) -> tuple[str, ...]:
    """The words that are run: those of a list or a plain text as they are, anything else by `sh`."""
    if isinstance(command, list):
        return tuple(command)
    text = command.strip()
    if _PLAIN.match(text) and "=" not in text.split(" ", 1)[0]:
        return tuple(text.split())
    return ("sh", "-c", command)


def _touches(arguments: Mapping[str, Any]) -> tuple[Touch, ...]:
    return (Touch("shell.run", words_of(arguments["command"])),)


@tool(needs={"shell.run"}, touches=_touches, branches=("ok", "error"))
async def run(
    context: Context, command: str | list[str], folder: str = ".", stdin: str = "", seconds: float = 60.0
) -> Done | Failed:
    """Run a command in a sandbox and read its output. Processes do not outlive the call; /tmp is empty each time.

    Args:
        command: a list of words (`["git", "log", "-3"]`), or a text; one with quotes, pipes and the like goes to `sh`.
        folder: where it starts, a folder of the garden.
        stdin: what it may read.
        seconds: after which it is ended, at most 600.
    """
    words = words_of(command)
    place = below_garden(context, folder)
    if isinstance(place, Failed):
        return place
    policy, reach = await policy_for(context, seconds=seconds)
    policy = with_fields(policy, folder=await run_blocking(place.resolve))
    result = await run_boxed(words, policy, stdin.encode("utf-8", "replace"), reach=reach)
    if isinstance(result, Failed):
        return result
    return Done(
        value_of(result, policy),
        branch="ok" if result.exit_code == 0 else "error",
        text=outside(said(result, policy), f"shell: {shlex.join(words)[:200]}"),
    )
