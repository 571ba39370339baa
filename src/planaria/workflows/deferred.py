"""Runs that are started later, or once more: handlers for the queue and for dead letters.

A run is keyed by the job, so that an attempt that is made again is still one run.
"""

from typing import Any

import msgspec

from planaria.cortex.durable.job import Job
from planaria.cortex.durable.letters import DeadLettered
from planaria.cortex.durable.work import GiveUp
from planaria.otp import CallError
from planaria.workflows.engine import Workflows
from planaria.workflows.messages import Refused


class LaterStarted(msgspec.Struct, frozen=True, omit_defaults=True):
    """The payload of `workflow.start`."""

    workflow: str
    arguments: dict[str, Any] = msgspec.field(default_factory=dict)
    trigger: str = "later"


async def start(job: Job) -> dict[str, str]:
    """Start a run."""
    wanted = msgspec.convert(job.payload, LaterStarted)
    return await _start(wanted, job)


async def restart(dead: DeadLettered, job: Job) -> dict[str, str]:
    """Start once more a run that never could be started, or be carried through."""
    evidence = dead.evidence
    arguments = evidence.get("arguments", {})
    return await _start(LaterStarted(str(evidence.get("workflow", "")), arguments, "replay"), job)


async def _start(wanted: LaterStarted, job: Job) -> dict[str, str]:
    answer = await Workflows.start_run(
        "workflows",
        wanted.workflow,
        wanted.trigger,
        wanted.arguments,
        cause_id=job.id,
        trace_id=job.trace_id,
        key=job.id,
    )
    if not isinstance(answer, Refused):
        return {"run": answer}
    if answer.retry:
        raise CallError("workflows", "unavailable", answer.error)
    raise GiveUp(answer.error)
