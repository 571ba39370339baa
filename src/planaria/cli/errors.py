"""What a command says when it cannot do its work, and the exit code it ends with.

0    done
1    done, and the answer is no: the doctor found errors, a run failed
2    wrong use of the command line
3    no garden, or settings that cannot be used
4    no node runs this garden
5    a node runs this garden already
6    the node refused, or could not do it
7    the node did not answer in time, or the connection broke
130  interrupted from the keyboard
"""

import json
import sys
from typing import IO, Any

import click

NEGATIVE = 1
NO_GARDEN = 3
NOT_RUNNING = 4
RUNNING = 5
REFUSED = 6
NO_ANSWER = 7
INTERRUPTED = 130


class CliError(click.ClickException):
    """Ends the command: what is wrong, what to do next, and the exit code."""

    # click has one for a class, we one for each error
    exit_code: int  # type: ignore[misc]

    def __init__(self, exit_code: int, message: str, mend: str = "", code: str = "") -> None:
        super().__init__(message)
        self.exit_code = exit_code  # pyright: ignore[reportIncompatibleVariableOverride]
        self.mend = mend
        self.code = code
        # Taken now: when click shows the error it has left the command's context.
        self.context = click.get_current_context(silent=True)

    def show(self, file: IO[Any] | None = None) -> None:
        """Print it to standard error; with `--json` as one JSON object."""
        if self.context is not None and self.context.params.get("as_json"):
            error = {
                "code": self.code,
                "exit_code": self.exit_code,
                "message": self.message,
                "mend": self.mend,
            }
            text = json.dumps({"error": error}, ensure_ascii=False)
        else:
            text = f"planaria: {self.message}" + (f"\n  {self.mend}" if self.mend else "")
        click.echo(text, file=file or sys.stderr)
