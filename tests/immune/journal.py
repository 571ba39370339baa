"""Events as sessions, runs and the gate write them, in order."""

from typing import Any

from planaria.cortex.event import Event

SCOUT = "session:scout@garden"
NOON = 1_700_000_000.0 // 86400 * 86400 + 43200
"""Unix seconds of a noon in UTC."""


class Script:
    """Makes events, each a second after the one before unless said otherwise."""

    def __init__(self, at: float = NOON) -> None:
        self.seq = 0
        self.at = at

    def event(
        self,
        kind: str,
        session: str,
        payload: dict[str, Any],
        cause: str | None = None,
        state: Any = "whole",
    ) -> Event:
        self.seq += 1
        self.at += 1
        return Event(
            seq=self.seq,
            id=f"E{self.seq}",
            at=self.at,
            trace_id="T",
            cause_id=cause,
            node="test",
            process="p",
            session=session,
            kind=kind,
            payload=payload if state == "whole" else {},
            state=state,
        )

    def responded(
        self,
        micro: int,
        tokens: int = 100,
        session: str = SCOUT,
        turn: str = "M",
        provider: str = "fast",
        **more: Any,
    ) -> Event:
        payload = {
            "provider": provider,
            "cost_micro": micro,
            "usage": {"input_tokens": tokens, "output_tokens": 0},
            "duration_ms": 1000.0,
        }
        return self.event("model.responded", session, payload, turn, **more)

    def ran(self, session: str = SCOUT, turn: str | None = "M", **payload: Any) -> Event:
        return self.event("tool.finished", session, {"tool": "x.y", "duration_ms": 500.0, **payload}, turn)

    def asked(self, child: str, parent: str = SCOUT, turn: str = "M", budget: Any = None) -> Event:
        payload = {"parent": parent, "turn": turn, "agent": "coder", "budget": budget or {}}
        return self.event("child.asked", child, payload)

    def ended(self, child: str) -> Event:
        return self.event("child.finished", child, {"child": child})
