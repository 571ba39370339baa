"""Operations on process groups (`pg`)."""

from planaria.otp import Groups, NoProcess, Pid, StartFailed

from .comparison import Json
from .interpreter import Actor, Op, operation
from .starting import VectorScope
from .values import VectorError


def who(actor: Actor, op: Op) -> Pid | list[Pid]:
    targets = op.get("who", "self")
    if isinstance(targets, list):
        return [actor.find_process(target) for target in targets]
    return actor.find_process(targets)


@operation("pg_start")
async def pg_start(actor: Actor, op: Op) -> Json:
    try:
        pid = await VectorScope.start_link(actor.world, op["as"], name=op["scope"])
    except StartFailed as failure:
        return {"error": actor.world.translation.reason(failure.reason)}
    return {"ok": actor.world.translation.pid(pid)}


@operation("pg_join")
async def pg_join(actor: Actor, op: Op) -> Json:
    await Groups.join(op["scope"], op["group"], who(actor, op))
    return "ok"


@operation("pg_leave")
async def pg_leave(actor: Actor, op: Op) -> Json:
    left = await Groups.leave(op["scope"], op["group"], who(actor, op))
    return "ok" if left else "not_joined"


@operation("pg_members")
async def pg_members(actor: Actor, op: Op) -> Json:
    return sorted(actor.recorder.name_of(pid) for pid in Groups.members(op["scope"], op["group"]))


@operation("pg_groups")
async def pg_groups(actor: Actor, op: Op) -> Json:
    try:
        return sorted(str(group) for group in Groups.which_groups(op["scope"]))
    except NoProcess as error:
        raise VectorError("badarg") from error


@operation("pg_monitor")
async def pg_monitor(actor: Actor, op: Op) -> Json:
    if "group" in op:
        ref, members = await Groups.monitor(op["scope"], op["group"])
        actor.recorder.set_reference(op["as"], ref)
        return {"members": sorted(actor.recorder.name_of(pid) for pid in members)}
    ref, groups = await Groups.monitor_scope(op["scope"])
    actor.recorder.set_reference(op["as"], ref)
    return {
        "groups": {
            str(group): sorted(actor.recorder.name_of(pid) for pid in members)
            for group, members in groups.items()
        }
    }


@operation("pg_demonitor")
async def pg_demonitor(actor: Actor, op: Op) -> Json:
    return "ok" if await Groups.demonitor(op["scope"], actor.recorder.reference(op["ref"])) else False
