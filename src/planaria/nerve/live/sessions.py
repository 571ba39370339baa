"""Sessions now: what each agent does in each room, since when, for whom, and what it has cost.

Folded from the session's events, the room's messages and the pieces of answers on their way. Figures are counted
from the events that were read at the start on, not from the beginning of the journal.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any, ClassVar

import msgspec

from planaria.cortex.event import Event
from planaria.cortex.live.table import Row, Table
from planaria.nerve.live.projected import Projected
from planaria.otp import Node, ProcessExited, ProcessStarted, is_orderly, reason_text
from planaria.rooms.message import ReplyDelta, TurnState, room_name

PREFIX = "session:"
MOST = 5000
MOST_MESSAGES = 1000
MOST_WAITING = 1000
LONGEST_TEXT = 200
LONGEST_TAIL = 400


class SessionRow(Row, frozen=True):
    """One agent in one room; `key` is `session:<agent>@<room>`.

    Attributes:
        status: `idle`, `thinking` (a model call), `acting` (tools), `waiting`, `down` (its process is not there).
        doing: what exactly, in words; empty when idle.
        since: unix seconds since when it does that.
        turn: the turn in hand; empty for none. `turn_since` is when that began.
        author, asked: whom it answers, and the beginning of what was said.
        saying: the end of what it is writing now.
        model: the one it called last, `provider/model`.
        queue: messages that wait for their turn; at most 1000 are counted.
        turns, failures: turns that are over; model calls that failed.
        tokens_in, tokens_out, cost_micro: of its model calls; cost in millionths of a dollar, where it is known.
        guard: what its guard saw last, and what was done about it; of the turn in hand, or the last one.
        trips: times a guard has ended it.
        last_error: of its last failure.
        trace_id: of the turn in hand, or the last one.
    """

    labels: ClassVar[tuple[str, ...]] = ("agent", "room", "status", "author", "model", "turn")
    agent: str
    room: str
    status: str = "idle"
    doing: str = ""
    since: float = 0.0
    turn: str = ""
    turn_since: float = 0.0
    step: int = 0
    author: str = ""
    asked: str = ""
    saying: str = ""
    model: str = ""
    queue: int = 0
    turns: int = 0
    failures: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cost_micro: int = 0
    last_error: str = ""
    trace_id: str = ""
    guard: str = ""
    trips: int = 0


class _Session:
    """A session as it is folded: changed in place, as most changes are never looked at."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.agent, _, self.room = key.removeprefix(PREFIX).partition("@")
        self.status = "idle"
        self.doing = self.node = ""
        self.since = self.turn_since = 0.0
        self.turn = self.author = self.asked = self.saying = self.model = self.last_error = self.trace_id = ""
        self.guard = ""
        self.trips = 0
        self.held = ""  # what it waits for a person to say
        self.asking = False  # whether a model call has begun and not ended
        self.step = self.turns = self.failures = self.tokens_in = self.tokens_out = self.cost_micro = 0
        self.waiting: dict[str, str] = {}  # message -> author
        self.tools: dict[str, dict[str, Any]] = {}  # call -> how it was begun

    def now(self, status: str, doing: str, at: float) -> None:
        if doing != self.doing or status != self.status:
            self.status, self.doing, self.since = status, doing, at

    def wait(self, message: str, author: str) -> None:
        self.waiting[message] = author
        if len(self.waiting) > MOST_WAITING:
            del self.waiting[next(iter(self.waiting))]

    def words(self) -> str:
        """What it does. Put into words here, as most of it is over before anybody looks."""
        if self.doing is _ASKS:
            return f"asks {self.model}, step {self.step}"
        if self.doing is _RUNS:
            return f"runs {', '.join(map(_call_text, self.tools.values()))}"[:LONGEST_TEXT]
        return self.doing

    def goes_on(self) -> str:
        """What a restarted process does: it was begun before, and is in no event a second time."""
        if self.held:
            return self.held
        return _RUNS if self.tools else _ASKS if self.asking else "goes on with its turn"

    def row(self) -> SessionRow:
        return SessionRow(
            key=self.key,
            agent=self.agent,
            room=self.room,
            status=self.status,
            doing=self.words(),
            since=self.since,
            turn=self.turn,
            turn_since=self.turn_since,
            step=self.step,
            author=self.author,
            asked=self.asked,
            saying=self.saying,
            model=self.model,
            queue=len(self.waiting),
            turns=self.turns,
            failures=self.failures,
            tokens_in=self.tokens_in,
            tokens_out=self.tokens_out,
            cost_micro=self.cost_micro,
            last_error=self.last_error,
            trace_id=self.trace_id,
            guard=self.guard,
            trips=self.trips,
        )


class Sessions(Projected):
    """Keeps the table `sessions`."""

    kinds = frozenset(
        {
            *("session.tripped", "restart.chosen", "session.handed_off", "turn.guided", "turn.stopped"),
            *("turn.started", "turn.finished", "model.requested", "model.responded", "model.failed"),
            *("tool.started", "tool.finished", "room.message", "room.redelivered", "session.diverged"),
            *("session.forked", "session.removed", "turn.steered", "child.asked"),
        }
    )
    hears = (ReplyDelta, TurnState)
    kernel = (ProcessStarted, ProcessExited)

    def __init__(self, node: Node) -> None:
        super().__init__()
        self.node = node
        self.sessions: dict[str, _Session] = {}
        self.said: OrderedDict[str, tuple[str, str]] = OrderedDict()  # message -> author, its beginning
        self.removed: set[str] = set()  # rooms of branches that are no longer run
        self.table: Table[SessionRow] = Table("sessions", SessionRow, MOST, "an agent in a room")
        self.table.build = self._build
        self.table.forget = self._forget
        self.in_room: Counter[str] = Counter()  # sessions
        for name in list(node.names):
            if name.startswith(PREFIX):
                self._session(name).since = node.clock.wall()

    def _build(self, key: str) -> SessionRow | None:
        session = self.sessions.get(key)
        return None if session is None else session.row()

    def _session(self, key: str) -> _Session:
        session = self.sessions.get(key)
        if session is None:
            session = self.sessions[key] = _Session(key)
            session.agent = self.said.get(key, (session.agent, ""))[0]
            self.in_room[session.room] += 1
            self.topics.add(room_name(session.room))
        self.table.touch(key)
        return session

    def _forget(self, key: str) -> None:
        session = self.sessions.pop(key, None)
        if session is None:
            return  # its branch was removed
        self.in_room[session.room] -= 1
        if not self.in_room[session.room]:
            del self.in_room[session.room]
            self.topics.discard(room_name(session.room))

    def looked_back(self) -> None:
        """What this node's sessions did last is over where no process does it."""
        for key, session in list(self.sessions.items()):
            if session.node in ("", self.node.name) and key not in self.node.names:
                session.status, session.doing, session.saying = "down", "its process is not there", ""
                self.table.touch(key)

    # --- the journal -------------------------------------------------------------------------------------------------

    def event(self, event: Event) -> None:
        """One event of a session or a room."""
        if event.kind == "child.asked":
            self._remember(event.id, event.payload, "by", "task")
            self._remember(event.session, event.payload, "agent", "task")
        elif event.session.startswith(PREFIX):
            session = self.sessions.get(event.session)
            if session is None and "/" in event.session and event.session not in self.node.names:
                return  # a child that has ended
            if session is None:
                session = self._session(event.session)
            else:
                self.table.touch(event.session)
            self._of_session(session, event)
        elif event.kind == "room.message":
            self._said(event)
        elif event.kind == "session.forked":
            self.removed.discard(str(event.payload.get("room", "")))
        elif event.kind == "session.removed":
            self._branch_removed(str(event.payload.get("room", "")))
        elif event.kind == "room.redelivered" and event.state == "whole":
            message, agent = str(event.payload.get("message", "")), event.payload.get("agent")
            author = self.said.get(message, ("", ""))[0]
            self._session(f"{PREFIX}{agent}@{event.session.removeprefix('room:')}").wait(message, author)

    def _remember(self, key: str, payload: dict[str, Any], author: str, text: str) -> None:
        said = payload.get(text)
        self.said[key] = (str(payload.get(author, "")), said[:LONGEST_TEXT] if isinstance(said, str) else "")
        if len(self.said) > MOST_MESSAGES:
            self.said.popitem(last=False)

    def _said(self, event: Event) -> None:
        payload, room = event.payload, event.session.removeprefix("room:")
        author = str(payload.get("author", ""))
        self._remember(event.id, payload, "author", "text")
        for agent in payload.get("to") or ():
            self._session(f"{PREFIX}{agent}@{room}").wait(event.id, author)
        if event.cause_id is not None:  # an answer
            answered = self.sessions.get(f"{PREFIX}{author}@{room}")
            for message in (event.cause_id, *(payload.get("answers") or ())):
                if answered is not None and answered.waiting.pop(message, None) is not None:
                    self.table.touch(answered.key)

    def _branch_removed(self, room: str) -> None:
        self.removed.add(room)
        for key in [key for key, session in self.sessions.items() if session.room == room]:
            self._forget(key)
            self.table.touch(key)

    def _of_session(self, session: _Session, event: Event) -> None:
        take = _TAKE.get(event.kind)
        session.node = event.node
        if take is not None:
            take(self, session, event.payload, event)

    def _turn_started(self, session: _Session, payload: dict[str, Any], event: Event) -> None:
        message = str(payload.get("message", ""))
        attempt = payload.get("attempt", 1)
        session.turn = message if attempt == 1 else f"{message}~{attempt}"
        session.guard = session.held = ""
        session.turn_since, session.trace_id, session.step = event.at, event.trace_id, 0
        session.author, session.asked = self.said.get(message) or (str(payload.get("author", "")), "")
        session.waiting.pop(message, None)
        session.tools.clear()
        session.asking = False
        session.saying = ""
        session.now("thinking", "reads what was said", event.at)

    def _requested(self, session: _Session, payload: dict[str, Any], event: Event) -> None:
        session.step = int(payload.get("step", 0)) + 1
        session.model = f"{payload.get('provider', '')}/{payload.get('model', '')}"
        session.saying = ""
        session.asking = True
        session.now("thinking", _ASKS, event.at)

    def _responded(self, session: _Session, payload: dict[str, Any], event: Event) -> None:
        usage = payload.get("usage")
        if isinstance(usage, dict):
            session.tokens_in += usage.get("input_tokens", 0)
            session.tokens_out += usage.get("output_tokens", 0)
        session.cost_micro += payload.get("cost_micro") or 0
        session.asking = False
        calls = payload.get("tool_calls") or ()
        if calls:
            session.now("acting", f"calls {', '.join(str(call.get('name')) for call in calls)}", event.at)
        else:
            session.now("waiting", "puts its answer into the room", event.at)

    def _failed(self, session: _Session, payload: dict[str, Any], event: Event) -> None:
        session.failures += 1
        session.asking = False
        session.last_error = str(payload.get("error", ""))[:LONGEST_TEXT]
        session.now("waiting", f"the model failed: {session.last_error}", event.at)

    def _tool_started(self, session: _Session, payload: dict[str, Any], event: Event) -> None:
        session.tools[str(payload.get("call_id", ""))] = payload
        session.now("acting", _RUNS, event.at)

    def _approval_asked(self, session: _Session, payload: dict[str, Any], event: Event) -> None:
        session.held = f"waits for a person to approve {payload.get('tool', '')}"
        session.now("waiting", session.held, event.at)

    def _approval_decided(self, session: _Session, payload: dict[str, Any], event: Event) -> None:
        session.held = ""
        session.now("acting", f"calls {payload.get('tool', '')}", event.at)

    def _tool_finished(self, session: _Session, payload: dict[str, Any], event: Event) -> None:
        session.tools.pop(str(payload.get("call_id", "")), None)
        if not session.tools and session.turn:
            session.now("thinking", f"read what {payload.get('tool', '')} gave", event.at)
        if payload.get("error"):
            session.last_error = f"{payload.get('tool', '')}: {payload['error']}"[:LONGEST_TEXT]

    def _turn_finished(self, session: _Session, payload: dict[str, Any], event: Event) -> None:
        session.turns += 1
        session.turn = session.saying = session.author = session.asked = ""
        session.step = 0
        session.asking = False
        session.tools.clear()
        session.now("idle", "", event.at)

    def _tripped(self, session: _Session, payload: dict[str, Any], event: Event) -> None:
        session.trips += 1
        session.asking = False
        session.tools.clear()
        words = f"{payload.get('cause', '')}: {payload.get('words', '')}"
        session.guard = words[:LONGEST_TEXT]
        session.now("waiting", "interrupted by its guard", event.at)

    def _chosen(self, session: _Session, payload: dict[str, Any], event: Event) -> None:
        mode = str(payload.get("mode", ""))
        done = _MODES.get(mode, mode)
        session.held = done if mode == "ask" else ""
        session.guard = f"{session.guard} → {done} ({payload.get('why', '')})"
        session.now("waiting", done, event.at)

    def _handed_off(self, session: _Session, payload: dict[str, Any], event: Event) -> None:
        usage = payload.get("usage")
        if isinstance(usage, dict):
            session.tokens_in += usage.get("input_tokens", 0)
            session.tokens_out += usage.get("output_tokens", 0)
        session.cost_micro += payload.get("cost_micro") or 0

    def _guided(self, session: _Session, payload: dict[str, Any], event: Event) -> None:
        session.held = ""
        said = ": ".join(filter(None, (str(payload.get("option", "")), str(payload.get("text", "")))))
        session.guard = f"{session.guard} → {payload.get('by') or 'nobody'} said {said or 'nothing'}"
        session.now("thinking", "goes on as it was told", event.at)

    def _stopped(self, session: _Session, payload: dict[str, Any], event: Event) -> None:
        if session.turn == payload.get("turn"):
            session.asking = False
            session.tools.clear()
            session.now("waiting", f"stopped by {payload.get('by', '')}", event.at)

    def _steered(self, session: _Session, payload: dict[str, Any], event: Event) -> None:
        session.waiting.pop(str(payload.get("message", "")), None)

    def _diverged(self, session: _Session, payload: dict[str, Any], event: Event) -> None:
        session.last_error = "the state it held is not the one its events make"
        session.now("waiting", "stopped: its state and its events differ", event.at)

    # --- what is in no event -----------------------------------------------------------------------------------------

    def heard(self, message: Any) -> None:
        """A piece of an answer, or what an agent does."""
        match message:
            case ReplyDelta(room=room, author=agent, text=text):
                session = self.sessions.get(f"{PREFIX}{agent}@{room}")
                if session is not None:
                    if message.again:
                        session.saying = ""
                    session.saying = (session.saying + text)[-LONGEST_TAIL:]
                    self.table.touch(session.key)
            case TurnState(room=room, agent=agent, state=state, doing=doing):
                if room in self.removed:
                    return
                session = self._session(f"{PREFIX}{agent}@{room}")
                if session.doing == _AGAIN and state != "idle":
                    session.now(state, session.goes_on(), self.node.clock.wall())
                elif doing:
                    session.now(state, doing, self.node.clock.wall())
                elif state != session.status and not (session.turn and state == "idle"):
                    session.now(state, session.doing if session.turn else "", self.node.clock.wall())
            case _:
                pass  # what is said comes from the journal

    def kernel_event(self, event: Any) -> None:
        """A session's process came or went."""
        name = event.name
        if not name.startswith(PREFIX) or name.partition("@")[2] in self.removed:
            return
        session = self._session(name)
        at = self.node.clock.wall()
        if isinstance(event, ProcessExited) and "/" in name and is_orderly(event.reason):
            self._forget(name)  # a child whose work is done
            self.table.touch(name)
        elif isinstance(event, ProcessExited):
            why = "ended" if is_orderly(event.reason) else reason_text(event.reason)
            session.now("down", f"its process is gone: {why}"[:LONGEST_TEXT], at)
            session.saying = ""
        elif session.turn:
            session.now("waiting", _AGAIN, at)
        else:
            session.now("idle", "", at)
            session.since = session.since or at


def _call_text(payload: dict[str, Any]) -> str:
    arguments = payload.get("arguments")
    if not isinstance(arguments, dict) or not arguments:
        return f"{payload.get('tool', '')}()"
    shown = msgspec.json.encode(arguments).decode()[1:-1]
    return f"{payload.get('tool', '')}({shown[:120]}{'…' if len(shown) > 120 else ''})"


_ASKS = "asks a model"
_RUNS = "runs tools"
_AGAIN = "takes its turn up again"
_MODES = {
    "resume": "goes on where it stood",
    "fresh": "begins afresh from a hand-off note",
    "amend": "goes on with an added instruction",
    "reroute": "asks another model",
    "ask": "waits for a person to say how to go on",
    "give_up": "gives the message up",
}
_TAKE: dict[str, Callable[[Sessions, _Session, dict[str, Any], Event], None]] = {
    "turn.started": Sessions._turn_started,
    "model.requested": Sessions._requested,
    "model.responded": Sessions._responded,
    "model.failed": Sessions._failed,
    "approval.asked": Sessions._approval_asked,
    "approval.decided": Sessions._approval_decided,
    "tool.started": Sessions._tool_started,
    "tool.finished": Sessions._tool_finished,
    "turn.finished": Sessions._turn_finished,
    "turn.steered": Sessions._steered,
    "session.tripped": Sessions._tripped,
    "restart.chosen": Sessions._chosen,
    "session.handed_off": Sessions._handed_off,
    "turn.guided": Sessions._guided,
    "turn.stopped": Sessions._stopped,
    "session.diverged": Sessions._diverged,
}
