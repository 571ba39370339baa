"""What the figures are counted from: events of the journal, spans, kernel events. Pure but for the counts.

Names follow Prometheus; those of model calls are OpenTelemetry's (`gen_ai.client.token.usage` and
`gen_ai.client.operation.duration`). No label holds an id; agents, tools, models and workflows are counted one by one
up to 50 of each, the rest as `other`.
"""

from collections.abc import Iterator

from prometheus_client.core import Metric

from planaria.cortex.event import Event
from planaria.cortex.telemetry.signal import Signal, SpanFailed, SpanStopped
from planaria.cortex.telemetry.tally import Capped, Histogram, Tally
from planaria.otp import ChildRestarted, KernelEvent, MessageShed, ProcessExited, RestartsExceeded, is_orderly

MOST_NAMES = 50
MOST_WORDS = 20
TOKENS = tuple(4.0**n for n in range(14))
"""Bounds of token counts, as the semantic conventions advise: 1, 4, 16 … 67 108 864."""
SECONDS = tuple(0.01 * 2**n for n in range(14))
"""Bounds of model calls in seconds, as they advise: 0.01, 0.02 … 81.92."""
SHORT = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

CALL_LABELS = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model")


class MetricsBook:
    """Everything that is counted."""

    kinds = frozenset(
        {
            *("turn.started", "turn.finished", "model.requested", "model.responded", "model.failed"),
            *("tool.finished", "room.message", "workflow.run.started", "workflow.run.finished"),
            *("workflow.step.retried", "dead.lettered"),
        }
    )
    spans = frozenset({"journal.commit", "journal.read", "room.post", "http.server.request"})

    def __init__(self) -> None:
        self.agents, self.tools = Capped(MOST_NAMES), Capped(MOST_NAMES)
        self.models, self.providers = Capped(MOST_NAMES), Capped(MOST_NAMES)
        self.workflows, self.routes = Capped(MOST_NAMES), Capped(MOST_NAMES)
        # One for each label, as tools name their branches themselves.
        self.branches, self.outcomes = Capped(MOST_WORDS), Capped(MOST_WORDS)
        self.author_kinds, self.statuses = Capped(MOST_WORDS), Capped(MOST_WORDS)
        self.asked: dict[str, tuple[str, str, float]] = {}  # session -> provider, model, when
        self.begun: dict[str, float] = {}  # session -> when its turn began
        self.token_usage = Histogram(
            "gen_ai_client_token_usage",
            "Tokens of one model call.",
            TOKENS,
            (*CALL_LABELS, "gen_ai_token_type"),
        )
        self.call_seconds = Histogram(
            "gen_ai_client_operation_duration_seconds",
            "How long one model call took.",
            SECONDS,
            (*CALL_LABELS, "error_type"),
        )
        self.cost = Tally(
            "planaria_model_cost_dollars", "What model calls cost, where the price is known.", CALL_LABELS[1:]
        )
        self.agent_cost = Tally("planaria_agent_cost_dollars", "The same by agent.", ("agent",))
        self.agent_tokens = Tally("planaria_agent_tokens", "Tokens by agent.", ("agent", "type"))
        self.turns = Tally("planaria_turns", "Turns that are over.", ("agent", "outcome"))
        self.turn_seconds = Histogram("planaria_turn_duration_seconds", "How long a turn took.", SECONDS)
        self.tool_calls = Tally("planaria_tool_calls", "Tool calls that are over.", ("tool", "outcome"))
        self.tool_seconds = Histogram("planaria_tool_duration_seconds", "How long a tool call took.", SECONDS)
        self.messages = Tally("planaria_room_messages", "Messages said in rooms.", ("author_kind",))
        self.runs_started = Tally("planaria_workflow_runs_started", "Runs begun.", ("workflow",))
        self.runs = Tally("planaria_workflow_runs", "Runs that are over.", ("workflow", "status"))
        self.retries = Tally("planaria_workflow_retries", "Step calls that failed and were made again.")
        self.dead = Tally("planaria_dead_letters", "What was given up.")
        self.commit_seconds = Histogram(
            "planaria_journal_commit_duration_seconds", "How long one commit took.", SHORT
        )
        self.read_seconds = Histogram(
            "planaria_journal_read_duration_seconds", "How long one query took.", SHORT
        )
        self.post_seconds = Histogram(
            "planaria_room_post_duration_seconds", "From a message's arrival until it is durable.", SHORT
        )
        self.http = Tally(
            "planaria_http_requests", "Requests to the dashboard.", ("method", "route", "status")
        )
        self.http_seconds = Histogram(
            "planaria_http_request_duration_seconds", "Until the answer began.", SHORT
        )
        self.crashes = Tally("planaria_process_crashes", "Processes that ended with an error.")
        self.restarts = Tally("planaria_process_restarts", "Processes a supervisor started again.")
        self.gave_up = Tally("planaria_supervisors_gave_up", "Supervisors that met too many restarts.")
        self.shed = Tally("planaria_messages_shed", "Messages a full mailbox turned away.")
        self.lag = Histogram("planaria_event_loop_lag_seconds", "How late a timer of one second came.", SHORT)
        self.faults = Tally("planaria_metrics_faults", "Events and spans that could not be counted.")

    # --- what comes in ---------------------------------------------------------------------------------------------

    def event(self, event: Event) -> None:
        """One event of the journal."""
        payload, session = event.payload, event.session
        match event.kind:
            case "turn.started":
                self._remember(self.begun, session, event.at)
            case "turn.finished":
                outcome = str(payload.get("outcome", "unknown"))
                self.turns.add(self._agent(session), self.outcomes(outcome))
                begun = self.begun.pop(session, None)
                self.asked.pop(session, None)
                if begun is not None:
                    self.turn_seconds.observe(max(0.0, event.at - begun))
            case "model.requested" if event.state == "whole":
                asked = (str(payload.get("provider", "")), str(payload.get("model", "")), event.at)
                self._remember(self.asked, session, asked)
            case "model.responded" if event.state == "whole":
                self._responded(event)
            case "model.failed":
                provider, model, begun = self.asked.pop(session, ("", "", event.at))
                labels = ("chat", self.providers(provider), self.models(model))
                self.call_seconds.observe(max(0.0, event.at - begun), *labels, "provider_error")
            case "tool.finished":
                tool = self.tools(str(payload.get("tool", "")))
                self.tool_calls.add(tool, self.branches(str(payload.get("branch", "unknown"))))
                self.tool_seconds.observe((payload.get("duration_ms") or 0.0) / 1000)
            case "room.message":
                self.messages.add(self.author_kinds(str(payload.get("author_kind", "unknown"))))
            case "workflow.run.started":
                self.runs_started.add(self.workflows(str(payload.get("workflow", ""))))
            case "workflow.run.finished":
                name = self.workflows(str(payload.get("workflow", "")))
                self.runs.add(name, self.statuses(str(payload.get("status", "unknown"))))
            case "workflow.step.retried":
                self.retries.add()
            case "dead.lettered":
                self.dead.add()
            case _:
                pass  # of a payload that is gone

    def _responded(self, event: Event) -> None:
        payload = event.payload
        provider, model = self.providers(str(payload.get("provider", ""))), str(payload.get("model", ""))
        asked = self.asked.pop(event.session, None)
        labels = ("chat", provider, self.models(model if asked is None else asked[1]))
        self.call_seconds.observe((payload.get("duration_ms") or 0.0) / 1000, *labels, "")
        agent = self._agent(event.session)
        usage = payload.get("usage") or {}
        for type_ in ("input", "output"):
            tokens = usage.get(f"{type_}_tokens", 0)
            self.token_usage.observe(tokens, *labels, type_)
            self.agent_tokens.add(agent, type_, by=tokens)
        cost = (payload.get("cost_micro") or 0) / 1e6
        if cost:
            self.cost.add(*labels[1:], by=cost)
            self.agent_cost.add(agent, by=cost)

    def signal(self, signal: Signal) -> None:
        """The end of one span."""
        if not isinstance(signal, SpanStopped | SpanFailed):
            return
        match signal.name:
            case "journal.commit":
                self.commit_seconds.observe(signal.duration)
            case "journal.read":
                self.read_seconds.observe(signal.duration)
            case "room.post":
                self.post_seconds.observe(signal.duration)
            case "http.server.request":
                about = signal.attributes
                status = str(about.get("http.response.status_code", ""))
                route = self.routes(str(about.get("http.route", "")))
                self.http.add(str(about.get("http.request.method", "")), route, status)
                self.http_seconds.observe(signal.duration)
            case _:
                pass

    def kernel_event(self, event: KernelEvent) -> None:
        """One kernel event."""
        match event:
            case ProcessExited(reason=reason):
                if reason not in ("killed", "noproc") and not is_orderly(reason):
                    self.crashes.add()
            case ChildRestarted(process=process):
                if process is not None:
                    self.restarts.add()
            case RestartsExceeded():
                self.gave_up.add()
            case MessageShed():
                self.shed.add()
            case _:
                pass

    def _agent(self, session: str) -> str:
        return self.agents(session.removeprefix("session:").partition("@")[0])

    def _remember[T](self, where: dict[str, T], session: str, what: T) -> None:
        where[session] = what
        if len(where) > 10_000:  # sessions that never came to an end
            del where[next(iter(where))]

    def families(self) -> Iterator[Metric]:
        """All of it, as Prometheus has it."""
        for counted in vars(self).values():
            if isinstance(counted, Tally | Histogram):
                yield counted.family()
