"""Methods about what agents may do, what people have approved, and the second factor."""

import msgspec

from planaria.agents.keeper import Agents
from planaria.agents.turn.events import session_name
from planaria.cortex.durable.question import Closed, Question
from planaria.cortex.durable.questions import Questions
from planaria.cortex.errors import JournalUnavailable, SealError
from planaria.cortex.event import Event
from planaria.cortex.event_type import EventMismatch
from planaria.cortex.journal import Journal
from planaria.cortex.query import Query
from planaria.membrane.events import ApprovalAsked, ToolFinished
from planaria.membrane.gate.approval import shown
from planaria.membrane.gate.explain import GrantsView
from planaria.membrane.gate.remembered import Approval, ApprovalRefused, Approvals
from planaria.membrane.gate.second_factor import (
    CodeRefused,
    Enrolment,
    SecondFactor,
    SecondFactorView,
)
from planaria.nerve.methods.method import Channel, Nothing, Services
from planaria.nerve.protocol import ControlError
from planaria.otp import Server
from planaria.records.library import Library
from planaria.records.record import Record

MOST_LOOKED_AT = 300
"""Ends of tool calls that are looked through for denials."""
MOST_DENIED = 5


class WhichAgent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An agent by name."""

    agent: str


class Denial(msgspec.Struct, frozen=True):
    """A call that was denied of late; `at` is unix seconds."""

    at: float
    tool: str
    error: str
    capability: str = ""
    scope: str = ""
    grant: str = ""


class Explained(msgspec.Struct, frozen=True):
    """What an agent may do, and the latest calls it was denied."""

    grants: GrantsView
    denied: tuple[Denial, ...]
    approved: tuple[Approval, ...]


class WhichApproval(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An approval by its id, or a beginning of it, and who takes it back."""

    approval: str
    by: str


class WhichQuestion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A question by number or id."""

    question: str


class QuestionShown(msgspec.Struct, frozen=True):
    """A question with all that it is about: the arguments of the call it is to approve, if it is one."""

    question: Question | Closed
    tool: str = ""
    arguments: str = ""
    why: str = ""
    covers: tuple[str, ...] = ()
    digest: str = ""


class Coded(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A code of the authenticator, and who gives it."""

    by: str
    code: str = ""


async def explained(params: WhichAgent, services: Services, channel: Channel) -> Explained:
    """What an agent may do, and why."""
    found = await look_up(params.agent)
    if found is None:
        names = ", ".join(agent.name for agent in await Agents.definitions("agents"))
        raise ControlError(
            "not_found", f"no agent {params.agent!r} runs here", f"Those that do: {names or 'none'}"
        )
    return found


async def look_up(
    agent: str,
    agents: Server = "agents",
    library: Server = "library",
    journal: Server = "journal",
    approvals: Server = "approvals",
) -> Explained | None:
    """What an agent may do, and why; None if it does not run."""
    view = await Agents.grants(agents, agent)
    if view is None:
        return None
    path = f"agents/{agent}.md"
    record = await Library.read(library, path)
    place = f"{path}:{record.line('tools')}" if isinstance(record, Record) else path
    sessions = [
        session_name(agent, room)
        for each in await Agents.definitions(agents)
        if each.name == agent
        for room in each.rooms
    ]
    denied: list[Denial] = []
    for session in sessions:
        query = Query(session=session, kinds=(ToolFinished.kind,), limit=MOST_LOOKED_AT, newest_first=True)
        denied += filter(None, map(_denial, await Journal.read(journal, query)))
    denied.sort(key=lambda each: -each.at)
    approved = [each for each in await Approvals.remembered(approvals) if each.caller == f"agent:{agent}"]
    view = msgspec.structs.replace(view, record=place)
    return Explained(view, tuple(denied[:MOST_DENIED]), tuple(approved))


def _denial(event: Event) -> Denial | None:
    try:
        finished = ToolFinished.of(event)
    except EventMismatch:
        return None
    lacked = finished.denied
    if lacked is None:
        return None
    return Denial(
        event.at, finished.tool, finished.error or "", lacked.capability, lacked.scope, lacked.grant
    )


async def approvals(params: Nothing, services: Services, channel: Channel) -> tuple[Approval, ...]:
    """What people have approved for more than one call."""
    return await Approvals.remembered("approvals")


async def revoke(params: WhichApproval, services: Services, channel: Channel) -> Approval:
    """Take an approval back."""
    try:
        return await Approvals.revoke("approvals", params.approval, by=params.by)
    except ApprovalRefused as error:
        raise ControlError("refused", str(error)) from error
    except JournalUnavailable as error:
        raise ControlError("unavailable", error.cause, error.mend) from error


async def question(params: WhichQuestion, services: Services, channel: Channel) -> QuestionShown:
    """A question with all that it is about."""
    found = await Questions.find("questions", params.question)
    if found is None:
        mend = "`planaria questions --all` lists those of late"
        raise ControlError("not_found", f"there is no question {params.question!r}", mend)
    return await detailed(found, "journal")


async def detailed(found: Question | Closed, journal: Server) -> QuestionShown:
    """A question with the call it is to approve."""
    event = await Journal.find(journal, found.detail) if found.detail else None
    if event is None or event.kind != ApprovalAsked.kind:
        return QuestionShown(found)
    try:
        asked = ApprovalAsked.of(event)
    except EventMismatch:
        return QuestionShown(found)
    return QuestionShown(found, asked.tool, shown(asked.arguments), asked.why, asked.covers, asked.digest)


async def second_factor(params: Nothing, services: Services, channel: Channel) -> SecondFactorView:
    """Whether there is an authenticator."""
    return await SecondFactor.view("second_factor")


async def enroll(params: Coded, services: Services, channel: Channel) -> Enrolment:
    """Make the secret of a new authenticator; it is shown this once."""
    try:
        return await SecondFactor.enroll("second_factor", params.by, params.code)
    except (CodeRefused, SealError, JournalUnavailable) as error:
        raise _refused(error) from error


async def confirm(params: Coded, services: Services, channel: Channel) -> SecondFactorView:
    """Take a new authenticator into use, by its first code."""
    try:
        return await SecondFactor.confirm("second_factor", params.by, params.code)
    except (CodeRefused, SealError, JournalUnavailable) as error:
        raise _refused(error) from error


async def remove(params: Coded, services: Services, channel: Channel) -> SecondFactorView:
    """Use no authenticator any more."""
    try:
        return await SecondFactor.remove("second_factor", params.by, params.code)
    except (CodeRefused, SealError, JournalUnavailable) as error:
        raise _refused(error) from error


def _refused(error: CodeRefused | SealError | JournalUnavailable) -> ControlError:
    if isinstance(error, JournalUnavailable):
        return ControlError("unavailable", error.cause, error.mend)
    return ControlError("refused", str(error))
