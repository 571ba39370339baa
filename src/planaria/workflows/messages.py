"""What the workflow processes tell others: the messages on the topic `workflows` and the answers that refuse."""

import msgspec

from planaria.workflows.views import RunSummary

TOPIC = "workflows"
RUNS = "runs"
"""The name of the supervisor of all run processes."""
START = "workflow.start"
"""The work that starts a run later; what a dead letter is about when a run could not be started, or not be taken up."""


class RunChanged(msgspec.Struct, frozen=True):
    """A run went on or ended; on the topics `workflows` and `run:<id>`, after it is in the journal."""

    run_id: str
    summary: RunSummary


class DefinitionsChanged(msgspec.Struct, frozen=True):
    """Workflows were loaded, broken or removed; on the topic `workflows`."""

    names: tuple[str, ...]


class Refused(msgspec.Struct, frozen=True):
    """A run was not started, or not cancelled: nothing happened. `error` ends with the mend.

    `retry`: the journal could not be written, so whether the run was accepted is not known; asking again with the same
    key, or for the same slot, finds out and starts it once.
    """

    error: str
    retry: bool = False


def run_name(run_id: str) -> str:
    """The registered name of a run's process, its session in the journal, and its topic."""
    return f"run:{run_id}"
