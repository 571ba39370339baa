"""The doctor, with and without a node."""

import pytest

from planaria.nerve.doctor import examine_node
from planaria.nerve.views import TreeView


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch):
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "OLLAMA_HOST"):
        monkeypatch.delenv(name, raising=False)


def _levels(findings):
    return {finding["what"]: finding["level"] for finding in findings}


def test_a_fresh_garden_is_well_but_for_its_model(garden):
    result = garden.run("doctor")
    assert result.exit_code == 0
    assert "not running" in result.output
    assert "only the offline rules answer" in result.output


def test_a_broken_record_is_an_error_with_its_line_and_exit_code_1(garden):
    (garden.path / "notes" / "bad.md").write_text("---\ntitle: [\n---\n")
    result = garden.run("doctor")
    assert result.exit_code == 1
    assert "notes/bad.md:2" in result.output


def test_broken_settings_are_named_with_line_and_mend_and_the_rest_is_looked_at(garden):
    (garden.path / "planaria.toml").write_text("[web]\nprot = 1\n")
    result = garden.run("doctor")
    assert result.exit_code == 1
    assert "did you mean 'port'?" in result.output
    assert "records: " in result.output


def test_a_model_server_that_does_not_answer_is_an_error(garden, unused_tcp_port):
    (garden.path / "planaria.toml").write_text(
        f'[models.providers.local]\nbase_url = "http://127.0.0.1:{unused_tcp_port}/v1"\n'
    )
    assert _levels(garden.json("doctor"))["model provider local"] == "error"


def test_with_a_node_it_looks_at_the_processes_too(live):
    findings = live.json("doctor")
    assert _levels(findings)["processes"] == "ok"
    assert "running as process" in next(f["detail"] for f in findings if f["what"] == "node")


def test_a_child_that_does_not_run_and_one_that_was_restarted_are_found():
    gone = TreeView("", None, "index", "child", "dead", 0, 0, 0)
    often = TreeView("<n.3>", "feeder", "feeder", "Feeder", "waiting", 2000, 9, 4)
    root = TreeView("<n.1>", "root", "root", "Supervisor", "waiting", 0, 0, 0, (gone, often))
    details = [finding.detail for finding in examine_node([root])]
    assert "index does not run" in details
    assert "feeder restarted 4 times" in details
    assert "feeder: 2000 messages wait" in details
