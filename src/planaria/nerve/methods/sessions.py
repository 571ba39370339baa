"""Methods about sessions of agents: replaying one from its journal, branching off at a step.

None calls a model or a tool. Replays need the journal alone, so they work on a stopped garden as well; a branch needs
the node.
"""

import msgspec

from planaria.agents.keeper import Agents
from planaria.agents.kinship import is_child
from planaria.agents.past.forking import CannotFork, plan_fork
from planaria.agents.past.ledgers import known_ledger
from planaria.agents.past.replay import NoSuchStep, replay, run_of, step_of
from planaria.agents.past.replayed import ReplayView, Run, StepDetail
from planaria.agents.past.seed import SeedLost, forks_of
from planaria.agents.past.sent import SentPrompt, sent
from planaria.agents.past.source import JournalSource
from planaria.agents.turn.events import FORKS, SessionForked, SessionRemoved
from planaria.cortex.errors import JournalUnavailable
from planaria.cortex.event import repeatable_id
from planaria.cortex.journal import Journal
from planaria.membrane.errors import ProviderError
from planaria.membrane.models.directory import ModelDirectory
from planaria.nerve.methods.method import Channel, Nothing, Services
from planaria.nerve.protocol import ControlError
from planaria.otp import CallError, whereis
from planaria.rooms.rooms import fork_room, list_rooms

MOST_STEPS = 1000


class Replaying(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which session, up to which step; the latest `limit` steps of it."""

    session: str
    to: int | None = None
    limit: int = 100


class WhichStep(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One step of a session, counted from 1."""

    session: str
    step: int


class WhichPrompt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The prompt of a model call, by its number in a turn, or of a step of the session; by default the latest."""

    session: str
    turn: str = ""
    step: int | None = None


class WhichRun(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The first steps of a session, from the step `first` on, with their prompts."""

    session: str
    first: int = 1
    limit: int = MOST_STEPS


class Forking(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where to branch off, and what to change: the model, or the message or answer there."""

    session: str
    at: int
    model: str = ""
    edit: str | None = None
    by: str = ""


class WhichBranch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A branch, by its room or its session."""

    branch: str
    by: str = ""


class Forked(msgspec.Struct, frozen=True):
    """A branch was made, and runs if `running`; `seq` is its place in the journal: all that is new comes after it."""

    room: str
    session: str
    fork: SessionForked
    running: bool
    seq: int


async def replaying(params: Replaying, services: Services, channel: Channel) -> ReplayView:
    """A session, step by step."""
    limit = min(max(params.limit, 1), MOST_STEPS)
    try:
        session = await _session(params.session)
        ledger = await known_ledger(session)
        return await replay(JournalSource(), session, to=params.to, limit=limit, ledger=ledger)
    except (NoSuchStep, JournalUnavailable) as error:
        raise _refusal(error) from error


async def step(params: WhichStep, services: Services, channel: Channel) -> StepDetail:
    """One step, with the exact prompt and the state after it."""
    try:
        session = await _session(params.session)
        ledger = await known_ledger(session)
        return await step_of(JournalSource(), session, params.step, ledger=ledger)
    except (NoSuchStep, SeedLost, JournalUnavailable) as error:
        raise _refusal(error) from error


async def prompt(params: WhichPrompt, services: Services, channel: Channel) -> SentPrompt:
    """What a model call was sent, part by part."""
    try:
        session = await _session(params.session)
        ledger = await known_ledger(session)
        return await sent(JournalSource(), session, ledger, turn=params.turn, step=params.step)
    except (NoSuchStep, SeedLost, JournalUnavailable) as error:
        raise _refusal(error) from error


async def run(params: WhichRun, services: Services, channel: Channel) -> Run:
    """Steps of a session with their prompts, to be compared with another's."""
    limit = min(max(params.limit, 1), MOST_STEPS)
    try:
        session = await _session(params.session)
        return await run_of(JournalSource(), session, await known_ledger(session), params.first, limit)
    except (NoSuchStep, JournalUnavailable) as error:
        raise _refusal(error) from error


async def fork(params: Forking, services: Services, channel: Channel) -> Forked:
    """Branch off a session; the branch goes on at once."""
    _needs_node()
    try:
        if params.model:
            (await ModelDirectory.models("models")).resolve(params.model)
        session = await _session(params.session)
        plan = await plan_fork(
            JournalSource(),
            await known_ledger(session),
            session,
            params.at,
            await list_rooms(),
            model=params.model,
            edit=params.edit,
            by=params.by,
        )
        await fork_room(plan.fork.room, plan.of, plan.until_seq)
        event = plan.fork.new(
            session=FORKS, id=repeatable_id(FORKS, SessionForked.kind, plan.fork.room), subject=plan.subject
        )
        (written,) = await Journal.append("journal", [event])
    except (NoSuchStep, SeedLost, CannotFork, ProviderError, JournalUnavailable) as error:
        raise _refusal(error) from error
    running = await Agents.branch("agents", plan.fork)
    return Forked(plan.fork.room, plan.fork.branch, plan.fork, running, written.seq)


async def forks(params: Nothing, services: Services, channel: Channel) -> list[SessionForked]:
    """The branches that run."""
    _needs_node()
    return await Agents.forks("agents")


async def remove_fork(params: WhichBranch, services: Services, channel: Channel) -> dict[str, str]:
    """End a branch; what was said in its room stays."""
    _needs_node()
    known = await Agents.forks("agents")
    found = [
        each for each in known if params.branch in (each.room, each.branch, each.branch.partition(":")[2])
    ]
    if not found:
        names = ", ".join(each.room for each in known) or "there is none"
        raise ControlError("not_found", f"no branch {params.branch!r}", f"branches: {names}")
    room = found[0].room
    try:
        await Journal.append("journal", [SessionRemoved(room, params.by).new(session=FORKS)])
    except JournalUnavailable as error:
        raise _refusal(error) from error
    await Agents.prune("agents", room)
    return {"room": room}


async def _session(name: str) -> str:
    """The stream a person means: its name with or without `session:`, an agent in one room only, the room of a branch.

    Raises:
        ControlError: there is none, or several.
    """
    try:
        rows = await Journal.sessions("journal", "session:")
    except CallError as error:
        raise ControlError("unavailable", str(error), "try again") from error
    known = [row.name for row in rows]
    full = name if name.startswith("session:") else f"session:{name}"
    if full in known:
        return full
    known = [each for each in known if not is_child(each)]  # those are named in full
    branches = {fork.branch for fork in await forks_of(JournalSource())}
    found = [each for each in known if each in branches and each.endswith(f"@{name}")]
    found = found or [each for each in known if each not in branches and each.startswith(f"{full}@")]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(each.removeprefix("session:") for each in found)
        raise ControlError("bad_request", f"{name!r} has several sessions", f"name one of: {names}")
    names = ", ".join(each.removeprefix("session:") for each in known[:10]) or "there is none yet"
    raise ControlError("not_found", f"no session {name!r}", f"sessions: {names}")


def _needs_node() -> None:
    if whereis("agents") is None:
        raise ControlError("unavailable", "no node runs this garden", "start it with `planaria up`")


def _refusal(error: Exception) -> ControlError:
    match error:
        case JournalUnavailable():
            return ControlError("unavailable", error.cause, error.mend)
        case NoSuchStep():
            return ControlError("not_found", str(error), "`planaria replay SESSION` lists the steps")
        case SeedLost():
            return ControlError("not_found", str(error), "what was erased or pruned cannot be shown")
        case _:
            return ControlError("bad_request", str(error), "change it and try again")
