"""System requests."""

from typing import Any

from planaria.otp import MachineState, sys

from .comparison import Json
from .interpreter import Actor, Op, operation
from .values import reason_from


def limit(op: Op) -> float | None:
    milliseconds = op.get("timeout", 5000)
    return None if milliseconds == "infinity" else milliseconds / 1000


def shown(state: Any) -> Json:
    """A state as the vectors write it."""
    if isinstance(state, MachineState):
        return {"state": str(state.state).removeprefix("in_"), "data": state.data["data"]}
    return state


@operation("sys_get_state")
async def get_state(actor: Actor, op: Op) -> Json:
    return shown(await sys.get_state(actor.find(op["to"]), timeout=limit(op)))


@operation("sys_replace_state")
async def replace_state(actor: Actor, op: Op) -> Json:
    def change(state: Any) -> Any:
        if not isinstance(state, MachineState):
            return op["value"]
        before = str(state.state)
        prefix = "in_" if before.startswith("in_") else ""
        return MachineState(prefix + op["state"] if "state" in op else before, {"data": op["value"]})

    return shown(await sys.replace_state(actor.find(op["to"]), change, timeout=limit(op)))


@operation("sys_suspend")
async def suspend(actor: Actor, op: Op) -> Json:
    await sys.suspend(actor.find(op["to"]), timeout=limit(op))
    return "ok"


@operation("sys_resume")
async def resume(actor: Actor, op: Op) -> Json:
    await sys.resume(actor.find(op["to"]), timeout=limit(op))
    return "ok"


@operation("sys_status")
async def get_status(actor: Actor, op: Op) -> Json:
    status = await sys.get_status(actor.find(op["to"]), timeout=limit(op))
    parent = status.process if status.parent is None else status.parent
    return {
        "sys": "suspended" if status.suspended else "running",
        "parent": actor.recorder.name_of(parent),
        "state": shown(status.state),
    }


@operation("sys_change_code")
async def change_code(actor: Actor, op: Op) -> Json:
    try:
        await sys.change_code(actor.find(op["to"]), op["vsn"], op["extra"], timeout=limit(op))
    except sys.NotSuspended:
        return {"error": "unknown_system_msg"}
    except sys.CodeChangeFailed as failure:
        reason = actor.world.translation.reason(failure.reason)
        return {"error": {"error": reason} if failure.refused else {"EXIT": reason}}
    return "ok"


@operation("sys_terminate")
async def terminate(actor: Actor, op: Op) -> Json:
    await sys.terminate(actor.find(op["to"]), reason_from(op["reason"]), timeout=limit(op))
    return "ok"
