"""What a cancelled run leaves behind: questions that nobody waits for any more are withdrawn."""

from planaria.cortex.durable.question import question_id
from planaria.cortex.durable.questions import QuestionRefused, Questions
from planaria.cortex.errors import JournalUnavailable
from planaria.membrane.events import ApprovalAsked, tool_event_id
from planaria.otp import CallError
from planaria.workflows.advance import Call

WHY = "the run was cancelled"


async def withdraw(session: str, call: Call) -> None:
    """Withdraw what people were asked by the call that was under way: by its tool, or by the gate before it."""
    asked = question_id(f"{session}/{call.effect}")  # as `Context.effect` has it
    approval = tool_event_id(session, call.id, ApprovalAsked.kind)
    try:
        for question in await Questions.pending("questions"):
            if question.id == asked or question.detail == approval:
                await Questions.withdraw("questions", question.id, by=session, why=WHY)
    except (QuestionRefused, JournalUnavailable, CallError):
        pass  # answered just now, or away: the run is over, and a question that is left expires
