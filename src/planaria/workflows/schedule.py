"""When workflows start by themselves: cron in a time zone, each slot at most once.

Started after `Workflows` under the name `schedules`. It holds nothing: what ran, and since when a schedule
stands, is known to `Workflows` from the journal. It wakes for the next slot, and once a minute in any case, so
that a clock that was set or a machine that slept is noticed.

After downtime a schedule that missed slots runs once, for the latest of them. A schedule that is new or was
changed counts from that moment. Daylight saving follows Debian's cron: a job at a time that is skipped runs
right after the gap, a job at a time that comes twice runs once; jobs with `*` in minute or hour follow the clock.
A slot that comes while the run before it still goes is skipped, with a note in the journal.
Does badly: slots are not spread; ten workflows at 07:00 start together.
"""

from typing import Any

import msgspec

from planaria.otp import CallError, GenServer, TimerRef, cancel_timer, send_after, subscribe, wall_time
from planaria.workflows.engine import Plan, Workflows
from planaria.workflows.messages import TOPIC, DefinitionsChanged
from planaria.workflows.slots import due_slot, next_slot

LONGEST_SLEEP = 60.0
"""Seconds."""


class Tick(msgspec.Struct, frozen=True):
    """To itself: look which schedules are due."""


class Schedules(GenServer):
    """Starts workflows by the clock."""

    def init(self, workflows: str = "workflows") -> None:
        """Begin.

        Args:
            workflows: the name of the server that holds the definitions.
        """
        self.workflows = workflows
        self.timer: TimerRef | None = None
        self.next_at: float | None = None
        subscribe(TOPIC)
        self.continue_with("look")

    async def handle_continue(self, what: object) -> None:
        await self._look()

    async def handle_info(self, message: Any) -> None:
        if isinstance(message, Tick | DefinitionsChanged):
            await self._look()

    async def _look(self) -> None:
        """Start what is due, then sleep until the next slot."""
        try:
            plans = await Workflows.plans(self.workflows)
            for plan in plans:
                await self._start(plan, wall_time())
        except CallError:
            plans = ()  # it is being restarted, and tells when it has its definitions
        now = wall_time()
        slots = [next_slot(plan.cron, plan.zone, max(plan.since, now)) for plan in plans]
        self.next_at = min((slot for slot in slots if slot is not None), default=None)
        wait = LONGEST_SLEEP if self.next_at is None else min(LONGEST_SLEEP, max(0.0, self.next_at - now))
        if self.timer is not None:
            cancel_timer(self.timer)
        self.timer = send_after(wait, self.pid, Tick())

    async def _start(self, plan: Plan, now: float) -> None:
        if plan.first_run == "now" and not plan.ran:
            await Workflows.start_run(self.workflows, plan.name, "first run", {}, now)
        elif (slot := due_slot(plan.cron, plan.zone, plan.since, now)) is not None:
            await Workflows.start_run(self.workflows, plan.name, "schedule", {}, slot)
