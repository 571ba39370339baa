"""Answering questions for people: where a code is needed, it is checked first, and never written down."""

from planaria.cortex.durable.question import Closed, Question, read_answer
from planaria.cortex.durable.questions import QuestionRefused, Questions
from planaria.membrane.gate.second_factor import NAME, CodeRefused, SecondFactor
from planaria.otp import Server


async def answer(
    questions: Server,
    which: str,
    text: str,
    *,
    by: str,
    via: str,
    code: str = "",
    second_factor: Server = NAME,
) -> Closed:
    """As `Questions.answer`, with the code that some questions need.

    Raises:
        QuestionRefused: also if the code does not count.
        JournalUnavailable, CallError: see there.
    """
    question = await Questions.find(questions, which)
    if not code or not isinstance(question, Question) or not question.proof:
        return await Questions.answer(questions, which, text, by=by, via=via)
    said = read_answer(question.options, text)
    if said is None or said[0] == question.options[-1]:
        return await Questions.answer(questions, which, text, by=by, via=via)
    try:
        await SecondFactor.take(second_factor, code, by, f"question {question.number}")
    except CodeRefused as error:
        raise QuestionRefused(f"#{question.number} is not answered: {error}") from error
    return await Questions.answer(questions, question.id, text, by=by, via=via, proof=question.proof)
