"""Rooms: the list, and the talk in one, with answers appearing as they are written."""

from collections.abc import Sequence
from urllib.parse import quote

import msgspec
from markupsafe import Markup
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from planaria.agents.turn.turn import message_of_turn
from planaria.cortex.event import new_id
from planaria.nerve.show import clip
from planaria.nerve.trace.doing import masked, session_rows
from planaria.nerve.web.forms import read_form
from planaria.nerve.web.live import LiveResponse
from planaria.nerve.web.markdown import to_html
from planaria.nerve.web.parts import Part, dom_id
from planaria.nerve.web.render import partial, process_url
from planaria.nerve.web.site import Site
from planaria.otp import CallError, Pid
from planaria.rooms.message import ReplyDelta, RoomMessage, TurnState, room_name
from planaria.rooms.room import Room
from planaria.rooms.rooms import list_rooms, open_room

LAST = 200
"""Messages shown of a room."""
LONGEST = 8000
"""Characters of one message written here."""
ME = "you"
RESTING = "idle"
"""State of a turn in which nothing more is to come."""


class MessageLine(msgspec.Struct, frozen=True):
    """A message as the page shows it."""

    dom: str
    kind: str
    author: str
    badge: str
    at: float
    trace_id: str
    html: Markup


class ReplyLine(msgspec.Struct, frozen=True):
    """An answer that is still being written.

    Attributes:
        piece: which stretch of it is being written, from 1; 0 between two, -1 after one that was taken back, which is
            struck out.
        pieces: how many it had.
        stop: where a click ends it.
    """

    dom: str
    author: str
    doing: str
    stop: str
    piece: int = 0
    pieces: int = 0


class PersonLine(msgspec.Struct, frozen=True):
    """An agent in the room."""

    title: str
    href: str | None
    tone: str
    model: str | None


class RoomLine(msgspec.Struct, frozen=True):
    """A room in the list, with the last thing said."""

    name: str
    last: "LastLine | None"


class LastLine(msgspec.Struct, frozen=True):
    """The last message of a room in short."""

    author: str
    text: str
    at: float


def routes(site: Site) -> list[Route]:
    """`/rooms`, each room, its stream, and what is posted to it."""

    async def show_list(request: Request) -> Response:
        return await site.page("rooms.html", "rooms", None, {"rooms": await _lines(site)})

    async def open_another(request: Request) -> Response:
        name = (await read_form(request)).get("name", "").strip()
        try:
            await site.node.run(open_room, name)
        except ValueError as error:
            raise HTTPException(400, str(error)) from error
        return RedirectResponse("/rooms/" + quote(name), status_code=303)

    async def show_room(request: Request) -> Response:
        name = request.path_params["name"]
        feed = RoomFeed(site, name)
        values = {key: value for part in await feed.parts() for key, value in part.values.items()}
        values |= _composer(name)
        return await site.page("room.html", "rooms", "/live/rooms/" + quote(name), values)

    async def post(request: Request) -> Response:
        name = request.path_params["name"]
        form = await read_form(request)
        text, client_id = form.get("text", "").strip(), form.get("client_id", "")
        error = await _post(site, name, text, client_id)
        if request.headers.get("hx-request") != "true" and error is None:
            return RedirectResponse("/rooms/" + quote(name), status_code=303)
        values = _composer(name) if error is None else _composer(name, text, client_id, error)
        # A refused message is shown in its form again; htmx swaps any status, the words say what is wrong.
        return site.renderer.response("_composer.html", values, 200 if error is None else 422)

    async def live(request: Request) -> Response:
        return LiveResponse(site, request, RoomFeed(site, request.path_params["name"]))

    return [
        Route("/rooms", show_list),
        Route("/rooms", open_another, methods=["POST"]),
        Route("/rooms/{name}", show_room),
        Route("/rooms/{name}", post, methods=["POST"]),
        Route("/live/rooms/{name}", live),
    ]


class RoomFeed:
    """One room: the talk once, then every message, every piece of an answer, as they come."""

    def __init__(self, site: Site, name: str) -> None:
        self.site = site
        self.name = name
        self.topics: Sequence[str] = (room_name(name),)
        self.messages: tuple[Markup, ...] | None = None
        self.last_seq = 0
        self.writing: dict[str, ReplyLine] = {}
        self.models: dict[str, str] = {}

    async def parts(self) -> list[Part]:
        """The talk as it was when the stream began, and who is there now."""
        if self.messages is None:
            self.messages = tuple(self._seen(message) for message in await self._read())
            # Who was at work before the page was opened would else be seen with its next sign of life only.
            redactor = self.site.services.redactor
            for row in (masked(each, redactor) for each in session_rows(self.site.node)):
                if row.room == self.name and row.turn and row.status not in (RESTING, "down"):
                    message, _ = message_of_turn(row.turn)
                    reply = self._reply(row.agent, message, _doing(row.status, row.doing))
                    self.writing[reply.dom] = reply
        talk: dict[str, object] = {"messages": self.messages, "replies": tuple(self.writing.values())}
        people = self._people(await Room.members(self._pid()))
        return [
            Part("people", "_room_people.html", {"people": people}, people),
            Part("transcript", "_transcript.html", talk, "once"),
        ]

    def take(self, messages: Sequence[object]) -> list[str]:
        """What messages of the room's topic change on the page."""
        return [change for message in joined(messages) if (change := self._take(message))]

    def _take(self, message: object) -> str:
        match message:
            case RoomMessage() if message.seq > self.last_seq:
                return self._said(message)
            case ReplyDelta():
                return self._wrote(message)
            case TurnState():
                return self._turned(message)
            case _:
                return ""

    def _pid(self) -> Pid:
        try:
            return self.site.pid(room_name(self.name))
        except CallError as error:
            raise HTTPException(
                404, f"There is no room {self.name!r}. Open it on the page of all rooms."
            ) from error

    async def _read(self) -> list[RoomMessage]:
        return await Room.transcript(self._pid(), limit=LAST)

    def _seen(self, message: RoomMessage) -> Markup:
        self.last_seq = max(self.last_seq, message.seq)
        if message.model:
            self.models[message.author] = message.model
        return draw_message(self.site, message)

    def _said(self, message: RoomMessage) -> str:
        html = self._seen(message)
        reply = self.writing.pop(_reply_id(message.author, message.cause_id), None)
        gone = partial(f"#{reply.dom}", "delete", "") if reply is not None else ""
        return gone + partial("#transcript", "beforeend", html)

    def _wrote(self, delta: ReplyDelta) -> str:
        dom = _reply_id(delta.author, delta.cause_id)
        reply = self.writing.get(dom)
        begun = ""
        if reply is None:
            reply = self._reply(delta.author, delta.cause_id, "is answering")
            begun = self._begin(reply)
        struck = ""
        if delta.again and reply.pieces:
            # The stretch before this word is struck out, by its style.
            struck = partial(
                f"#{dom} .text", "beforeend", f'<span class="again">{Markup.escape(delta.again)}</span>'
            )
            reply = msgspec.structs.replace(reply, piece=-1)
        self.writing[dom] = reply
        return begun + struck + (self._more(reply, delta.text) if delta.text else "")

    def _more(self, reply: ReplyLine, text: str) -> str:
        """Write on at the stretch in hand; what was said before a tool was called stays, one line above."""
        words = str(Markup.escape(text))
        if reply.piece > 0:
            return partial(f"#{reply.dom}-{reply.piece}", "beforeend", words)
        number = reply.pieces + 1
        self.writing[reply.dom] = msgspec.structs.replace(reply, piece=number, pieces=number)
        gap = "\n\n" if reply.pieces and reply.piece == 0 else ""
        html = f'<span class="piece" id="{reply.dom}-{number}">{gap}{words.lstrip()}</span>'
        return partial(f"#{reply.dom} .text", "beforeend", html)

    def _turned(self, turn: TurnState) -> str:
        dom = _reply_id(turn.agent, turn.cause_id)
        if turn.state == RESTING:
            return partial(f"#{dom}", "delete", "") if self.writing.pop(dom, None) is not None else ""
        reply, doing = self.writing.get(dom), _doing(turn.state, turn.doing)
        if reply is None:
            return self._begin(self._reply(turn.agent, turn.cause_id, doing))
        if turn.state == "acting":
            self.writing[dom] = msgspec.structs.replace(reply, piece=0)
        return partial(f"#{dom} .doing", "textContent", str(Markup.escape(f"· {doing}")))

    def _begin(self, reply: ReplyLine) -> str:
        self.writing[reply.dom] = reply
        return partial("#transcript", "beforeend", self.site.renderer.text("_reply.html", {"reply": reply}))

    def _reply(self, agent: str, cause_id: str | None, doing: str) -> ReplyLine:
        stop = f"/sessions/{quote(agent)}@{quote(self.name)}/stop"
        return ReplyLine(_reply_id(agent, cause_id), agent, doing, stop)

    def _people(self, members: Sequence[str]) -> tuple[PersonLine, ...]:
        people = []
        for agent in sorted(members):
            session = f"session:{agent}@{self.name}"
            here = self.site.node.whereis(session) is not None
            people.append(
                PersonLine(
                    title=agent,
                    href=process_url(session) if here else None,
                    tone="good" if here else "alarm",
                    model=self.models.get(agent),
                )
            )
        return tuple(people)


def joined(messages: Sequence[object]) -> list[object]:
    """The messages, neighbouring pieces of one answer made one: a fast model sends hundreds between two frames."""
    found: list[object] = []
    for message in messages:
        last = found[-1] if found else None
        if isinstance(message, ReplyDelta) and isinstance(last, ReplyDelta):
            same = (last.author, last.cause_id, last.step) == (message.author, message.cause_id, message.step)
            if same and not message.again:
                found[-1] = msgspec.structs.replace(last, text=last.text + message.text)
                continue
        found.append(message)
    return found


def draw_message(site: Site, message: RoomMessage) -> Markup:
    """A message as HTML, drawn once for all open pages: what was said never changes."""

    def draw() -> str:
        return site.renderer.text("_message.html", {"message": message_line(message)})

    return site.drawn.get(("message", message.room, message.id), draw)


def message_line(message: RoomMessage) -> MessageLine:
    """A message as the page shows it."""
    notice = message.author_kind == "notice"
    return MessageLine(
        dom=dom_id("m", message.id),
        kind=message.author_kind
        if message.author_kind in ("person", "agent", "workflow", "notice")
        else "person",
        author=message.author,
        badge=message.model or "",
        at=message.at,
        trace_id=message.trace_id,
        html=Markup.escape(message.text) if notice else to_html(message.text, outside=True),
    )


async def _post(site: Site, room: str, text: str, client_id: str) -> str | None:
    """Put a message into the room; what went wrong in a sentence, or None."""
    if not text:
        return "Write something first."
    if len(text) > LONGEST:
        return f"That is {len(text)} characters; a message may have {LONGEST}."
    try:
        await Room.post(site.pid(room_name(room)), author=ME, text=text, client_id=client_id)
    except CallError as error:
        return f"Not sent, your words are kept here: {error}. Send again in a moment."
    return None


async def _lines(site: Site) -> list[RoomLine]:
    lines = []
    for name in await site.node.run(list_rooms):
        last = await _last(site, name)
        lines.append(RoomLine(name, last))
    return lines


async def _last(site: Site, room: str) -> LastLine | None:
    pid = site.node.whereis(room_name(room))
    said = [] if pid is None else await Room.transcript(pid, limit=1)
    return (
        LastLine(said[-1].author, clip(" ".join(said[-1].text.split()), 160), said[-1].at) if said else None
    )


def _composer(
    room: str, draft: str = "", client_id: str | None = None, error: str | None = None
) -> dict[str, object]:
    # The id is made with the form, so that sending twice (a double click, a retry) is one message.
    return {"room": room, "draft": draft, "client_id": client_id or new_id(), "error": error}


def _doing(state: str, doing: str) -> str:
    return f"is {state}: {doing}" if doing else f"is {state}"


def _reply_id(author: str, cause_id: str | None) -> str:
    return dom_id("r", f"{author} {cause_id or ''}")
