"""Elixir's Registry: register, unregister, lookup, keys, values, match, select, update_value, dispatch, listeners."""

from typing import Any

import pytest

from planaria.otp import (
    AlreadyStarted,
    Entry,
    NoProcess,
    Pid,
    Registered,
    Registry,
    StartFailed,
    Unregistered,
    child,
    exit_signal,
    receive,
    self_,
    send,
    spawn,
    supervisor,
)
from planaria.testing.node import TestNode
from tests.otp.support import collect, idle


async def start(node: TestNode, *args: Any) -> Pid:
    await node.start(supervisor(child(Registry, *args, name="r")))
    return node["r"]


async def kill(pid: Pid) -> None:
    exit_signal(pid, "kill")


async def test_a_process_is_found_by_its_key_until_it_ends(node: TestNode) -> None:
    registry = await start(node)
    pid = node.spawn(idle)
    await Registry.register(registry, ("scout", "garden"), "value", pid)
    assert Registry.lookup(registry, ("scout", "garden")) == [Entry(pid, "value")]
    assert Registry.whereis(registry, ("scout", "garden")) == pid
    assert Registry.keys(registry) == Registry.keys(registry, pid) == [("scout", "garden")]
    assert Registry.count(registry) == 1

    async def kill_and_look() -> None:
        exit_signal(pid, "kill")
        assert Registry.lookup("r", ("scout", "garden")) == []  # at once, before the registry has heard of it
        assert Registry.keys("r") == Registry.keys("r", pid) == []
        assert Registry.count("r") == 0

    await node.run(kill_and_look)
    await node.settle()
    assert node.state(registry)["table"].keys_of == {}  # type: ignore[attr-defined]


async def test_a_unique_key_belongs_to_one_living_process(node: TestNode) -> None:
    registry = await start(node)
    first, second = node.spawn(idle), node.spawn(idle)
    await Registry.register(registry, "k", 1, first)
    for again in (first, second):
        with pytest.raises(StartFailed) as caught:
            await Registry.register(registry, "k", 2, again)
        assert caught.value.reason == AlreadyStarted(first)

    async def kill_and_take_over() -> None:
        exit_signal(first, "kill")
        await Registry.register("r", "k", 2, second)

    await node.run(kill_and_take_over)
    await node.settle()
    assert Registry.lookup(registry, "k") == [Entry(second, 2)]


async def test_only_its_owner_gives_a_key_up(node: TestNode) -> None:
    registry = await start(node)
    pid = node.spawn(idle)
    await Registry.register(registry, "k", None, pid)

    async def work() -> None:
        assert not await Registry.unregister("r", "k")
        await Registry.register("r", "mine")
        assert await Registry.unregister("r", "mine")
        assert not await Registry.unregister("r", "mine")
        assert node["r"] not in node.info(self_()).links

    await node.run(work)
    assert registry.alive
    assert Registry.whereis(registry, "k") == pid
    with pytest.raises(TypeError, match="which process"):
        await Registry.register(registry, "from outside")


async def test_duplicate_keys_hold_every_registration(node: TestNode) -> None:
    registry = await start(node, "duplicate")
    one, other = node.spawn(idle), node.spawn(idle)
    for pid, value in ((one, 1), (other, 2), (one, 3)):
        await Registry.register(registry, "t", value, pid)
    await Registry.register(registry, "u", 4, one)
    assert Registry.lookup(registry, "t") == [Entry(one, 1), Entry(one, 3), Entry(other, 2)]
    assert Registry.values(registry, "t", one) == [1, 3]
    assert Registry.match(registry, "t", lambda value: value > 1) == [Entry(one, 3), Entry(other, 2)]
    assert Registry.select(registry, lambda key, entry: entry.value % 2 == 0) == [
        ("t", Entry(other, 2)),
        ("u", Entry(one, 4)),
    ]
    assert (Registry.count(registry), Registry.keys(registry, one)) == (4, ["t", "u"])
    assert await Registry.unregister(registry, "t", one)  # all it has under that key
    assert Registry.lookup(registry, "t") == [Entry(other, 2)]
    await node.run(kill, other)
    await node.settle()
    assert Registry.keys(registry) == ["u"]


async def test_subscribers_are_reached_through_dispatch(node: TestNode) -> None:
    """Registry.dispatch/4 in the caller; not called for a key nobody has."""
    registry = await start(node, "duplicate")
    boxes: list[list[Any]] = [[], []]
    for box in boxes:
        await Registry.register(registry, "rain", None, node.spawn(collect, box))

    def send_all(entries: list[Entry]) -> None:
        for entry in entries:
            send(entry.process, "drop")

    async def work() -> None:
        Registry.dispatch("r", "rain", send_all)
        Registry.dispatch("r", "sun", lambda entries: pytest.fail("nobody is there"))

    await node.run(work)
    await node.settle()
    assert boxes == [["drop"], ["drop"]]


async def test_a_value_is_changed_by_its_owner_alone(node: TestNode) -> None:
    """Registry.update_value/3."""
    registry = await start(node)
    await Registry.register(registry, "theirs", 1, node.spawn(idle))

    async def work() -> None:
        await Registry.register("r", "mine", 1)
        assert await Registry.update_value("r", "mine", lambda value: value + 1) == (2, 1)
        assert Registry.lookup("r", "mine") == [Entry(self_(), 2)]
        for key in ("theirs", "nobody's"):
            with pytest.raises(KeyError, match="unique key"):
                await Registry.update_value("r", key, lambda value: value + 1)

    await node.run(work)
    assert Registry.lookup(registry, "theirs")[0].value == 1


async def test_listeners_are_told_who_comes_and_goes(node: TestNode) -> None:
    """The option :listeners; a listener that is not there is passed over."""
    told: list[Any] = []
    await start(node, "unique", ("audit", "nobody"))

    async def audit() -> None:
        while True:
            told.append(await receive())

    async def work() -> Pid:
        spawn(audit, name="audit")
        pid = spawn(idle)
        for key in ("a", "b", "c"):
            await Registry.register("r", key, key.upper(), pid)
        await Registry.unregister("r", "b", pid)
        exit_signal(pid, "kill")
        return pid

    pid = await node.run(work)
    await node.settle()
    registry = node["r"]
    assert told == [
        *[Registered(registry, key, pid, key.upper()) for key in ("a", "b", "c")],
        *[Unregistered(registry, key, pid) for key in ("b", "a", "c")],
    ]


async def test_those_registered_end_with_a_registry_that_crashes(node: TestNode) -> None:
    registry = await start(node)
    pid, other = node.spawn(idle), node.spawn(idle)
    await Registry.register(registry, "k", None, pid)
    await node.run(kill, registry)
    await node.settle()
    assert pid.reason == "killed"
    assert other.alive
    assert Registry.keys(node["r"]) == []


async def test_facts_about_the_registry(node: TestNode) -> None:
    """Registry.meta/2 and put_meta/3."""
    registry = await start(node, "unique", (), {"colour": "green"})
    assert Registry.meta(registry, "colour") == "green"
    await Registry.put_meta(registry, "colour", "blue")
    assert Registry.meta(registry, "colour") == "blue"
    with pytest.raises(KeyError):
        Registry.meta(registry, "size")


async def test_what_is_no_registry_says_so(node: TestNode) -> None:
    async def work() -> None:
        spawn(idle, name="other")
        with pytest.raises(TypeError, match="RegistryTable"):
            Registry.lookup("other", "k")
        with pytest.raises(NoProcess):
            Registry.lookup("nobody", "k")
        with pytest.raises(StartFailed, match="'unique' or 'duplicate'"):
            await Registry.start("single")

    await node.run(work)


async def test_what_one_caller_gets_wrong_hurts_nobody_else(node: TestNode) -> None:
    registry = await start(node)
    pid = node.spawn(idle)
    await Registry.register(registry, "k", 1, pid)
    no_key: Any = ["a", "list"]
    with pytest.raises(TypeError, match=r"\['a', 'list'\] cannot be a key: unhashable"):
        await Registry.register(registry, no_key, 1, pid)
    with pytest.raises(TypeError, match="'me' is no process"):
        await Registry.register(registry, "other", 1, "me")  # type: ignore[arg-type]
    for request in (Registry.unregister, Registry.replace_value, Registry.put_meta):
        with pytest.raises(TypeError, match="cannot be a key"):
            await request(registry, no_key, pid)
    assert node["r"] is registry and Registry.keys(registry, pid) == ["k"]
