"""The doctor, with and without a node."""

import pytest

from planaria.cortex.stores.place import KEY_FILE, master_key
from planaria.cortex.telemetry.export import ExportFigures
from planaria.membrane.sandbox.available import find_sandbox
from planaria.nerve.doctor import examine_export, examine_node
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


def test_it_says_what_holds_the_programs_of_tools(garden, monkeypatch, tmp_path):
    if find_sandbox().backend == "bubblewrap":
        assert _levels(garden.json("doctor"))["sandbox"] == "ok"
    monkeypatch.setenv("PATH", str(tmp_path))
    finding = next(each for each in garden.json("doctor") if each["what"] == "sandbox")
    assert finding["level"] == "warning"
    assert "bubblewrap is not installed" in finding["detail"]
    assert "apt-get install bubblewrap" in finding["mend"]


def test_it_shows_what_the_settings_let_tools_use_and_reach(garden, tmp_path):
    (tmp_path / "there").mkdir()
    (garden.path / "planaria.toml").write_text(
        f'[sandbox]\nmemory_mb = 99\nread = ["{tmp_path}/there", "{tmp_path}/nowhere"]\n'
        '[search]\nservice = "searxng"\nbase_url = "http://127.0.0.1:8888"\n'
        '[web_access]\nprivate = ["nas.local:8080"]\n'
    )
    findings = garden.json("doctor")
    told = {finding["what"]: finding["detail"] for finding in findings}
    assert told["search"] == "searxng at http://127.0.0.1:8888"
    assert "nas.local:8080, if net.fetch grants it" in told["web access"]
    if find_sandbox().backend is not None:
        assert told["sandbox limits"].startswith("99 MB, 64 processes")
        reads = [(each["level"], each["detail"]) for each in findings if each["what"] == "sandbox reads"]
        assert reads == [("ok", f"{tmp_path}/there"), ("error", f"{tmp_path}/nowhere is not there")]


def test_a_backend_that_does_not_work_here_is_an_error(garden, monkeypatch, tmp_path):
    (garden.path / "planaria.toml").write_text('[sandbox]\nbackend = "bubblewrap"\n')
    monkeypatch.setenv("PATH", str(tmp_path))
    finding = next(each for each in garden.json("doctor") if each["what"] == "sandbox")
    assert finding["level"] == "error"
    assert "bubblewrap does not work here, so tools run no programs: bubblewrap is not" in finding["detail"]
    assert 'backend = "auto"' in finding["mend"]


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


def test_a_key_that_is_missing_beside_a_journal_is_an_error_and_is_not_made_anew(garden):
    assert _levels(garden.json("doctor"))["journal key"] == "ok"  # nothing is there yet
    key = garden.path / ".planaria" / KEY_FILE
    master_key(garden.path)
    (garden.path / ".planaria" / "journal.db").write_bytes(b"")
    assert _levels(garden.json("doctor"))["journal key"] == "ok"
    key.unlink()
    result = garden.run("doctor")
    assert result.exit_code == 1
    assert "put the copy of it back before the next start" in result.output
    assert not key.exists()


def test_a_key_that_is_missing_and_a_journal_in_a_database_are_a_warning(garden, unused_tcp_port):
    settings = garden.path / "planaria.toml"
    address = f"postgresql://ada@127.0.0.1:{unused_tcp_port}/garden"
    settings.write_text(f'{settings.read_text()}\n[journal]\ndatabase = "{address}"\n')
    finding = next(each for each in garden.json("doctor") if each["what"] == "journal key")
    assert finding["level"] == "warning"
    assert "put the copy of the key back before the next start" in finding["mend"]


@pytest.mark.parametrize(
    ("spoil", "level", "said"),
    [
        (lambda key: key.write_text("no key"), "error", "holds no key"),
        (lambda key: key.chmod(0o644), "warning", "chmod 600"),
    ],
)
def test_a_key_that_cannot_be_used_or_is_open_to_others_is_named(garden, spoil, level, said):
    master_key(garden.path)
    spoil(garden.path / ".planaria" / KEY_FILE)
    assert _levels(garden.json("doctor"))["journal key"] == level
    assert said in garden.run("doctor").output


@pytest.mark.parametrize(
    ("settings", "level", "said"),
    [
        ('[web]\nmetrics_token_env = "NO_SUCH_TOKEN"\n', "warning", "NO_SUCH_TOKEN is not set"),
        (
            '[telemetry]\notlp_endpoint = "http://127.0.0.1:9/v1/traces"\notlp_headers_env = "NO_SUCH_HEADERS"\n',
            "error",
            "NO_SUCH_HEADERS is not set",
        ),
    ],
)
def test_a_variable_of_telemetry_that_is_not_set_is_named(garden, settings, level, said):
    (garden.path / "planaria.toml").write_text(settings)
    assert _levels(garden.json("doctor"))["telemetry"] == level
    assert said in garden.run("doctor").output


def test_an_exporter_in_trouble_is_told_with_what_was_lost():
    figures = ExportFigures()
    assert examine_export(None) == []
    assert [finding.level for finding in examine_export(figures)] == ["ok"]
    figures.trouble, figures.dropped_full = "connection refused", 7
    (finding,) = examine_export(figures)
    assert (finding.level, finding.detail) == ("warning", "connection refused; 7 spans lost since the start")
