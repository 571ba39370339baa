"""The spans and points there are, with their attributes: the only list, from which docs and exporters are made.

Names of attributes are OpenTelemetry's where it has them (its semantic conventions for generative AI, HTTP, errors);
`planaria.` begins our own. A span names itself by what is done (`model.call`); outside it is called as its convention
wants (`chat gpt-5`).
"""

from typing import Literal

import msgspec

from planaria.cortex.telemetry.signal import Attributes

type Kind = Literal["internal", "client", "server"]

OPERATION = "gen_ai.operation.name"
PROVIDER = "gen_ai.provider.name"
REQUEST_MODEL = "gen_ai.request.model"
RESPONSE_MODEL = "gen_ai.response.model"
FINISH_REASONS = "gen_ai.response.finish_reasons"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
CACHED_TOKENS = "gen_ai.usage.cache_read.input_tokens"
AGENT = "gen_ai.agent.name"
CONVERSATION = "gen_ai.conversation.id"
TOOL = "gen_ai.tool.name"
TOOL_CALL = "gen_ai.tool.call.id"
ERROR_TYPE = "error.type"

CONTENT_INPUT = "gen_ai.tool.call.arguments"
CONTENT_RESULT = "gen_ai.tool.call.result"
CONTENT_OUTPUT = "gen_ai.output.messages"
"""What was said; sent only where `[telemetry] content = true`."""


class SpanSpec(msgspec.Struct, frozen=True):
    """One span: when it lasts, what it may carry.

    Attributes:
        name: as code gives it.
        about: from where to where it lasts.
        attributes: those it may have, besides `error.type` of one that failed.
        kind: OpenTelemetry's.
        title: its name outside, with attributes in braces; empty: as inside.
        shared: serves many traces at once, so it is exported in none.
    """

    name: str
    about: str
    attributes: tuple[str, ...] = ()
    kind: Kind = "internal"
    title: str = ""
    shared: bool = False


class PointSpec(msgspec.Struct, frozen=True):
    """One point: what happened, what it carries."""

    name: str
    about: str
    attributes: tuple[str, ...] = ()


SPANS = (
    SpanSpec(
        "room.post",
        "a person's message, from its arrival until it is durable",
        ("planaria.room",),
        kind="server",
        title="message {planaria.room}",
    ),
    SpanSpec("room.say", "a message of an agent or a workflow, until it is durable", ("planaria.room",)),
    SpanSpec(
        "turn",
        "one message being handled by an agent, from its first look to the end",
        (OPERATION, AGENT, CONVERSATION, "planaria.turn", "planaria.room", "planaria.outcome"),
        title="invoke_agent {gen_ai.agent.name}",
    ),
    SpanSpec(
        "model.call",
        "one call of a model, from the request to the last piece of its answer",
        (
            *(OPERATION, PROVIDER, REQUEST_MODEL, RESPONSE_MODEL, FINISH_REASONS),
            *(INPUT_TOKENS, OUTPUT_TOKENS, CACHED_TOKENS, AGENT, CONVERSATION),
            *(
                "planaria.turn",
                "planaria.step",
                "planaria.attempt",
                "planaria.cost_micro",
                "planaria.first_ms",
            ),
        ),
        kind="client",
        title="chat {gen_ai.request.model}",
    ),
    SpanSpec(
        "tool.call",
        "one call of a tool, from the check of its arguments to its answer",
        (OPERATION, TOOL, TOOL_CALL, "planaria.caller", "planaria.branch"),
        title="execute_tool {gen_ai.tool.name}",
    ),
    SpanSpec(
        "workflow.run",
        "a run, as long as one process carries it",
        ("planaria.workflow", "planaria.run", "planaria.outcome"),
        title="run {planaria.workflow}",
    ),
    SpanSpec(
        "workflow.step",
        "one step of a run, its retries included",
        ("planaria.workflow", "planaria.run", "planaria.step", "planaria.branch"),
        title="step {planaria.step}",
    ),
    SpanSpec(
        "work.attempt",
        "one attempt at a piece of durable work",
        ("planaria.work", "planaria.attempt"),
        title="work {planaria.work}",
    ),
    SpanSpec(
        "journal.commit",
        "one commit, from the hand-over to the store until it is on disk",
        ("planaria.appends", "planaria.events"),
        kind="client",
        shared=True,
    ),
    SpanSpec("journal.read", "one query, until its answer", kind="client"),
    SpanSpec(
        "http.server.request",
        "one request to the dashboard, until its answer begins",
        ("http.request.method", "http.route", "http.response.status_code"),
        kind="server",
        title="{http.request.method} {http.route}",
    ),
)
POINTS = (
    PointSpec(
        "telemetry.handler_detached",
        "a handler raised and was taken off",
        ("planaria.telemetry.handler", ERROR_TYPE),
    ),
    PointSpec(
        "telemetry.export_failed",
        "an exporter began to fail, or lost spans",
        ("planaria.count", ERROR_TYPE),
    ),
)

SPAN_SPECS = {spec.name: spec for spec in SPANS}
POINT_SPECS = {spec.name: spec for spec in POINTS}


def title(name: str, attributes: Attributes) -> str:
    """What a span is called outside."""
    spec = SPAN_SPECS.get(name)
    if spec is None or not spec.title:
        return name
    words = spec.title
    for attribute in spec.attributes:
        if f"{{{attribute}}}" in words:
            words = words.replace(f"{{{attribute}}}", str(attributes.get(attribute) or ""))
    return words.strip()


def turn_key(session: str, turn: str) -> str:
    """The key of a turn's span: what its model calls and tool calls name as theirs."""
    return f"turn:{session}/{turn}"


def caller_key(session: str, cause_id: str | None, effect: str) -> str:
    """The key of the span a tool is called in: a turn's, or a workflow step's."""
    if session.startswith("session:"):
        return turn_key(session, cause_id or "")
    # A step's effect is `<run>/<step>/<visit>`, with the element's number behind it where there are several.
    return "run:" + "/".join(effect.split("/")[:3]) if session.startswith("run:") else ""


def spoken_under(author: str, room: str, cause_id: str | None, attempt: int, effect: str) -> str:
    """The key of the turn or step in which something is said in a room; empty where nobody knows.

    Args:
        effect: of the tool call that says it, in whatever room it was made: `<session>/<effect>`; empty for an answer.
    """
    session, _, call = effect.partition("/")
    if session.startswith(("session:", "run:")):
        return caller_key(session, call.partition("/")[0], call)
    if cause_id is None:
        return ""
    session = f"session:{author}@{room}"
    return turn_key(session, cause_id if attempt == 1 else f"{cause_id}~{attempt}")


def message_key(id: str) -> str:
    """The key of the span in which a message came in: what its turns name as theirs."""
    return f"message:{id}"
