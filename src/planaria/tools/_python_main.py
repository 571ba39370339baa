"""Runs the Python of `python.run`: inside the sandbox, given to the interpreter as text. Standard library only.

The code comes on standard input. The value of its last expression goes to descriptor 3: as JSON if it can be said so,
else its `repr`.
"""

import ast
import json
import os
import sys
import traceback

ANSWER = 3


def main() -> int:
    """Run the code; the exit code: 0, or 1 if it raised."""
    source = sys.stdin.buffer.read().decode("utf-8")
    names: dict[str, object] = {"__name__": "__main__", "__builtins__": __builtins__}
    value: object = None
    try:
        tree = ast.parse(source, "<code>")
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, "<code>", "exec"), names)  # noqa: S102 - what it is for, and what the sandbox is for
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), "<code>", "eval"), names)  # noqa: S307
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else int(bool(error.code))
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is told
        frames = error.__traceback__.tb_next if error.__traceback__ else None
        traceback.print_exception(type(error), error, frames)
        return 1
    try:
        answer = json.dumps({"value": value}, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        answer = json.dumps({"repr": repr(value)[:100_000]})
    os.write(ANSWER, answer.encode("utf-8", "replace"))
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.exit(code)
