"""Tools for asking people.

A question is keyed by the call, so a call that is taken up again after a crash waits for the same answer.
"""

from planaria.cortex.durable.question import fault
from planaria.cortex.durable.questions import QuestionRefused, Questions
from planaria.membrane.tool import Context, Done, Failed, tool
from planaria.otp import wall_time

LONGEST_WAIT = 30 * 24 * 60.0
"""Minutes."""


@tool(needs={"people.ask"}, branches=("answered", "expired", "withdrawn"), on_unknown="retry", waits=True)
async def ask(
    context: Context,
    question: str,
    options: list[str] = [],  # noqa: B006 - copied per call
    minutes: float = 1440.0,
) -> Done | Failed:
    """Ask the people here something and wait for the answer; it may take hours.

    Args:
        question: at most 4000 characters. They see it in this room, in the terminal and on the dashboard.
        options: what can be answered; none lets them write what they like.
        minutes: how long to wait; then the outcome is `expired`.
    """
    choices = tuple(option.strip() for option in options)
    if problem := fault(question, choices):
        return Failed(problem)
    if not 0 < minutes <= LONGEST_WAIT:
        return Failed(f"minutes is above 0 and at most {LONGEST_WAIT:g} (30 days)")
    try:
        asked = await Questions.ask(
            question,
            key=context.effect,
            by=context.caller,
            options=choices,
            room=context.room or "",
            expires=wall_time() + minutes * 60,
            trace_id=context.trace_id,
            cause_id=context.cause_id,
            subject=context.subject,
        )
    except QuestionRefused as error:
        return Failed(str(error))
    closed = await Questions.wait("questions", asked)
    if closed is None:
        return Failed("the question was erased before anybody answered it")
    value = {"question": asked, "option": closed.option, "text": closed.text, "by": closed.by}
    match closed.how:
        case "answered":
            return Done(value, branch="answered", text=f"{closed.by or 'somebody'} answered: {closed.answer}")
        case "expired":
            return Done(value, branch="expired", text=f"Nobody answered within {minutes:g} minutes.")
        case "withdrawn":
            return Done(value, branch="withdrawn", text="The question was withdrawn; nobody answered it.")
