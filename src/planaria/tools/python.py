"""A tool that runs Python: in an interpreter of its own in the sandbox, with the standard library.

What the code sees and reaches is as with `shell.run`. Nothing is left from one call to the next but the files it wrote.
"""

from pathlib import Path
from typing import Any

import msgspec

from planaria.membrane.capability import Touch
from planaria.membrane.sandbox.run import PYTHON, PYTHON_FILES
from planaria.membrane.tool import Context, Done, Failed, tool
from planaria.membrane.web.outside import outside
from planaria.otp import run_blocking
from planaria.tools._boxed import middle_cut, policy_for, run_boxed, said, value_of, with_fields

MOST_ANSWER = 200_000
SHOWN = 8_000
_MAIN = Path(__file__).with_name("_python_main.py").read_text(encoding="utf-8")


@tool(
    needs={"python.run"},
    touches=lambda arguments: (Touch("python.run", "sandbox"),),
    branches=("ok", "error"),
)
async def run(context: Context, code: str, seconds: float = 60.0) -> Done | Failed:
    """Run Python code in a sandbox: what it prints, and the value of its last expression.

    Args:
        code: a program of its own; it starts in the garden's folder, with the standard library and nothing imported.
        seconds: after which it is ended, at most 600.
    """
    policy, reach = await policy_for(context, seconds=seconds)
    garden = await run_blocking(context.garden.resolve)
    policy = with_fields(policy, read=(*policy.read, *PYTHON_FILES), folder=garden)
    result = await run_boxed(
        [PYTHON, "-I", "-X", "utf8", "-c", _MAIN],
        policy,
        code.encode("utf-8", "replace"),
        reach=reach,
        answer=MOST_ANSWER,
    )
    if isinstance(result, Failed):
        return result
    answer = _answer(result.answer)
    shown = said(result, policy)
    if "value" in answer and answer["value"] is not None:
        shown += "\nvalue: " + middle_cut(msgspec.json.encode(answer["value"]).decode(), SHOWN)
    elif "repr" in answer:
        shown += "\nvalue: " + middle_cut(str(answer["repr"]), SHOWN)
    return Done(
        {**value_of(result, policy), **answer},
        branch="ok" if result.exit_code == 0 else "error",
        text=outside(shown, "python"),
    )


def _answer(data: bytes) -> dict[str, Any]:
    """What the code came to: `value`, or `repr`, or nothing. The code could have written anything there."""
    try:
        told = msgspec.json.decode(data, type=dict[str, Any]) if data else {}
    except msgspec.DecodeError:
        return {"repr": "(a value too large to hand over)"} if len(data) >= MOST_ANSWER else {}
    return {name: told[name] for name in ("value", "repr") if name in told}
