"""The model of one case: a server that outlives the node, answers by what it is asked, and keeps the bill.

Its address has a word that no other case knows, so whatever another node sends to a port that was its own before, or
this case's node to a port that is another's now, is not answered, not charged, and told.
"""

import secrets
from typing import Any

from planaria.membrane.provider import ToolCall, Usage
from planaria.testing.model_answer import Dialect
from planaria.testing.model_server import Answer, ModelServer

USAGE = Usage(100, 20)
FIRST = (
    ToolCall("call-1", "deed.once", {"what": "letter"}),
    ToolCall("call-2", "deed.again", {"what": "look"}),
)
THEN = (
    ToolCall("call-3", "deed.asked", {"what": "order"}),
    ToolCall("call-4", "time.later", {"minutes": 0, "text": "The tea is ready."}),
    ToolCall("call-5", "people.ask", {"question": "Shall I?", "options": ["yes", "no"]}),
)
ASK = ToolCall(
    "call-6", "agents.ask", {"task": "look", "agent": "looker", "instructions": "You look at things."}
)
LOOK = ToolCall("call-7", "deed.again", {"what": "moss"})
SAID = "All of it is done."
HELPED = "I have looked on."
MENDED = "Now I can."
SEEN = "It is moss."
TOLD = "It was seen to."


class CaseModel(ModelServer):
    """Answers `doer`, who calls tools twice and then speaks, `helper`, and `fragile`, who can at the second attempt.

    And `mother`, who has a child do it, and `looker`, who is that and calls a tool.

    Attributes:
        strangers: requests that were not for this case.
    """

    def __init__(self) -> None:
        super().__init__(models=("fake-large",))
        self.word = secrets.token_hex(8)
        self.strangers: list[str] = []

    @property
    def url(self) -> str:
        """The base URL of this case alone."""
        return f"http://127.0.0.1:{self.port}/{self.word}/v1"

    def _choose(self, key: str, model: str = "", dialect: Dialect = "openai") -> Answer:
        asked = self.requests[-1]
        if not asked.path.startswith(f"/{self.word}/"):
            self.strangers.append(f"{asked.method} {asked.path}")
            return Answer(status=404)
        self.answers.clear()
        self.answers.append(answer_to(asked.body["messages"], key))
        return super()._choose(key, model, dialect)


def answer_to(messages: list[dict[str, Any]], key: str) -> Answer:
    """What is said to a request."""
    system = str(messages[0]["content"])
    if "You are helper" in system:
        return Answer(HELPED, usage=USAGE)
    if "You are fragile" in system:
        return Answer(MENDED, usage=USAGE) if "~" in key else Answer(status=400, body={"error": "I cannot"})
    results = sum(message["role"] == "tool" for message in messages)
    if "You are mother" in system:
        return Answer(TOLD, usage=USAGE) if results else Answer(tool_calls=(ASK,), usage=USAGE)
    if "You are looker" in system:
        return Answer(SEEN, usage=USAGE) if results else Answer(tool_calls=(LOOK,), usage=USAGE)
    calls = FIRST if results == 0 else THEN if results == len(FIRST) else ()
    return Answer("" if calls else SAID, tool_calls=calls, usage=USAGE)
