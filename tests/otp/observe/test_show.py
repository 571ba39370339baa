"""Values become text without any of their code being run, whatever they pretend to be."""

import asyncio
import types
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from enum import Enum
from pathlib import PosixPath
from typing import Any, NoReturn

import pytest

from planaria.otp import GenServer, Node, call
from planaria.otp.observe.chain import await_chain
from planaria.otp.observe.show import MASK, names_secret, show
from planaria.otp.observe.views import info_view


def fail(*_: object) -> NoReturn:
    raise AssertionError("code of a shown value was run")


class Meta(type):
    """Runs code whenever something of its classes is read."""

    armed = False

    def __getattribute__(cls, name: str) -> Any:
        return fail() if Meta.armed else super().__getattribute__(name)


class Odd(metaclass=Meta):
    pass


class Lying:
    """Has code for everything."""

    __class__ = property(fail)
    __dict__ = property(fail)
    __repr__ = __str__ = __len__ = __getattr__ = __format__ = fail


class Zone(tzinfo):
    utcoffset = tzname = dst = __repr__ = fail


class Place(PosixPath):
    __str__ = __fspath__ = fail


class Key:
    __hash__ = object.__hash__
    __str__ = __repr__ = fail


class Called:
    def __call__(self) -> None: ...

    __getattr__ = fail


class Colour(Enum):
    RED = 1


def with_odd_key() -> object:
    class Plain:
        pass

    value = Plain()
    value.__dict__[Key()] = 1  # type: ignore[index]
    return value


def released() -> memoryview:
    view = memoryview(b"abc")
    view.release()
    return view


def nameless() -> types.ModuleType:
    module = types.ModuleType("m")
    module.__dict__["__getattr__"] = fail
    del module.__dict__["__name__"]
    return module


HOSTILE: list[Callable[[], object]] = [
    Odd,
    lambda: Odd,
    Lying,
    lambda: datetime(2020, 1, 1, tzinfo=Zone()),
    lambda: Place("/x"),
    with_odd_key,
    lambda: types.MethodType(Called(), 3),
    released,
    nameless,
    lambda: Odd().__init__,  # type: ignore[misc]
]


class Keeper(GenServer):
    def init(self, value: object) -> None:
        self.value = value

    @call
    def nothing(self) -> None: ...


@pytest.mark.parametrize("make", HOSTILE)
async def test_no_code_of_a_value_is_run_whatever_it_is(make, monkeypatch):
    value = make()
    async with Node("shown") as node:
        pid = await node.run(Keeper.start, value)
        monkeypatch.setattr(Meta, "armed", True)
        text = show("value", value, 500)
        info = info_view(node, pid, show)
        monkeypatch.setattr(Meta, "armed", False)
        assert info["state"] == {"value": text}


class Awaited:
    """Awaitable by code of its own."""

    def __await__(self) -> "Awaited":
        return self

    def __iter__(self) -> "Awaited":
        return self

    def __next__(self) -> None:
        return None

    def throw(self, error: BaseException) -> None:
        raise error

    def close(self) -> None:
        return

    def __getattr__(self, name: str) -> object:
        fail()


async def test_what_is_awaited_is_not_asked_either():
    async def waits() -> None:
        await Awaited()  # type: ignore[misc]

    async with Node("shown") as node:
        pid = node.spawn(waits)
        await asyncio.sleep(0)
        assert [each["function"] for each in await_chain(pid, show)][-1].endswith("waits")


def test_plain_values_read_as_ever():
    moment = datetime(2020, 1, 1, tzinfo=UTC)
    assert show("", moment) == repr(moment)
    assert show("", [timedelta(1), Colour.RED, types, fail, asyncio.sleep, Key]) == (
        "[datetime.timedelta(days=1), Colour.RED, <module types>, <function fail>, <function sleep>, Key]"
    )


@pytest.mark.parametrize(
    "name", ["api_key", "openaiApiKey", "X-API-KEY", "authToken", "db_password", "passphrase"]
)
def test_secret_names_are_known(name):
    assert names_secret(name, "x")
    assert show("", {name: "x"}) == f"{{'{name}': {MASK}}}"


@pytest.mark.parametrize("name", ["monkey", "turnkey", "keyboard", "tokenizer"])
def test_other_names_are_shown(name):
    assert not names_secret(name, "x")
