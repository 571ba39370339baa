"""Breakers and budgets from the terminal."""

from functools import partial

from planaria.cortex.event import NewEvent
from planaria.cortex.journal import Journal
from planaria.immune.breakers.breaker import Admitted
from planaria.immune.breakers.table import breakers_of
from planaria.otp import node_

SCOUT = "session:scout@garden"


def fail(live, name="tool:web.fetch", times=5):
    async def failing():
        breakers = breakers_of(node_())
        for _ in range(times):
            admitted = breakers.admit(name)
            assert isinstance(admitted, Admitted)
            breakers.report(admitted, False, "no route", "unreachable")

    live.tell(failing)


def spend(live, micro):
    payload = {"provider": "fast", "cost_micro": micro, "usage": {"input_tokens": 700}, "duration_ms": 10.0}
    event = NewEvent("model.responded", payload, session=SCOUT, cause_id="M")
    live.tell(partial(Journal.append, "journal", [event]))


def test_what_keeps_failing_is_listed_and_closed(live):
    assert "nothing with a breaker" in live.run("breakers").stderr
    fail(live)
    row = live.run("breakers").output.split("\t")
    assert row[:2] == ["tool:web.fetch", "open"] and row[3:5] == ["5", "5 of 5 failed"]
    (view,) = live.json("breakers", "list", "--open")
    assert (view["why"], view["guards"]) == ("no route", "tool")
    assert live.run("breakers", "close", "tool:web.fetch").output == "tool:web.fetch is closed\n"
    assert "no breaker is open" in live.run("breakers", "list", "--open").stderr


def test_a_person_holds_something_back(live):
    result = live.run("breakers", "open", "provider:fast", "--why", "being moved", "--as", "ada")
    assert result.output == "provider:fast is open, until closed by hand (person:ada opened it)\n"
    view = live.json("breakers", "open", "provider:fast", "--for", "60")
    assert view["until"] > view["since"]
    refused = live.run("breakers", "close", "provider:none")
    assert refused.exit_code == 6 and "there is no breaker 'provider:none'" in refused.stderr
    assert "write one such as tool:web.fetch" in live.run("breakers", "open", "fast").stderr


def test_the_budget_is_a_tree_with_bars(live):
    spend(live, 2_500_000)
    lines = live.run("budget").output.splitlines()
    assert lines[0] == "garden  today $2.50, 700 tokens, 1 call"
    assert lines[1].strip().startswith("██░░░░░░░░░░░░░░░░░░ $2.50 of $20.00 usd_per_day")
    assert any(line.startswith(f"    {SCOUT}") for line in lines)
    assert not any("turn:" in line for line in lines)
    assert any("turn:" in line for line in live.run("budget", "--all").output.splitlines())
    account, *below = live.json("budget", "agent:scout")
    assert (account["today"]["micro_usd"], below[0]["under"]) == (2_500_000, "agent:scout")
    nobody = live.run("budget", "agent:nobody")
    assert nobody.exit_code == 6 and "there is no account 'agent:nobody'" in nobody.stderr


def test_a_limit_is_set_and_taken_back(live):
    output = live.run("budget", "set", "agent:scout", "usd_per_day=1.5", "tokens_per_day=900").output
    assert "$0.00 of $1.50 usd_per_day (set by hand)" in output
    account, *_ = live.json("budget", "set", "agent:scout", "tokens_per_day=none")
    assert account["set"] == {"usd_per_day": 1.5}
    wrong = live.run("budget", "set", "agent:scout", "usd_per_dya=1")
    assert wrong.exit_code == 6 and "did you mean 'usd_per_day'?" in wrong.stderr
    assert "write usd_per_day=1.50" in live.run("budget", "set", "garden", "usd_per_day").stderr
