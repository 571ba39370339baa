"""What people have approved for more than one call: durable, listed, revocable.

Started by the node under the name `approvals`. Folds the stream `approvals` and publishes a table that the gate reads
at once; while it does not run nothing is remembered, so people are asked again.
Emits in the stream `approvals`: `approval.granted` (the gate writes it), `approval.revoked`.
"""

from collections.abc import Iterable
from typing import Any, ClassVar

import msgspec

from planaria.cortex.errors import EventRefused
from planaria.cortex.event import Event, repeatable_id
from planaria.cortex.event_type import EventMismatch
from planaria.cortex.folded import Folded, save
from planaria.cortex.journal import Journal
from planaria.membrane.capability import capability
from planaria.membrane.events import ApprovalGranted, ApprovalRevoked, Covered
from planaria.membrane.grants import scope_of
from planaria.membrane.scopes.scope import Scope, ScopeError
from planaria.otp import GenServer, Node, Server, Task, call, subscribe, wall_time
from planaria.otp.kernel.table import publish

SESSION = "approvals"
NAME = "approvals"
SNAPSHOT = "approvals"


class ApprovalRefused(ValueError):
    """It cannot be revoked; says why."""


class Approval(msgspec.Struct, frozen=True):
    """Something a person has approved; see `ApprovalGranted`. `at` is unix seconds."""

    id: str
    caller: str
    tool: str
    covers: tuple[Covered, ...]
    by: str
    at: float
    session: str = ""
    until: float | None = None
    via: str = ""
    question: str = ""
    proof: str = ""


class Book(Folded):
    """All approvals that are remembered, folded."""

    approvals: dict[str, Approval] = msgspec.field(default_factory=dict)

    def apply(self, event: Event) -> None:
        """See `Folded`. One that was erased or cannot be read approves nothing."""
        try:
            match event.kind:
                case ApprovalGranted.kind:
                    given = ApprovalGranted.of(event)
                    self.approvals[event.id] = Approval(
                        *(event.id, given.caller, given.tool, given.covers, given.by, event.at),
                        *(given.session, given.until, given.via, given.question, given.proof),
                    )
                case ApprovalRevoked.kind:
                    self.approvals.pop(ApprovalRevoked.of(event).approval, None)
                case _:
                    pass
        except EventMismatch:
            return

    def size(self) -> int:
        """See `Folded`."""
        return len(self.approvals)


class ApprovalTable:
    """What is approved, by caller and tool: for the gate, which reads it without a message."""

    def __init__(self) -> None:
        self._known: dict[
            tuple[str, str], list[tuple[Approval, list[tuple[Covered, Scope[Any] | None]]]]
        ] = {}

    def set(self, approvals: Iterable[Approval]) -> None:
        """From now on these."""
        known: dict[tuple[str, str], list[tuple[Approval, list[tuple[Covered, Scope[Any] | None]]]]] = {}
        for each in approvals:
            compiled = [(covered, _compiled(covered)) for covered in each.covers]
            known.setdefault((each.caller, each.tool), []).append((each, compiled))
        self._known = known

    def find(
        self,
        caller: str,
        tool: str,
        session: str,
        touched: Iterable[tuple[str, Any]],
        digest: str,
        proof: str = "",
    ) -> Approval | None:
        """The approval that covers all of a call.

        Args:
            touched: by capability what is touched, in the form its scopes compare; None: it cannot be said.
            digest: of the call.
            proof: what must have been given with the approval.
        """
        wanted = list(touched)
        for approval, covers in self._known.get((caller, tool), ()):
            if (approval.session and approval.session != session) or (proof and approval.proof != proof):
                continue
            if approval.until is not None and approval.until <= wall_time():
                continue
            if all(any(_covers(each, name, what, digest) for each in covers) for name, what in wanted):
                return approval
        return None


class Approvals(GenServer):
    """Keeps what people have approved."""

    trap_exit: ClassVar[bool] = True

    async def init(self) -> None:
        """Read what was approved."""
        subscribe(f"journal:{SESSION}")
        self.table = ApprovalTable()
        self.book = await Book.load(SESSION, SNAPSHOT)
        self.table.set(self.book.approvals.values())
        publish(self.pid, self.table)

    @call
    def remembered(self) -> tuple[Approval, ...]:
        """What is approved now, oldest first; what was for a time that is over is left out."""
        now = wall_time()
        return tuple(each for each in self.book.approvals.values() if each.until is None or each.until > now)

    def handle_info(self, message: Any) -> None:
        if isinstance(message, Event) and self.book.take(message):
            self.table.set(self.book.approvals.values())
            if self.book.is_due():
                Task.start_link(save, self.book.saved(SESSION, SNAPSHOT), label="approvals snapshot")

    @staticmethod
    async def revoke(approvals: Server, which: str, *, by: str) -> Approval:
        """Let an approval count no more. In force when this returns, but for calls that run already.

        Args:
            which: its id, or a beginning of it that names one only.
        Raises:
            ApprovalRefused: there is none, or several begin so.
            JournalUnavailable, CallError: it is not certain that it was revoked; do it again.
        """
        found = [each for each in await Approvals.remembered(approvals) if each.id.startswith(which)]
        if len(found) != 1 or not which:
            several = (
                f"{len(found)} approvals begin with {which!r}" if found else f"there is no approval {which!r}"
            )
            raise ApprovalRefused(f"{several}; `planaria approvals` lists them")
        approval = found[0]
        event = ApprovalRevoked(approval.id, by).new(
            session=SESSION, cause_id=approval.id, id=repeatable_id(SESSION, approval.id, "revoked")
        )
        try:
            await Journal.append("journal", [event])
        except EventRefused as error:
            if error.duplicate_of is None:
                raise ApprovalRefused(f"this cannot be written down: {error.reason}") from error
        await Approvals.settle(approvals, approval.id)
        return approval

    @call
    async def settle(self, id: str) -> None:
        """Return when an approval that was revoked in the journal is gone from the table."""
        event = await Journal.find("journal", repeatable_id(SESSION, id, "revoked"))
        if event is not None:
            self.book.approvals.pop(id, None)
            self.table.set(self.book.approvals.values())


def approved_of(node: Node) -> ApprovalTable:
    """What is approved on a node; nothing while nobody keeps it."""
    owner = node.names.get(NAME)
    table = None if owner is None else node.tables.get(owner)
    return table if isinstance(table, ApprovalTable) else _NOTHING


_NOTHING = ApprovalTable()


def _compiled(covered: Covered) -> Scope[Any] | None:
    if not covered.scope:
        return None
    try:
        return scope_of(capability(covered.capability), covered.scope)
    except ScopeError:
        return None


def _covers(each: tuple[Covered, Scope[Any] | None], name: str, what: Any, digest: str) -> bool:
    covered, scope = each
    if covered.digest:
        return covered.digest == digest
    return covered.capability == name and scope is not None and what is not None and scope.covers(what)
