"""A running node as plain data."""

import msgspec
import pytest

from planaria.cortex.redact import Redactor
from planaria.nerve.views import (
    NoSuchProcess,
    node_view,
    process_rows,
    process_view,
    short_file,
    tree_views,
)
from planaria.otp import Deferred, GenServer, Node, call, cast, child, send, spawn, supervisor


class Keeper(GenServer):
    """Keeps calls waiting until it is told to answer."""

    def init(self) -> None:
        self.seen: list[object] = []
        self.password = "hunter2"
        self.waiting: list[Deferred[str]] = []

    @call
    def ask(self, text: str, api_key: str = "") -> Deferred[str]:
        answer: Deferred[str] = self.defer()
        self.waiting.append(answer)
        return answer

    @cast
    def note(self, text: str) -> None:
        self.seen.append(text)

    @call
    async def hang(self) -> None:
        await Keeper.ask.within(None)("other", "for ever")

    def handle_info(self, message: object) -> None:
        self.seen.append(message)


@pytest.fixture
async def node():
    async with Node("garden") as started:
        await started.start(
            supervisor(child(Keeper, name="keeper"), child(Keeper, name="other"), name="root")
        )
        yield started
        await started.stop(timeout=0.1)


async def test_the_tree_has_every_supervised_process_in_start_order(node):
    root, *_ = tree_views(node)
    assert root.title == "root"
    assert root.kind == "Supervisor"
    assert [view.title for view in root.children] == ["keeper", "other"]


async def test_a_view_is_plain_data(node):
    for view in (*tree_views(node), *process_rows(node), process_view(node, "keeper"), node_view(node)):
        assert msgspec.convert(msgspec.to_builtins(view), type(view)) == view


async def test_a_process_is_found_by_name_pid_text_and_pid(node):
    pid = node["keeper"]
    for what in ("keeper", str(pid), str(pid.id), pid):
        assert process_view(node, what).name == "keeper"


async def test_an_unknown_process_names_those_that_come_near(node):
    with pytest.raises(NoSuchProcess, match="did you mean 'keeper'") as missing:
        process_view(node, "keepr")
    assert missing.value.near == ["keeper"]


async def test_the_state_is_shown_with_secrets_masked(node):
    view = process_view(node, "keeper")
    assert {field.name: field.value for field in view.state}["password"] == "[secret]"
    assert "hunter2" not in str(view)


async def test_messages_are_shown_as_what_they_are_newest_first(node):
    async def work():
        Keeper.note("keeper", "cast me")
        send("keeper", {"info": 1})

    await node.run(work)
    await node.settle()
    info, cast_, *_ = process_view(node, "keeper").consumed
    assert (info.kind, info.text) == ("info", "{'info': 1}")
    assert (cast_.kind, cast_.text) == ("cast", "note('cast me')")
    assert cast_.sender.startswith("<garden.")


async def test_arguments_that_are_secret_are_masked(node):
    async def work():
        await Keeper.ask.within(None)("keeper", "hello sesame-sesame", api_key="sesame")

    node.spawn(work)
    await node.settle()
    redactor = Redactor({"MY_TOKEN": "sesame-sesame"})
    text = process_view(node, "keeper", redactor).consumed[0].text
    assert text == "ask('hello [secret MY_TOKEN]', api_key=[secret])"


async def test_a_stuck_process_is_shown_with_what_it_waits_for_and_what_waits_for_it(node):
    async def hang():
        await Keeper.hang.within(None)("keeper")

    async def work():
        spawn(hang)

    await node.run(work)
    await node.settle()
    node.send("keeper", "one")
    node.send("keeper", "two")
    view = process_view(node, "keeper")
    assert view.status == "suspended"
    assert view.current == "hang()"
    assert view.awaits[0].function == "Keeper.hang"
    assert view.awaits[0].file.endswith("test_views.py")
    assert [message.text for message in view.queued] == ["'one'", "'two'"]
    assert view.queue_len == 2


async def test_figures_add_up(node):
    view = node_view(node)
    assert view.processes == len(process_rows(node)) == 3
    assert view.rss_mb > 5


async def test_files_are_named_as_readers_of_code_know_them():
    assert short_file(process_view.__code__.co_filename) == "planaria/nerve/views.py"
    assert short_file(msgspec.__file__) == "msgspec/__init__.py"
    assert short_file("/somewhere/else/entirely.py") == "else/entirely.py"
