"""A question from message to answer as the journal has it: events made by hand, for tests of traces."""

from typing import Any

from planaria.cortex.event import Event

SCOUT, GARDEN = "session:scout@garden", "room:garden"


class Story:
    """Writes events down, a tenth of a second apart."""

    def __init__(self, trace: str = "T") -> None:
        self.trace = trace
        self.events: list[Event] = []
        self.now = 1000.0

    def add(
        self,
        kind: str,
        session: str = SCOUT,
        cause: str | None = "M",
        *,
        id: str = "",
        process: str = "p",
        after: float = 0.1,
        trace: str = "",
        **payload: Any,
    ) -> Event:
        seq = len(self.events) + 1
        self.now += after
        event = Event(
            seq,
            id or f"e{seq}",
            self.now,
            trace or self.trace,
            cause,
            "garden",
            process,
            session,
            kind,
            payload,
        )
        self.events.append(event)
        return event

    def asked(self, text: str = "what grew?", to: tuple[str, ...] = ("scout",)) -> "Story":
        self.add("room.message", GARDEN, None, id="M", author="ada", author_kind="person", text=text, to=to)
        return self

    def taken_up(self) -> "Story":
        self.add("turn.started", message="M", author="ada")
        return self

    def called(self, step: int = 0) -> "Story":
        self.add(
            "model.requested",
            turn="M",
            step=step,
            provider="local",
            model="small",
            messages=3 + 2 * step,
            system="Be brief." if step == 0 else None,
            tools='[{"name":"notes.search"}]' if step == 0 else None,
        )
        return self

    def wants(self, *tools: str, step: int = 0) -> "Story":
        calls = [{"id": str(n), "name": name, "arguments": {"query": "beds"}} for n, name in enumerate(tools)]
        return self._responded(step, "", calls)

    def answers(self, text: str = "Tomatoes.", step: int = 0) -> "Story":
        return self._responded(step, text, [])

    def _responded(self, step: int, text: str, calls: list[Any]) -> "Story":
        self.add(
            "model.responded",
            turn="M",
            step=step,
            text=text,
            tool_calls=calls,
            usage={"input_tokens": 100 + step, "output_tokens": 10},
            finish_reason="tool_calls" if calls else "stop",
            provider="local",
            model="small",
            cost_micro=120,
            first_ms=40.0,
            duration_ms=100.0,
        )
        return self

    def tool(self, name: str = "notes.search", place: str = "M/0/0", result: str = "two notes") -> "Story":
        self.tool_begins(name, place)
        outcome = {"value": None, "text": result}
        self.add("tool.finished", call_id=place, tool=name, branch="ok", outcome=outcome, duration_ms=100.0)
        return self

    def tool_begins(self, name: str = "notes.search", place: str = "M/0/0") -> "Story":
        self.add("tool.started", call_id=place, tool=name, arguments={"query": "beds"}, caller="agent:scout")
        return self

    def replied(self, text: str = "Tomatoes.") -> "Story":
        self.add(
            "room.message", GARDEN, "M", author="scout", author_kind="agent", text=text, model="local/small"
        )
        return self

    def over(self, outcome: str = "answered") -> "Story":
        self.add("turn.finished", turn="M", outcome=outcome)
        return self


def answered() -> Story:
    """A whole turn: one tool call, one answer."""
    return (
        Story()
        .asked()
        .taken_up()
        .called()
        .wants("notes.search")
        .tool()
        .called(1)
        .answers(step=1)
        .replied()
        .over()
    )


def whole_turn_with_everything() -> Story:
    """A turn with a crash, a failed model call, a run, a question to a person and a kind nobody knows."""
    story = Story().asked(to=("scout", "wren")).taken_up().called().called()
    story.add("model.failed", turn="M", step=0, error="overloaded", retry=True, retry_after=2.0)
    story.called().wants("workflow.run", "notes.search")
    story.tool_begins("workflow.run", "M/0/0")
    story.add(
        "workflow.run.started", "run:R", "M", id="R0", run="R", workflow="digest", trigger="agent:scout"
    )
    story.add("workflow.step.started", "run:R", "R0", id="R1", step="fetch", visit=1)
    story.add("tool.started", "run:R", "R1", call_id="R/1/1", tool="feed.fetch", arguments={"url": "x"})
    story.add(
        "tool.finished", "run:R", "R1", call_id="R/1/1", tool="feed.fetch", branch="failed", error="gone"
    )
    story.add(
        "workflow.step.finished", "run:R", "R1", id="R2", step="fetch", visit=1, branch="failed", error="gone"
    )
    story.add(
        "workflow.run.finished", "run:R", "R2", run="R", workflow="digest", status="failed", error="gone"
    )
    outcome = {"value": {"run": "R"}, "text": "started"}
    story.add("tool.finished", call_id="M/0/0", tool="workflow.run", branch="ok", outcome=outcome)
    story.tool_begins("notes.search", "M/0/1").tool_begins("notes.search", "M/0/1")
    story.add("question.asked", "questions", "M", id="Q", text="Go on?", by="agent:scout", options=["yes"])
    story.add("question.answered", "questions", "Q", option="yes", text="", by="ada")
    story.add(
        "dead.lettered", "dead", "M", letter="room.message", target="room:garden/M/scout", reason="gave up"
    )
    story.add(
        "work.submitted", "work", "e5", id="J", work="remind", label="remind ada", payload={"text": "x"}
    )
    story.add("work.started", "work", "J", attempt=1)
    story.add("work.failed", "work", "J", attempt=1, error="no room", at=2000.0)
    story.add("work.started", "work", "J", attempt=2)
    story.add("work.finished", "work", "J", attempt=2, result="said")
    story.add("mystery.happened", "somewhere", "e5", size=3)
    return story.over("failed")
