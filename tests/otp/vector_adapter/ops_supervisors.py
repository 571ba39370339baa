"""Operations on supervisors and dynamic supervisors: children added, stopped, restarted, listed."""

from collections.abc import Awaitable

from planaria.otp import (
    ChildError,
    ChildInfo,
    ChildSpec,
    DynamicSupervisor,
    Pid,
    Server,
    StartFailed,
    Supervisor,
)

from .comparison import Json
from .interpreter import Actor, Op, operation
from .starting import child_spec
from .values import VectorError


def find_supervisor(actor: Actor, op: Op) -> Server:
    """The supervisor addressed; by pid where it exists, so that both kinds can be told apart."""
    try:
        return actor.find_process(op["sup"])
    except VectorError:
        return actor.find(op["sup"])


def template_of(actor: Actor, supervisor: Server) -> Json:
    """What a dynamic supervisor's children are made from; None for an ordinary supervisor."""
    return actor.world.templates.get(supervisor) if isinstance(supervisor, Pid) else None


async def answer(actor: Actor, request: Awaitable[object]) -> Json:
    """The value of a request: `{"ok": process}`, `"ok"`, or `{"error": R}`."""
    try:
        value = await request
    except ChildError as refusal:
        return {"error": refusal.code}
    except StartFailed as failure:
        return {"error": actor.world.translation.reason(failure.reason)}
    return value


def started(actor: Actor, value: Json) -> Json:
    """What a start answers, for the value of `answer`."""
    if isinstance(value, dict):
        return value
    return {"ok": "undefined" if value is None else actor.world.translation.pid(value)}


@operation("start_child")
async def start_child(actor: Actor, op: Op) -> Json:
    supervisor = find_supervisor(actor, op)
    template = template_of(actor, supervisor)
    if template is None:
        return started(
            actor,
            await answer(actor, Supervisor.start_child(supervisor, child_spec(actor.world, op["child"]))),
        )
    merged = {**template, "worker": {**template["worker"], **op.get("worker", {})}}
    return started(
        actor, await answer(actor, DynamicSupervisor.start_child(supervisor, child_spec(actor.world, merged)))
    )


@operation("terminate_child")
async def terminate_child(actor: Actor, op: Op) -> Json:
    supervisor = find_supervisor(actor, op)
    if template_of(actor, supervisor) is None:
        value = await answer(actor, Supervisor.terminate_child(supervisor, op["id"]))
    else:
        who = actor.find_process(op["pid"]) if "pid" in op else op["id"]
        value = await answer(actor, DynamicSupervisor.terminate_child(supervisor, who))
    return "ok" if value is None else value


@operation("restart_child")
async def restart_child(actor: Actor, op: Op) -> Json:
    supervisor = find_supervisor(actor, op)
    if template_of(actor, supervisor) is not None:
        return await refused_by_dynamic(supervisor)
    return started(actor, await answer(actor, Supervisor.restart_child(supervisor, op["id"])))


@operation("delete_child")
async def delete_child(actor: Actor, op: Op) -> Json:
    supervisor = find_supervisor(actor, op)
    if template_of(actor, supervisor) is not None:
        return await refused_by_dynamic(supervisor)
    value = await answer(actor, Supervisor.delete_child(supervisor, op["id"]))
    return "ok" if value is None else value


async def refused_by_dynamic(supervisor: Server) -> Json:
    """The kernel's dynamic supervisor has no such request at all: its class lacks the function."""
    assert not hasattr(DynamicSupervisor, "restart_child")
    assert not hasattr(DynamicSupervisor, "delete_child")
    await DynamicSupervisor.count_children(supervisor)  # raises as the request would, if nobody is there
    return {"error": "simple_one_for_one"}


@operation("which_children")
async def which_children(actor: Actor, op: Op) -> Json:
    return [
        line(actor, info, dynamic) for info, dynamic in await children_of(find_supervisor(actor, op), actor)
    ]


@operation("tree")
async def tree(actor: Actor, op: Op) -> Json:
    return await subtree(actor, find_supervisor(actor, op))


async def subtree(actor: Actor, supervisor: Server) -> Json:
    lines = []
    for info, dynamic in await children_of(supervisor, actor):
        entry = line(actor, info, dynamic)
        if info.kind == "supervisor" and info.process is not None:
            entry["children"] = await subtree(actor, info.process)
        lines.append(entry)
    return lines


async def children_of(supervisor: Server, actor: Actor) -> list[tuple[ChildInfo, bool]]:
    if template_of(actor, supervisor) is None:
        return [(info, False) for info in await Supervisor.which_children(supervisor)]
    return [(info, True) for info in await DynamicSupervisor.which_children(supervisor)]


def line(actor: Actor, info: ChildInfo, dynamic: bool) -> dict[str, Json]:
    """One line of `which_children`; children of dynamic supervisors have no id of their own in OTP."""
    if info.process is not None:
        process = actor.recorder.name_of(info.process)
    else:
        process = "restarting" if info.restarting else "undefined"
    return {"id": "undefined" if dynamic else info.id, "child": process, "type": info.kind}


@operation("count_children")
async def count_children(actor: Actor, op: Op) -> Json:
    supervisor = find_supervisor(actor, op)
    dynamic = template_of(actor, supervisor) is not None
    request = DynamicSupervisor.count_children if dynamic else Supervisor.count_children
    counts = await request(supervisor)
    return {
        # In OTP all children of a dynamic supervisor share one specification; here each has its own.
        "specs": 1 if dynamic else counts.specs,
        "active": counts.active,
        "supervisors": counts.supervisors,
        "workers": counts.workers,
    }


@operation("get_childspec")
async def get_childspec(actor: Actor, op: Op) -> Json:
    supervisor = find_supervisor(actor, op)
    template = template_of(actor, supervisor)
    if template is not None:
        await DynamicSupervisor.count_children(supervisor)  # raises as the request would, if nobody is there
        known = template["id"] == op["id"]
        return {"ok": described(child_spec(actor.world, template))} if known else {"error": "not_found"}
    value = await answer(actor, Supervisor.get_child_spec(supervisor, op["id"]))
    return {"ok": described(value)} if isinstance(value, ChildSpec) else value


def described(spec: ChildSpec) -> Json:
    return {
        "id": spec.id,
        "restart": spec.restart,
        "shutdown": spec.shutdown if isinstance(spec.shutdown, str) else round(spec.shutdown * 1000),
        "type": spec.kind,
        "significant": spec.significant,
    }
