"""The processes of this floor, as one child of the node.

    workflows (rest_for_one)
    ├── runs         one process per run that goes on
    ├── workflows    definitions and runs
    ├── schedules    starts workflows by the clock
    └── definitions  watches workflows/*.py

If `runs` is lost, `workflows` starts anew after it and takes up every run that is not over.
"""

from collections.abc import Mapping
from pathlib import Path

from planaria.membrane.gate.gate import Gate
from planaria.otp import ChildSpec, child, dynamic, supervisor, task_child
from planaria.workflows.engine import Workflows
from planaria.workflows.messages import RUNS
from planaria.workflows.schedule import Schedules
from planaria.workflows.watch import watch


def tree(
    gate: Gate,
    garden: Path,
    services: Mapping[type, object] | None = None,
    zone: str = "UTC",
    watching: bool = True,
) -> ChildSpec:
    """The supervision tree of the workflows.

    Args:
        gate: where tools are called.
        garden: its folder.
        services: what tools may ask their context for.
        zone: the time zone of workflows that name none.
        watching: load Python files anew when they change on disk.
    """
    watcher = [task_child(watch, garden, name="workflow_files")] if watching else []
    return supervisor(
        dynamic(name=RUNS, max_restarts=30, within=10.0),
        child(Workflows, gate, garden, services, zone, name="workflows", shutdown=10.0),
        child(Schedules, name="schedules"),
        *watcher,
        strategy="rest_for_one",
        name="workflow_floor",
        max_restarts=10,
        within=30.0,
    )
