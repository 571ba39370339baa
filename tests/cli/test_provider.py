"""`planaria provider` and `planaria route`, as a person would use them: in a stopped garden, and with a node."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from planaria.membrane.models import directory
from planaria.nerve import model_desk

KEY = "right-key-of-the-pond"


class Service(BaseHTTPRequestHandler):
    """A model service that wants a key."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.headers.get("authorization") == f"Bearer {KEY}":
            self._say(200, {"data": [{"id": "our-model"}, {"id": "other"}]})
        else:
            said = f"Incorrect API key provided: {self.headers.get('authorization', 'none')}"
            self._say(401, {"error": {"message": said, "code": "invalid_api_key"}})

    def _say(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def service() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Service) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def bare_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """No keys in the environment, no model servers on this machine."""

    async def nothing(environ: object, within: float = 0.5) -> list[object]:
        return []

    for module in (directory, model_desk):
        monkeypatch.setattr(module, "probe", nothing)
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GROQ_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def test_a_provider_is_added_given_a_key_tried_and_routed_to(garden: Any, service: str) -> None:
    added = garden.run(
        *("provider", "add", "work", "--url", service, "--model", "our-model", "--as", "ada"),
        *("about.our-model.tiers=medium,light", "about.our-model.usd_in=1", "about.our-model.usd_out=2"),
    )
    assert added.exit_code == 0, added.output
    assert "our-model\tlight, medium\t?\t$1 / $2\t?" in added.output
    wrong = garden.run("provider", "key", "work", input="wrong-key-of-the-pond\n")
    assert "key from  the garden's database" in wrong.output
    tried = garden.run("provider", "test", "work")
    assert tried.exit_code == 1
    assert "refused the key from the garden's database (401)" in tried.output
    assert "`planaria provider key work`" in tried.output
    assert garden.run("provider", "key", "work", input=KEY + "\n").exit_code == 0
    assert "its models: our-model, other" in garden.run("provider", "test", "work").output
    (candidate,) = garden.json("route", "light", "--tokens", "5000")["candidates"]
    assert candidate == {
        "ref": "work/our-model",
        "why": "light, stays here",
        "usd": 0.007,
        "local": True,
        "instead_of": "",
        "queues": False,
    }
    assert garden.run("provider", "remove", "work").output == "work is gone\n"
    assert [row["name"] for row in garden.json("provider", "list")] == ["offline"]
    everything = garden.run("journal", "export", str(garden.path / "all.jsonl"))
    assert everything.exit_code == 0
    for file in Path(garden.path).rglob("*"):
        if file.is_file():
            assert KEY.encode() not in file.read_bytes(), file


def test_a_key_never_stands_on_the_command_line_and_comes_only_once(garden: Any, service: str) -> None:
    garden.run("provider", "add", "work", "--url", service, "--model", "m")
    refused = garden.run("provider", "set", "work", f"key={KEY}")
    assert refused.exit_code == 2
    assert KEY not in refused.output
    assert "no key came" in garden.run("provider", "key", "work", input="").output
    assert "too short to be masked" in garden.run("provider", "key", "work", input="short\n").output
    assert garden.json("provider", "show", "work")["key"] == ""


def test_a_key_does_not_follow_a_provider_to_another_address(garden: Any, service: str) -> None:
    garden.run("provider", "add", "work", "--url", service, "--model", "m", "--key", input=KEY + "\n")
    assert garden.json("provider", "show", "work")["problem"] == ""
    moved = garden.json("provider", "set", "work", "base_url=https://elsewhere.example/v1")
    assert "give it again with `planaria provider key work`" in moved["problem"]
    assert garden.json("provider", "set", "work", f"base_url={service}")["problem"] == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("show", "grok"), "no provider 'grok'"),
        (("show", "groq"), "groq is known and has no key"),
        (("set", "nobody", "priority=1"), "planaria provider add nobody --url"),
        (("add", "offline", "--url", "https://x.example"), "the name 'offline' is taken"),
        (("add", "x"), "x has no address"),
        (("add", "x", "--url", "http://x.example"), "unencrypted"),
        (("set", "groq", "limits.queue=-1"), "expected int >= 0"),
        (("remove", "offline"), "offline is not in the database"),
        (("key", "nobody"), "no provider 'nobody'"),
    ],
)
def test_what_cannot_be_done_is_said_with_the_mend(garden: Any, words: tuple[str, ...], said: str) -> None:
    result = garden.run("provider", *words, input="some-long-key\n")
    assert result.exit_code == 6
    assert said in result.output


def test_a_route_explains_what_is_left_out_and_asks_nobody(garden: Any) -> None:
    garden.run("provider", "key", "groq", input="gsk-of-the-pond\n")
    garden.run("provider", "add", "box", "--url", "http://10.0.0.7/v1", "--model", "own")
    (garden.path / "agents" / "hermit.md").write_text("---\nmodel: heavy\nprivacy: local\n---\nStay.\n")
    shown = garden.run("route", "heavy", "--needs", "tools", "--explain")
    assert "1\tgroq/openai/gpt-oss-120b\t$0.0006\theavy\n" in shown.output
    assert "groq/openai/gpt-oss-20b\tnot asked for: it is light" in shown.output
    hermit = garden.json("route", "--agent", "hermit")
    assert [each["ref"] for each in hermit["candidates"]] == ["box/own"]
    garden.run("provider", "disable", "box")
    nobody = garden.run("route", "--agent", "hermit", "--explain")
    assert nobody.exit_code == 1
    assert "box/own\tbox is switched off" in nobody.output
    assert "local only: what it is told would leave this machine" in nobody.output
    assert "no ability 'flying'" in garden.run("route", "--needs", "flying").output
    assert "no agent 'ghost'" in garden.run("route", "--agent", "ghost").output


def test_a_running_node_is_asked_through_its_socket(live: Any) -> None:
    """The parrots' node has no directory: what the command changes is in its journal all the same."""
    assert live.run("provider", "add", "box", "--url", "http://10.0.0.7/v1", "--model", "own").exit_code == 0
    (box, rules) = live.json("provider")
    assert (box["name"], box["default"], rules["name"]) == ("box", True, "offline")
    assert "box\tready, default, local\town\t0\t\tthe garden's database" in live.run("provider").output
    (event,) = live.json("journal", "tail", "--session", "config:providers")
    assert event["payload"]["name"] == "box"
