"""The branches of a garden: which there are, as the stream `forks` says."""

from planaria.agents.turn.events import FORKS, SessionForked, SessionRemoved
from planaria.cortex.event import Event
from planaria.cortex.event_type import EventMismatch
from planaria.cortex.fold import events_of


class Branches:
    """Branches that are to run, by room."""

    def __init__(self) -> None:
        self.forks: dict[str, SessionForked] = {}

    def take(self, event: Event) -> None:
        """Take one event of the stream in. A branch that cannot be read is not run."""
        try:
            if event.kind == SessionForked.kind:
                fork = SessionForked.of(event)
                self.forks[fork.room] = fork
            elif event.kind == SessionRemoved.kind:
                self.forks.pop(SessionRemoved.of(event).room, None)
        except EventMismatch:
            return

    def of(self, agent: str) -> list[SessionForked]:
        """Those of one agent, by room."""
        return [fork for _, fork in sorted(self.forks.items()) if fork.agent == agent]


async def read_branches() -> Branches:
    """All branches of this garden.

    Raises:
        JournalUnavailable, CallError: the journal cannot be read.
    """
    branches = Branches()
    async for event in events_of("journal", FORKS, kinds=(SessionForked.kind, SessionRemoved.kind)):
        branches.take(event)
    return branches
