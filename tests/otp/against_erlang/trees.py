"""Random trees: what Erlang's supervisors do beside what the model says."""

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.otp.random_trees.case import QUIET, Case, Plan
from tests.otp.random_trees.model import PATIENCE, Model
from tests.otp.test_properties import WORKER_FAULTS, faults_of, trees_with

from .erl import run_erlang, term

SHUTDOWN_MS, SLOW_MS = 300, 600
"""Erlang's share of the time the model gives a worker to end, and what takes longer."""

type Steps = list[list[list[str]]]


def draw(number: int, start: int) -> list[Case]:
    """So many cases worth running: at least two children and four faults."""
    found: list[Case] = []
    faults = faults_of(WORKER_FAULTS, [QUIET]).filter(lambda drawn: len(drawn) >= 4)
    cases = st.builds(Case, trees_with([1e9]), faults).filter(lambda case: len(case.tree.children) > 1)

    @seed(start)
    @settings(
        max_examples=number,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(cases)
    def gather(case: Case) -> None:
        found.append(case)

    gather()
    return found


def plan_term(plan: Plan) -> tuple[object, ...]:
    if plan.strategy is None:
        slow = SLOW_MS if plan.slow > PATIENCE else round(100 * plan.slow)
        return ("leaf", plan.restart, slow, plan.significant)
    children = [plan_term(child) for child in plan.children]
    return (
        "sup",
        plan.restart,
        plan.strategy,
        plan.max_restarts,
        plan.auto_shutdown,
        plan.significant,
        children,
    )


def expected(case: Case) -> Steps:
    """What the model says, in the form Erlang's answer has."""
    model = Model(case.tree)
    steps = [[model.take(), model.living()]]
    for fault in case.faults:
        model.suffer(fault)
        steps.append([model.take(), model.living()])
    model.root.stop()
    return [*steps, [model.take(), []]]


def differences(number: int, start: int) -> tuple[int, list[str]]:
    """How many starts and ends were compared, and what differs."""
    cases = draw(number, start)
    terms = [
        term((at, plan_term(case.tree), [(fault.kind, fault.which) for fault in case.faults]))
        for at, case in enumerate(cases)
    ]
    compared, found = 0, []
    for at, really in run_erlang("trees", terms):
        case, ought = cases[at], expected(cases[at])
        compared += sum(len(lines) for lines, _ in ought)
        for step, (real, said) in enumerate(zip(really, ought, strict=True)):
            if real != said:
                found.append(f"{case.encoded()}\n  step {step}: Erlang {real}\n  step {step}: model  {said}")
                break
    return compared, found
