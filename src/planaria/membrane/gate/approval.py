"""Asking a person whether a call may be made, and what their answer means.

What is approved is what runs: the question shows every argument, is named after a digest of them, and a call with other
arguments is another question. The answer to a call that was taken up again after a restart is looked up, not asked for.
The choices are `once`, `this session` (this agent in this room, or this run of a workflow, for a day), `always` and
`no`; the second and third remember the scopes that stand in the question, or a wider one said beside the choice
(`always: git push *`), if it covers the call. No answer within a day is a no.
"""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import msgspec

from planaria.cortex.durable.question import LONGEST_TEXT, Closed
from planaria.cortex.durable.questions import QuestionRefused, Questions
from planaria.cortex.event import NewEvent, repeatable_id
from planaria.membrane.authority import Held
from planaria.membrane.capability import capability
from planaria.membrane.events import ApprovalAsked, ApprovalDecided, ApprovalGranted, Covered, tool_event_id
from planaria.membrane.gate.remembered import SESSION, Approval
from planaria.membrane.grants import exact, read, scope_of
from planaria.membrane.scopes.scope import Place, ScopeError, Unreadable
from planaria.membrane.tool import Context, Denied
from planaria.otp import Server, wall_time

ONCE, THIS_SESSION, ALWAYS, NO = "once", "this session", "always", "no"
OPTIONS = (ONCE, THIS_SESSION, ALWAYS, NO)
WITH_PROOF = (ONCE, THIS_SESSION, NO)
"""With a second factor nothing is for ever."""
TOTP = "totp"
PATIENCE = 24 * 3600.0
"""Seconds a person may take."""
SESSION_LASTS = 24 * 3600.0
"""Seconds that `this session` counts."""
MOST_SHOWN = 200_000
"""Bytes of arguments that a person can be shown; a call with more cannot be approved."""
DIGITS = 32


class Hold(msgspec.Struct, frozen=True):
    """Why a call waits, and for what.

    Attributes:
        touched: what a person must be asked about, in the form its scopes compare; with None it cannot be said.
        arguments: as JSON says them, all of them.
    """

    held: tuple[Held, ...]
    touched: tuple[tuple[str, Any], ...]
    covers: tuple[Covered, ...]
    digest: str
    arguments: dict[str, Any]

    @property
    def second_factor(self) -> bool:
        """Whether a code is needed, too."""
        return any(each.second_factor for each in self.held)

    @property
    def proof(self) -> str:
        """What an answer needs beside words."""
        return TOTP if self.second_factor else ""


class Decision(msgspec.Struct, frozen=True):
    """What came of a question: the refusal, if it is one, and what is to be written down."""

    refusal: Denied | None
    events: tuple[NewEvent, ...]


def hold(tool: str, bound: dict[str, Any], held: Sequence[Held], place: Place) -> Hold | Denied:
    """What a person is to be asked about a call, or why none can be."""
    arguments = msgspec.to_builtins(bound)
    digest = digest_of(tool, arguments)
    if len(msgspec.json.encode(arguments)) > MOST_SHOWN:
        return Denied(
            f"a person must approve this, and its arguments are more than the {MOST_SHOWN} bytes one can be shown",
            capability=held[0].touch.capability,
            scope=held[0].touch.shown[:200],
        )
    touched: list[tuple[str, Any]] = []
    covers: list[Covered] = []
    for each in held:
        known = capability(each.touch.capability)
        try:
            what = (
                read(known, each.touch.what, place)
                if each.touch.capability and each.touch.what != ""
                else None
            )
        except Unreadable:
            what = None
        touched.append((each.touch.capability, what))
        try:
            scope = "" if what is None else exact(known, what)
        except ScopeError:
            scope = ""
        covers.append(Covered(known.name, scope) if scope else Covered(digest=digest))
    return Hold(tuple(held), tuple(touched), tuple(dict.fromkeys(covers)), digest, arguments)


def digest_of(tool: str, arguments: dict[str, Any]) -> str:
    """What tells one call from another: the first 32 hexadecimal digits of the SHA-256 of tool and arguments."""
    said = msgspec.json.encode([tool, arguments], order="sorted")
    return hashlib.sha256(said).hexdigest()[:DIGITS]


def asked(tool: str, context: Context, held: Hold) -> ApprovalAsked:
    """The event that says that a call waits."""
    return ApprovalAsked(
        context.call_id,
        tool,
        held.arguments,
        context.caller,
        held.digest,
        "; ".join(dict.fromkeys(each.where for each in held.held)),
        tuple(covered_words(each, tool) for each in held.covers),
        held.second_factor,
    )


async def ask(tool: str, context: Context, held: Hold, questions: Server) -> Decision:
    """Ask, and wait for the answer as long as it takes.

    Raises:
        JournalUnavailable, CallError: it is not certain that it was asked; ask again.
    """
    asked_id = tool_event_id(context.session, context.call_id, ApprovalAsked.kind)
    try:
        question = await Questions.ask(
            words(tool, context, held),
            key=f"{asked_id}/{held.digest}",
            by=context.caller,
            options=WITH_PROOF if held.second_factor else OPTIONS,
            room=(context.room or "").removeprefix("room:"),
            expires=wall_time() + PATIENCE,
            trace_id=context.trace_id,
            cause_id=asked_id,
            subject=context.subject,
            proof=held.proof,
            detail=asked_id,
        )
    except QuestionRefused as error:
        return Decision(_refused(held, f"nobody could be asked: {error}"), ())
    return decide(tool, context, held, question, await Questions.wait(questions, question))


def decide(tool: str, context: Context, held: Hold, question: str, closed: Closed | None) -> Decision:
    """What an answer means. Pure."""
    how = "withdrawn" if closed is None else closed.option if closed.how == "answered" else closed.how
    decided = ApprovalDecided(
        context.call_id,
        tool,
        how,
        closed.by if closed else "",
        closed.via if closed else "",
        question,
        held.digest,
    )
    made = decided.new(
        session=context.session,
        trace_id=context.trace_id,
        cause_id=context.cause_id,
        id=tool_event_id(context.session, context.call_id, decided.kind),
        subject=context.subject,
    )
    if closed is None or how not in (ONCE, THIS_SESSION, ALWAYS):
        return Decision(_refused(held, _why(closed)), (made,))
    if held.second_factor and closed.proof != TOTP:
        return Decision(_refused(held, "it needs a second factor, and the answer came without one"), (made,))
    if how == ONCE:
        return Decision(None, (made,))
    granted = ApprovalGranted(
        context.caller,
        tool,
        _widened(held, closed.text),
        closed.by,
        context.session if how == THIS_SESSION else "",
        closed.at + SESSION_LASTS if how == THIS_SESSION else None,
        closed.via,
        question,
        closed.proof,
    )
    remembered = granted.new(
        session=SESSION, trace_id=context.trace_id, cause_id=question, id=repeatable_id(SESSION, question)
    )
    return Decision(None, (made, remembered))


def words(tool: str, context: Context, held: Hold) -> str:
    """The question: who wants to do what, every argument, and what an answer covers."""
    who = context.caller.partition(":")[2] or context.caller
    remembered = "\n".join(f"    {plainly(covered_words(each, tool))}" for each in held.covers)
    tail = f"`{THIS_SESSION}`" if held.second_factor else f"`{THIS_SESSION}` and `{ALWAYS}`"
    if len(held.covers) == 1 and held.covers[0].scope:
        tail += " (say a wider pattern behind it, if you like)"
    code = "\n\nIt needs a code of your authenticator." if held.second_factor else ""
    foot = f"\n\n{tail} would cover:\n\n{remembered}\n\nDigest of this call: {held.digest}{code}"
    head = f"May {who} run {tool}?\n\n"
    body = _indented(shown(held.arguments))
    left = LONGEST_TEXT - len(head) - len(foot) - 200
    if len(foot) > LONGEST_TEXT // 2:
        foot = f"\n\nDigest of this call: {held.digest}{code}"
        left = LONGEST_TEXT - len(head) - len(foot) - 200
    if len(body) > left:
        note = "\n\n(cut here; the dashboard and `planaria questions show` have all of it)"
        body = body[:left] + note
    return head + body + foot


def shown(arguments: dict[str, Any]) -> str:
    """Arguments as JSON in which nothing hides: what cannot be seen is written by its number."""
    text = json.dumps(arguments, ensure_ascii=False, indent=2)
    return "\n".join(map(plainly, text.split("\n")))


def plainly(line: str) -> str:
    """A line in which nothing hides, and which is one: what cannot be seen is written by its number."""
    return "".join(sign if sign.isprintable() else _numbered(sign) for sign in line)


def approval_words(approval: Approval) -> str:
    """What an approval is for, for people."""
    return "; ".join(covered_words(each, approval.tool) for each in approval.covers)


def covered_words(covered: Covered, tool: str) -> str:
    """What an approval is for, for people."""
    if covered.scope and covered.capability == tool:
        return f"{tool} on {covered.scope}"
    if covered.scope:
        return f"{tool}: {covered.capability} on {covered.scope}"
    return f"{tool} with exactly these arguments"


def _widened(held: Hold, said: str) -> tuple[Covered, ...]:
    """The scopes to be remembered: the one that was said, if there is one place for it and it covers the call."""
    if not said or len(held.touched) != 1:
        return held.covers
    name, what = held.touched[0]
    try:
        covers = what is not None and scope_of(capability(name), said.strip("`")).covers(what)
    except ScopeError:
        covers = False
    return (Covered(name, said.strip("`")),) if covers else held.covers


def _refused(held: Hold, why: str) -> Denied:
    touch = held.held[0].touch
    return Denied(why, capability=touch.capability, scope=touch.shown[:200])


def _why(closed: Closed | None) -> str:
    if closed is None:
        return "the question whether it may be done was erased"
    match closed.how:
        case "expired":
            return f"nobody approved it within {PATIENCE / 3600:g} hours; ask the people here before you try again"
        case "withdrawn":
            return "the question whether it may be done was withdrawn"
        case "answered":
            remark = f": {closed.text}" if closed.text else ""
            return f"{closed.by or 'somebody'} was asked and said no{remark}"


def _numbered(sign: str) -> str:
    return f"\\u{ord(sign):04x}" if ord(sign) < 0x10000 else f"\\U{ord(sign):08x}"


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.split("\n"))
