"""Replay, diff and fork as people type them: on files, on a garden that runs, on one that does not."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from planaria.cli.garden import VARIABLE
from tests.cli.conftest import Garden, planaria
from tests.cli.test_up import ENVIRONMENT, Program, start

__all__ = ["start"]

RUN = Path(__file__).parent.parent / "testing" / "runs" / "weather.jsonl"


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside of any garden: files need none."""
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)


def said(*args: str, code: int = 0) -> str:
    result = planaria(*args)
    assert result.exit_code == code, result.output
    return result.output


def test_a_file_is_replayed_step_by_step():
    text = said("replay", str(RUN))
    lines = [line for line in text.splitlines() if line.strip()]
    assert lines[0] == "session:scout@garden  9 steps"
    assert lines[1].startswith("   1  ada  ") and lines[1].endswith("How is Kyoto?")
    assert lines[2].startswith("   2  scripted  calls weather.today  Let me look.  10 → 5 tokens")
    assert lines[2].endswith("prompt exact")
    assert '      weather.today {"city": "Kyoto"}  →  Rain in Kyoto.' in lines[3]
    assert "      tried, failed: busy" in lines
    assert lines[-2] == "3 turns, 60 → 30 tokens, $0.00021, 1 call failed"
    assert lines[-1].startswith("state after it: at rest, digest ")


def test_a_replay_may_end_at_a_step_and_show_the_state_there():
    text = said("replay", str(RUN), "--to", "2")
    assert "9 steps, 1 to 2 shown" in text
    assert "1 turn, 10 → 5 tokens" in text
    assert "state after it: about to ask the model" in text
    assert "9 steps, 8 to 9 shown" in said("replay", str(RUN), "-n", "2")


def test_a_step_is_shown_with_its_exact_prompt_and_state():
    text = said("replay", str(RUN), "--step", "3")
    assert "exactly as it was sent: digest " in text
    for part in (
        "[system]",
        "You tell the weather. Be brief.",
        "[user]\nHow is Kyoto?",
        "[tool]\nRain in Kyoto.",
    ):
        assert part in text
    assert '"finished": "answered"' in text
    assert "state after it: at rest" in text
    assert "[system]" not in said("replay", str(RUN), "--step", "1")


def test_a_replay_is_json_for_programs():
    view = json.loads(said("replay", str(RUN), "--json"))
    assert [step["prompt"] for step in view["steps"] if step["kind"] == "answer"] == ["exact"] * 6
    detail = json.loads(said("replay", str(RUN), "--step", "2", "--json"))
    assert detail["prompt"]["exact"] is True
    assert detail["state"]["value"]["steps"][0]["results"]


def test_a_run_is_equal_to_itself_and_not_to_a_changed_one(tmp_path: Path):
    assert "the two are equal" in said("diff", str(RUN), str(RUN))
    other = tmp_path / "other.jsonl"
    other.write_text(RUN.read_text().replace("Rain in Kyoto.", "Snow in Kyoto."))
    text = said("diff", str(RUN), str(other), code=1)
    assert "they part at step 2 of session:scout@garden, step 2 of session:scout@garden: result" in text
    assert "    -Rain in Kyoto.\n    +Snow in Kyoto.\n" in text
    assert "prompt CHANGED" in said("replay", str(other))
    found = json.loads(said("diff", str(RUN), str(other), "--json", code=1))
    assert found["first"] == 1


def test_what_is_no_run_is_refused_with_a_mend(tmp_path: Path):
    assert "there is no file gone.jsonl" in said("replay", "gone.jsonl", code=6)
    broken = tmp_path / "broken.jsonl"
    broken.write_text("{}\n")
    assert "this is no journal" in said("replay", str(broken), code=6)
    assert "has the steps 1 to 9, not 11" in said("replay", str(RUN), "--step", "11", code=6)
    assert "no garden here" in said("replay", "scout", code=3)


@pytest.mark.subprocess
def test_a_session_is_forked_compared_and_replayed_while_the_node_runs_and_after(garden: Garden, start):
    made = [sys.executable, "-m", "planaria.cli", "init", str(garden.path / "g")]
    subprocess.run(made, check=True, capture_output=True, env=ENVIRONMENT)
    path = garden.path / "g"
    (path / "planaria.toml").write_text((garden.path / "planaria.toml").read_text())
    here = ("--garden", str(path))
    node = Program(path)
    try:
        node.wait_ready()
        said("chat", "garden", "-m", "search welcome", "--as", "ada", *here)
        assert "calls notes.search" in said("replay", "scout", *here)
        text = said("fork", "scout", "--at", "1", "--edit", "search contract", "--as", "ada", *here)
        assert "session:scout@garden-fork-1 goes on from step 1 of session:scout@garden" in text
        assert "branched off session:scout@garden at step 1, with another message" in said(
            "replay", "garden-fork-1", *here
        )
        assert "garden-fork-1\tscout\tscout@garden\t1\t\tmessage" in said("fork", "list", *here)
        assert ": message\n" in said("diff", "scout", "garden-fork-1", *here, code=1)
        assert "scout@garden-fork-1" in said("tree", *here)
        assert "no model 'nope/x'" in said("fork", "scout", "--at", "1", "--model", "nope/x", *here, code=6)
        assert "has ended" in said("fork", "remove", "garden-fork-1", *here)
        assert "scout@garden-fork-1" not in said("tree", *here)
    finally:
        node.end(signal.SIGTERM)
    assert "prompt exact" in said("replay", "scout", *here)
    assert "prompt exact" in said("replay", "garden-fork-1", *here)
    assert "no node runs" in said("fork", "list", *here, code=4)
