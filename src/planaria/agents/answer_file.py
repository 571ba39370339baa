"""The schema of an agent's answers from a file beside its record: `answer: verdict.json` is `agents/verdict.json`.

It is read when the record is: after a change of the file alone, save the record again. In `agents/` nobody writes it
who is not granted that by name.
"""

from pathlib import Path
from typing import Any

import msgspec

from planaria.agents.definition import AgentDefinition, AgentError
from planaria.membrane.structured import LARGEST_SCHEMA, BadSchema, check_schema
from planaria.otp import run_blocking
from planaria.records.errors import Problem
from planaria.records.record import Record


async def with_answer(agent: AgentDefinition, garden: Path, record: Record) -> AgentDefinition:
    """The agent with the schema that its record names by a file; itself if it names none.

    Raises:
        AgentError: the file is not there, or holds no JSON schema.
    """
    if not agent.answer_file:
        return agent
    place = f"agents/{agent.answer_file}"
    try:
        data = await run_blocking(_read, garden / place)
        schema: dict[str, Any] = msgspec.json.decode(data, type=dict[str, Any])
        check_schema(schema)
    except OSError as error:
        problem = f"{place} cannot be read: {error.strerror}"
    except (msgspec.DecodeError, RecursionError, BadSchema) as error:
        problem = f"{place} is no JSON schema: {error}"
    else:
        return msgspec.structs.replace(agent, answer=schema)
    mend = "Mend the file and save the record again, or write the schema into the record"
    raise AgentError([Problem(record.path, record.line("answer"), problem, mend)])


def _read(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(LARGEST_SCHEMA + 1)
