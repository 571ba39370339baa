"""What waits for a person: questions to answer, and dead letters to look at, have done again, or drop."""

from collections.abc import Sequence
from urllib.parse import quote

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from planaria.cortex.durable.dead import Dead, DeadRefused, Letter
from planaria.cortex.durable.question import Closed, Question
from planaria.cortex.durable.questions import QuestionRefused, Questions
from planaria.cortex.errors import JournalUnavailable
from planaria.membrane.gate.answering import answer as answer_question
from planaria.nerve.methods.grants import QuestionShown, detailed
from planaria.nerve.web.forms import read_form
from planaria.nerve.web.live import LiveResponse
from planaria.nerve.web.parts import Part, dom_id
from planaria.nerve.web.site import Site
from planaria.otp import CallError, Pid

ME = "you"
VIA = "dashboard"
RECENT = 20
"""Questions that are over, and letters that are closed, that are shown."""
MOST_LETTERS = 100
LONGEST_EVIDENCE = 20_000


class Asked(msgspec.Struct, frozen=True):
    """An open question as the page shows it; `call` is what it is to approve, if it is to approve a call."""

    dom: str
    href: str
    question: Question
    call: QuestionShown | None = None


def routes(site: Site) -> list[Route]:
    """`/questions`, `/dead`, one letter, their streams and buttons."""

    async def show_questions(request: Request) -> Response:
        values = await _values(QuestionsFeed(site))
        return await site.page("questions.html", "questions", "/live/questions", values)

    async def live_questions(request: Request) -> Response:
        return LiveResponse(site, request, QuestionsFeed(site))

    async def answer(request: Request) -> Response:
        form = await read_form(request)
        option, text = form.get("option", "").strip(), form.get("text", "").strip()
        said = f"{option}: {text}" if option and text else option or text
        which = request.path_params["id"]
        try:
            closed = await site.node.run(_answer, site, which, said, form.get("code", "").strip())
        except (QuestionRefused, JournalUnavailable, CallError) as error:
            return site.told(request, _sentence(f"Not answered: {error}"), "/questions", bad=True)
        return site.told(request, f"Answered #{closed.number}: {closed.answer}", "/questions")

    async def show_letters(request: Request) -> Response:
        return await site.page("dead.html", "questions", "/live/dead", await _values(LettersFeed(site)))

    async def live_letters(request: Request) -> Response:
        return LiveResponse(site, request, LettersFeed(site))

    async def show_letter(request: Request) -> Response:
        feed = LetterFeed(site, request.path_params["id"])
        return await site.page("letter.html", "questions", feed.live_url, await _values(feed))

    async def live_letter(request: Request) -> Response:
        return LiveResponse(site, request, LetterFeed(site, request.path_params["id"]))

    async def replay(request: Request) -> Response:
        which = request.path_params["id"]
        try:
            await site.node.run(_replay, site, which)
        except (DeadRefused, JournalUnavailable, CallError) as error:
            return site.told(request, _sentence(f"Not done: {error}"), _letter_url(which), bad=True)
        return site.told(request, "It is done again; what comes of it shows here.", _letter_url(which))

    async def drop(request: Request) -> Response:
        which = request.path_params["id"]
        why = (await read_form(request)).get("why", "").strip()[:500] if _has_form(request) else ""
        try:
            await site.node.run(_drop, site, which, why)
        except (DeadRefused, JournalUnavailable, CallError) as error:
            return site.told(request, _sentence(f"Not dropped: {error}"), _letter_url(which), bad=True)
        return site.told(request, "Dropped. The letter stays in the journal.", _letter_url(which))

    return [
        Route("/questions", show_questions),
        Route("/live/questions", live_questions),
        Route("/questions/{id}/answer", answer, methods=["POST"]),
        Route("/dead", show_letters),
        Route("/live/dead", live_letters),
        Route("/dead/{id}/replay", replay, methods=["POST"]),
        Route("/dead/{id}/drop", drop, methods=["POST"]),
        Route("/dead/{id}", show_letter),
        Route("/live/dead/{id}", live_letter),
    ]


class QuestionsFeed:
    """Open questions, each a part of its own so that a new one disturbs no form; those that are over; open letters."""

    topics: Sequence[str] = ("questions", "dead")

    def __init__(self, site: Site) -> None:
        self.site = site
        self.seen: list[Part] | None = None

    async def parts(self) -> list[Part]:
        """Everything on the page."""
        if self.seen is None:
            server = self.site.pid("questions")
            journal = self.site.pid("journal")
            open_ = tuple([await _asked(question, journal) for question in await Questions.pending(server)])
            over: tuple[Closed, ...] = await Questions.recent(server, RECENT)
            letters = await _letters(self.site)
            inner = tuple(Part(each.dom, "_question.html", {"asked": each}, each) for each in open_)
            self.seen = [
                Part("questions", "_questions.html", {"open": open_}, tuple(e.dom for e in open_), inner),
                Part("answered", "_answered.html", {"over": over}, over),
                Part("letters", "_letters.html", {"letters": letters}, letters),
            ]
        return self.seen

    def take(self, messages: Sequence[object]) -> list[str]:
        """Something moved: look again."""
        if messages:
            self.seen = None
        return []


class LettersFeed:
    """All open letters, and those that were closed of late."""

    topics: Sequence[str] = ("dead",)

    def __init__(self, site: Site) -> None:
        self.site = site

    async def parts(self) -> list[Part]:
        """The list."""
        letters = await _letters(self.site, closed=True)
        return [Part("letters", "_letters.html", {"letters": letters}, letters)]

    def take(self, messages: Sequence[object]) -> list[str]:
        """Nothing: the next look tells all."""
        return []


class LetterFeed:
    """One letter, and what becomes of its replay."""

    topics: Sequence[str] = ("dead",)

    def __init__(self, site: Site, which: str) -> None:
        self.site = site
        self.which = which
        self.live_url = f"/live/dead/{quote(which, safe='', errors='backslashreplace')}"

    async def parts(self) -> list[Part]:
        """Everything on the page."""
        try:
            # In no process of its own: one that is cut off with its visitor would be told of as killed.
            view = await Dead.show(self.site.pid("dead"), self.which, self.site.pid("journal"))
        except DeadRefused as error:
            raise HTTPException(404, _sentence(str(error))) from error
        text = msgspec.json.format(msgspec.json.encode(view.evidence), indent=2).decode()
        shown = self.site.services.redactor.text(text[: LONGEST_EVIDENCE + 4096])[:LONGEST_EVIDENCE]
        values: dict[str, object] = {"view": view, "letter": view.letter, "evidence": shown}
        return [
            Part("letter", "_letter.html", values, view),
            Part("letter-actions", "_letter_actions.html", values, view.letter.state),
        ]

    def take(self, messages: Sequence[object]) -> list[str]:
        """Nothing: the next look tells all."""
        return []


async def _values(feed: QuestionsFeed | LettersFeed | LetterFeed) -> dict[str, object]:
    return {key: value for part in await feed.parts() for key, value in part.values.items()}


async def _letters(site: Site, *, closed: bool = False) -> tuple[Letter, ...]:
    found: tuple[Letter, ...] = await Dead.letters(site.pid("dead"), closed, MOST_LETTERS)
    return found


async def _answer(site: Site, which: str, said: str, code: str) -> Closed:
    return await answer_question(site.pid("questions"), which, said, by=ME, via=VIA, code=code)


async def _replay(site: Site, which: str) -> str:
    return await Dead.replay(site.pid("dead"), which, by=ME)


async def _drop(site: Site, which: str, why: str) -> None:
    await Dead.drop(site.pid("dead"), which, by=ME, why=why)


async def _asked(question: Question, journal: Pid) -> Asked:
    action = f"/questions/{quote(question.id, safe='', errors='backslashreplace')}/answer"
    call = await detailed(question, journal) if question.detail else None
    return Asked(dom_id("q", question.id), action, question, call if call and call.tool else None)


def _letter_url(which: str) -> str:
    return f"/dead/{quote(which, safe='', errors='backslashreplace')}"


def _has_form(request: Request) -> bool:
    return request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else text + "."
