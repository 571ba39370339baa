"""The rules of supervision as a simple program: no processes, no time, one fault after the other.

It knows of a tree who lives, in which order workers start and end, and how many restarts are used up. Kept apart from
the kernel on purpose: it shares not a line with it.
"""

from .case import QUIET, Fault, Plan

PATIENCE = 5.0
"""Seconds a supervisor gives a worker to end."""


class Part:
    """One place in the tree and who stands there now."""

    def __init__(self, model: "Model", plan: Plan, path: str, above: "Part | None") -> None:
        self.model = model
        self.plan = plan
        self.path = path
        self.above = above
        self.alive = False
        self.restarting = False
        self.used: list[float] = []
        self.children: list[Part] = []
        self.significant = (
            above is not None
            and plan.significant
            and plan.restart != "permanent"
            and above.plan.auto_shutdown != "never"
        )

    def start(self) -> bool:
        """Whether it came up; a supervisor is as new, with a full budget and all its children."""
        if self.plan.strategy is None:
            refusals = self.model.refusals.setdefault(self.path, [])
            if refusals:
                refusals.pop(0)
                return False
            self.model.lines.append(f"+{self.path}")
            self.alive = True
            return True
        self.used = []
        self.children = [
            Part(self.model, plan, f"{self.path}.{number}", self)
            for number, plan in enumerate(self.plan.children)
        ]
        if self._start_in_order(list(self.children)) is not None:
            self._stop_children()
            return False
        self.alive = True
        return True

    def stop(self) -> None:
        """Its supervisor asks it to end."""
        if not self.alive:
            return
        self._stop_children()
        self.alive = False
        if self.plan.strategy is None and self.plan.slow <= PATIENCE:
            self.model.lines.append(f"-{self.path}")

    def ended(self, orderly: bool) -> None:
        """It ended by itself: what its supervisor does."""
        self.alive = False
        supervisor = self.above
        if supervisor is None:
            return
        if self.plan.restart == "permanent" or (self.plan.restart == "transient" and not orderly):
            supervisor._restart(self)
            return
        supervisor._clear(self)
        if self.significant:
            others = any(
                child.significant and (child.alive or child.restarting) for child in supervisor.children
            )
            if supervisor.plan.auto_shutdown == "any_significant" or not others:
                supervisor._give_up()

    def _restart(self, child: "Part") -> None:
        while True:
            now = self.model.now
            self.used = [at for at in self.used if at + self.plan.within >= now] + [now]
            child.restarting = False
            if len(self.used) > self.plan.max_restarts:
                self._clear(child)
                self._give_up()
                return
            group = [child]
            if self.plan.strategy == "one_for_all":
                group = list(self.children)
            elif self.plan.strategy == "rest_for_one":
                group = self.children[self.children.index(child) :]
            for other in reversed(group):
                if other is not child:
                    other.stop()
                    self._clear(other)
            failed = self._start_in_order([each for each in group if each in self.children])
            if failed is None:
                return
            failed.restarting = True
            child = failed

    def _give_up(self) -> None:
        self._stop_children()
        self.ended(orderly=True)  # with `shutdown`

    def _stop_children(self) -> None:
        for child in reversed(self.children):
            child.stop()

    def _clear(self, child: "Part") -> None:
        child.alive = child.restarting = False
        if child.plan.restart == "temporary":
            self.children.remove(child)

    @staticmethod
    def _start_in_order(children: "list[Part]") -> "Part | None":
        """The first that did not come up."""
        return next((child for child in children if not child.start()), None)

    def workers(self) -> "list[Part]":
        """The living workers below."""
        if self.plan.strategy is None:
            return [self] if self.alive else []
        return [worker for child in self.children for worker in child.workers()]


class Model:
    """What must have happened, fault by fault."""

    def __init__(self, plan: Plan) -> None:
        self.lines: list[str] = []
        self.refusals: dict[str, list[str]] = {}
        self.now = 0.0
        self.root = Part(self, plan, "r", None)
        self.root.start()

    def living(self) -> list[str]:
        """The paths of the workers that live."""
        return sorted(worker.path for worker in self.root.workers()) if self.root.alive else []

    def take(self) -> list[str]:
        """Who started and ended, in order, since the last time."""
        lines, self.lines = self.lines, []
        return lines

    def suffer(self, fault: Fault) -> None:
        """Let one fault happen and everything that follows from it."""
        self.now += QUIET
        living = self.living()
        if not living:
            return
        path = living[fault.which % len(living)]
        worker = next(worker for worker in self.root.workers() if worker.path == path)
        if fault.kind in ("refuse", "hang"):
            self.refusals.setdefault(path, []).append(fault.kind)
            return
        if fault.kind != "kill":
            self.lines.append(f"-{path}")  # it ends by itself, as slowly as it likes
        worker.ended(orderly=fault.kind in ("normal", "shutdown"))
