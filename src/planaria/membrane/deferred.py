"""Tool calls that are made later: a handler for the queue of work."""

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from planaria.cortex.durable.job import Job
from planaria.cortex.durable.work import GiveUp
from planaria.membrane.gate import Gate
from planaria.membrane.tool import Context, Failed

CALL: Literal["tool.call"] = "tool.call"


class LaterCalled(msgspec.Struct, frozen=True, omit_defaults=True):
    """The payload of `tool.call`: the tool, its arguments, who wants it, and what the caller may use."""

    tool: str
    arguments: dict[str, Any] = msgspec.field(default_factory=dict)
    caller: str = ""
    grants: tuple[str, ...] = ()
    room: str | None = None


def calls(
    gate: Gate, garden: Path, services: Mapping[type, object]
) -> Callable[[Job], Awaitable[dict[str, Any]]]:
    """The handler. The call goes by the job's id, so one that is made again is the same call."""

    async def call(job: Job) -> dict[str, Any]:
        wanted = msgspec.convert(job.payload, LaterCalled)
        # A call that failed is over under its id; the next attempt is another one, with the same effect.
        context = Context(
            caller=wanted.caller,
            garden=garden,
            session=f"work:{job.id}",
            room=wanted.room,
            trace_id=job.trace_id,
            cause_id=job.id,
            call_id=f"{job.id}/{job.failures}",
            effect_id=job.id,
            subject=job.subject,
            services=services,
        )
        outcome = await gate.call(wanted.tool, wanted.arguments, context, wanted.grants)
        if not isinstance(outcome, Failed):
            return {"branch": outcome.branch}
        if outcome.retry:
            raise ToolNotYet(outcome.error)
        raise GiveUp(outcome.error)

    return call


class ToolNotYet(Exception):
    """The call failed and may succeed later."""
