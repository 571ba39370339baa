"""What the tools that run programs share: the sandbox as an agent gets it, and how a run is told to a model."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from planaria.membrane.sandbox.errors import PolicyRefused, SandboxBroken, SandboxError
from planaria.membrane.sandbox.granted import policy_of, reach_of_caller
from planaria.membrane.sandbox.policy import SandboxPolicy
from planaria.membrane.sandbox.proxy import Reach
from planaria.membrane.sandbox.run import SandboxResult, run_sandboxed
from planaria.membrane.scopes.scope import Place
from planaria.membrane.tool import Context, Failed
from planaria.otp import run_blocking

SHOWN = 12_000
"""Characters of one stream that a model reads; beginning and end are kept."""
VALUE = 100_000
"""Characters of one stream that are handed on."""
_ENDED = {
    "time": "it took longer than {policy.wall_seconds:g} s",
    "cpu": "it used more than {policy.cpu_seconds:g} s of processor time",
    "memory": "it used more than {megabytes:.0f} MB of memory",
    "processes": "it started more than {policy.processes} processes",
    "disk": "it filled the disk by more than {disk:.0f} MB",
    "file_size": "it wrote a file of more than {file:.0f} MB",
}


async def policy_for(context: Context, *, seconds: float | None = None) -> tuple[SandboxPolicy, Reach | None]:
    """What the caller's programs may see and reach. Limits come from a `SandboxPolicy` among the services.

    Args:
        seconds: for the run; at most `most_seconds` of the basis, 600 by default.
    """
    basis = context.find(SandboxPolicy) or SandboxPolicy()
    garden = await run_blocking(context.garden.resolve)
    policy = await run_blocking(policy_of, context.authority, garden, basis)
    if seconds is not None:
        policy = with_fields(policy, wall_seconds=min(max(seconds, 1.0), policy.most_seconds))
    return policy, reach_of_caller(context.authority, Place(garden, context.room or ""))


def with_fields(policy: SandboxPolicy, **changes: Any) -> SandboxPolicy:
    """The policy with other values."""
    return msgspec.structs.replace(policy, **changes)


async def run_boxed(
    argv: Sequence[str],
    policy: SandboxPolicy,
    stdin: bytes = b"",
    *,
    reach: Reach | None = None,
    answer: int = 0,
) -> SandboxResult | Failed:
    """Run a program; a sandbox that is not there, or refuses, is news for the caller."""
    try:
        return await run_sandboxed(argv, policy, stdin, reach=reach, answer=answer)
    except PolicyRefused as error:
        return Failed(f"the sandbox cannot grant this: {error}")
    except SandboxBroken as error:
        return Failed(str(error), retry=True)
    except SandboxError as error:
        return Failed(str(error))


def why_ended(result: SandboxResult, policy: SandboxPolicy) -> str:
    """For what limit a program was ended, in words; empty if for none."""
    if result.killed_by is None:
        return ""
    return "it was ended: " + _ENDED[result.killed_by].format(
        policy=policy,
        megabytes=policy.memory_bytes / 1e6,
        disk=policy.disk_bytes / 1e6,
        file=policy.file_bytes / 1e6,
    )


def value_of(result: SandboxResult, policy: SandboxPolicy) -> dict[str, Any]:
    """A run as a value for the next step and the journal."""
    value: dict[str, Any] = {
        "exit_code": result.exit_code,
        "stdout": middle_cut(text_of(result.stdout), VALUE),
        "stderr": middle_cut(text_of(result.stderr), VALUE),
        "ended": why_ended(result, policy),
        "cut": result.truncated,
        "seconds": round(result.wall, 3),
        "cpu_seconds": round(result.cpu, 3),
        "memory_bytes": result.peak,
        "sandbox": result.strength,
    }
    if result.network:
        value["network"] = result.network
    return value


def said(result: SandboxResult, policy: SandboxPolicy) -> str:
    """A run as a model reads it."""
    parts = [f"exit code {result.exit_code}"]
    if ended := why_ended(result, policy):
        parts.append(f"({ended})")
    for name, stream in (("", result.stdout), ("stderr:\n", result.stderr)):
        if text := text_of(stream).strip("\n"):
            parts.append(name + middle_cut(text, SHOWN))
    if result.truncated:
        parts.append(f"(Output beyond {policy.output_bytes} bytes was dropped.)")
    parts += [f"(not reached: {each.host}:{each.port}: {each.why})" for each in result.network if each.why][
        :5
    ]
    return "\n".join(parts)


def text_of(data: bytes) -> str:
    """Output as text: what is no UTF-8 shown as such, and control characters but tab and newline left out."""
    text = data.decode("utf-8", "backslashreplace").replace("\r\n", "\n")
    return "".join(sign for sign in text if sign in "\n\t" or sign.isprintable() or sign == " ")


def middle_cut(text: str, limit: int) -> str:
    """The text, with a note in place of its middle if it is longer."""
    if len(text) <= limit:
        return text
    head, tail = limit * 2 // 3, limit // 3
    return f"{text[:head]}\n[... {len(text) - head - tail} characters cut here ...]\n{text[-tail:]}"


def below_garden(context: Context, folder: str) -> Path | Failed:
    """A folder of the garden by its relative path; the sandbox shows it only if it is granted."""
    parts = [part for part in folder.split("/") if part not in ("", ".")]
    if folder.startswith(("/", "~")) or ".." in parts or not folder.isprintable():
        return Failed(f"{folder!r} is no folder of the garden; name one such as 'notes'")
    return context.garden.joinpath(*parts)
