"""What the fold over a trace's events remembers, and how it finds or makes the node an event belongs to."""

from collections import defaultdict

from planaria.cortex.event import Event
from planaria.nerve.trace.knot import Knot
from planaria.nerve.trace.prompt import PromptFacts
from planaria.nerve.trace.shape import Kind


class Fold:
    """The nodes of one trace so far.

    Attributes:
        knots: all nodes by key, in the order they were made.
        messages: the nodes of messages by id.
        expected: who was asked by which message: session, message id, its node.
        replies: who answered what: author, room, message id.
        answered_by: whose answers are no notices of a failure, in order.
        tries: the model calls of a step, in order.
        answered: steps whose model has answered, so that a next call begins the next step.
        calls, nameless: tool calls by session and call id; those whose id is gone.
        current: the node a run's session is at.
        starters: the tool call that started a run, by its session.
        prompts: what is known of the latest prompt of a turn.
        questions, jobs: questions to people, and deferred work, by id.
    """

    def __init__(self) -> None:
        self.knots: dict[str, Knot] = {}
        self.messages: dict[str, Knot] = {}
        self.expected: list[tuple[str, str, Knot]] = []
        self.replies: set[tuple[str, str, str]] = set()
        self.answered_by: dict[str, None] = {}
        self.turns: dict[str, Knot] = {}
        self.latest: dict[str, Knot] = {}
        self.steps: dict[str, list[Knot]] = defaultdict(list)
        self.tries: dict[str, list[Knot]] = defaultdict(list)
        self.answered: set[str] = set()
        self.calls: dict[tuple[str, str], list[Knot]] = defaultdict(list)
        self.nameless: dict[str, list[Knot]] = defaultdict(list)
        self.current: dict[str, Knot] = {}
        self.starters: dict[str, Knot] = {}
        self.prompts: dict[str, PromptFacts] = {}
        self.questions: dict[str, Knot] = {}
        self.jobs: dict[str, Knot] = {}

    def new(self, key: str, kind: Kind, title: str, event: Event, rank: int = 0) -> Knot:
        """A node that tells this event. A key that is taken gets the event's own id added."""
        if key in self.knots:
            key = f"{key}|{event.id}|{event.seq}"
        knot = Knot(key, kind, title, event.at, (event.seq, rank))
        knot.add(event)
        self.knots[key] = knot
        return knot

    def derived(self, key: str, kind: Kind, title: str, event: Event, above: Knot, rank: int) -> Knot:
        """A node that tells of an event another node has."""
        while key in self.knots:
            key += "'"
        knot = Knot(key, kind, title, event.at, (event.seq, rank), (above.key,))
        self.knots[key] = knot
        return knot

    def turn(self, event: Event, name: str) -> Knot:
        """The turn of this name in the event's session; the latest there if the name is gone."""
        session = event.session
        if not name and session in self.latest:
            return self.latest[session]
        key = f"turn:{session}|{name}"
        knot = self.turns.get(key)
        if knot is None:
            agent, _, _ = session.removeprefix("session:").partition("@")
            knot = Knot(key, "turn", agent or session, event.at, (event.seq, 0))
            message, attempt = message_of(name), name.partition("~")[2].partition("@")[0]
            if attempt:
                knot.title += f", attempt {attempt}"
            knot.who, knot.session = agent, session
            knot.leads = (f"message:{message}", f"event:{message}")
            self.turns[key] = self.knots[key] = knot
        self.latest[session] = knot
        return knot

    def step(self, event: Event, name: str, *, number: int | None = None, asks: bool = False) -> Knot:
        """The step an event of a turn is in: as it says, else the one the turn is at.

        Args:
            asks: a model is asked, which begins the next step when the one before has its answer.
        """
        turn = self.turn(event, name)
        known = self.steps[turn.key]
        said = event.payload.get("step") if number is None else number
        if not isinstance(said, int) or isinstance(said, bool) or not 0 <= said < 100_000:
            if known and not (asks and known[-1].key in self.answered):
                return known[-1]
            said = int(known[-1].key.rpartition("|")[2]) + 1 if known else 0
        key = f"step:{turn.key}|{said}"
        knot = self.knots.get(key)
        if knot is None:
            knot = Knot(key, "step", f"step {said + 1}", event.at, (event.seq, 0), (turn.key,))
            knot.session = event.session
            self.knots[key] = knot
            known.append(knot)
        return knot

    def over(self, turn: Knot, at: float) -> None:
        """A turn has ended: what is open in it will not go on."""
        for step in self.steps[turn.key]:
            for knot in self.tries[step.key]:
                if knot.state is None:
                    knot.end("cut_off", at)
        for tries in (*self.calls.values(), *self.nameless.values()):
            for knot in tries:
                if knot.state is None and any(lead.startswith(f"step:{turn.key}|") for lead in knot.leads):
                    knot.end("cut_off", at)


def message_of(turn: str) -> str:
    """The message a turn is named after: `<message>`, `<message>~<attempt>`, `<message>@<room>` of a branch."""
    return turn.partition("~")[0].partition("@")[0]
