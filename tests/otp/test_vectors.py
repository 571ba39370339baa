"""What the real Erlang/OTP did, this kernel does: every recorded scenario, replayed under several schedules.

`OTP_VECTORS=/some/dir` runs other files of the same form. `not_yet.txt` lists what the
kernel does not do yet.
"""

import os

import pytest

from .vector_adapter.scenario import run_scenario
from .vector_adapter.selection import Scenario, not_yet, scenarios


def _parameter(scenario: Scenario) -> object:
    marks = [pytest.mark.xfail(reason=scenario.not_yet, strict=True)] if scenario.not_yet else []
    return pytest.param(scenario, id=scenario.id, marks=marks)


@pytest.mark.parametrize("scenario", [_parameter(scenario) for scenario in scenarios()])
async def test_the_kernel_does_what_erlang_did(scenario: Scenario) -> None:
    for seed in range(scenario.schedules):
        outcome = await run_scenario(scenario.content, seed)
        problems = outcome.disagreements(scenario.content["expect"])
        assert not problems, "\n".join([f"{scenario.content['why']} (schedule seed {seed})", *problems])


@pytest.mark.skipif("OTP_VECTORS" in os.environ, reason="excuses are about the project's own vectors")
def test_every_excuse_excuses_something() -> None:
    known = [scenario.id for scenario in scenarios()]
    unused = [prefix for prefix in not_yet() if not any(one.startswith(prefix) for one in known)]
    assert not unused


def test_signals_servers_and_supervisors_need_no_excuse() -> None:
    excused = [prefix for prefix in not_yet() if prefix[0] in "ABC"]
    assert not excused
