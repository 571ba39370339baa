"""Operations on process groups (`pg`)."""

from planaria.otp import Pid, join, leave, members, node_

from .comparison import Json
from .interpreter import Actor, Op, operation
from .starting import start_scope


def group_name(op: Op) -> str:
    """A group within its scope: the kernel has one scope per node, so the scope becomes part of the name."""
    return f"{op['scope']}/{op['group']}"


def who(actor: Actor, op: Op) -> list[Pid]:
    targets = op.get("who", "self")
    return [actor.find_process(target) for target in (targets if isinstance(targets, list) else [targets])]


@operation("pg_start")
async def pg_start(actor: Actor, op: Op) -> Json:
    return {"ok": actor.world.translation.pid(await start_scope(actor.world, op["as"]))}


@operation("pg_join")
async def pg_join(actor: Actor, op: Op) -> Json:
    for pid in who(actor, op):
        join(group_name(op), pid)
    return "ok"


@operation("pg_leave")
async def pg_leave(actor: Actor, op: Op) -> Json:
    left = [leave(group_name(op), pid) for pid in who(actor, op)]
    return "ok" if any(left) else "not_joined"


@operation("pg_members")
async def pg_members(actor: Actor, op: Op) -> Json:
    return sorted(actor.recorder.name_of(pid) for pid in members(group_name(op)))


@operation("pg_groups")
async def pg_groups(actor: Actor, op: Op) -> Json:
    prefix = f"{op['scope']}/"
    return [name.removeprefix(prefix) for name in node_().groups.names() if name.startswith(prefix)]
