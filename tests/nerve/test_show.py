"""Any value as short text, safely."""

import dataclasses
import re
from collections import deque
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planaria.config.secret import Secret
from planaria.cortex.redact import Redactor
from planaria.nerve.show import public_attributes, show, show_named
from tests.otp.observe.test_show import HOSTILE, Meta


class Point(msgspec.Struct, frozen=True):
    x: int
    token: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Slotted:
    name: str
    children: list["Slotted"]


class Color(Enum):
    RED = 1


class Plain:
    def __init__(self) -> None:
        self.shown = 1
        self._hidden = 2


class Trap:
    """Everything it has is code that must not run."""

    def __init__(self) -> None:
        self.quiet = 1

    def __repr__(self) -> str:
        raise AssertionError("its repr ran")

    def __getattribute__(self, name: str) -> object:
        raise AssertionError(f"reading {name} ran code")

    @property
    def loud(self) -> int:
        raise AssertionError("a property ran")


class LoudList(list[int]):
    def __iter__(self):
        raise AssertionError("its iterator ran")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "None"),
        (True, "True"),
        (-5, "-5"),
        (0.5, "0.5"),
        ("it's", '"it\'s"'),
        (b"\x00\x01", "<bytes, 2 bytes>"),
        ([1, [2]], "[1, [2]]"),
        ((1,), "(1,)"),
        (set(), "{}"),
        (deque([1]), "[1]"),
        ({"a": 1, 2: None}, "{'a': 1, 2: None}"),
        (Point(1, ""), "Point(x=1, token='')"),
        (Slotted("a", [Slotted("b", [])]), "Slotted(name='a', children=[Slotted(name='b', children=[])])"),
        (Color.RED, "Color.RED"),
        (Plain(), "Plain(shown=1)"),
        (Plain, "Plain"),
        (ValueError("no", 3), "ValueError('no', 3)"),
        (Path("/a/b"), "/a/b"),
        (Decimal("1.5"), "Decimal('1.5')"),
        (
            datetime(2026, 1, 1, tzinfo=UTC),
            "datetime.datetime(2026, 1, 1, 0, 0, tzinfo=datetime.timezone.utc)",
        ),
        (re.sub, "<function sub>"),
        (re, "<module re>"),
        (object(), "object()"),
    ],
)
def test_a_value_is_shown_as_people_write_it(value, text):
    assert show(value) == text


def test_no_code_of_the_value_runs():
    assert show(Trap()) == "Trap(quiet=1)"
    assert show({"a": Trap()}) == "{'a': Trap(quiet=1)}"
    assert show(LoudList([1])) == "LoudList()"


def test_a_value_that_holds_itself_ends():
    loop: list[object] = []
    loop.append(loop)
    assert show(loop) == "[[[[[list(…)]]]]]"


def test_what_is_large_is_cut_and_says_how_much_is_missing():
    assert show(list(range(1000))).endswith("19, … 980 more]")
    assert len(show(["x" * 10_000] * 1000, limit=500)) == 500
    assert len(show("x" * 10_000_000)) < 400
    assert show(10**10_000) == "<integer of 33220 bits>"


def test_secrets_are_masked_by_name():
    assert show({"password": "hunter2", "tokens": 5}) == "{'password': [secret], 'tokens': 5}"
    assert show(Point(1, "abc")) == "Point(x=1, token=[secret])"
    assert show_named("api_key", "abc") == "[secret]"
    assert show_named("keys_seen", 4) == "4"


def test_secrets_are_masked_by_type():
    assert show([Secret("sesame")]) == "[[secret]]"


def test_secrets_are_masked_by_value_and_shape():
    redactor = Redactor({"MY_TOKEN": "sesame-sesame"})
    assert "sesame" not in show("open sesame-sesame", redactor)
    assert "sk-" not in show("my key is sk-abcdefghijklmnopqrstuvwx")


def test_a_secret_at_the_cut_is_masked_too():
    redactor = Redactor({"MY_TOKEN": "sesame-sesame"})
    for before in range(280, 305):
        assert "sesa" not in show("." * before + "sesame-sesame", redactor)


def test_attributes_never_set_are_left_out():
    class Half:
        __slots__ = ("a", "b")

        def __init__(self) -> None:
            self.a = 1

    half = Half()
    assert public_attributes(half) == {"a": 1}


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.tuples(inner, inner)
    ),
)


@given(_values, st.integers(min_value=2, max_value=100))
def test_any_value_is_shown_within_its_limit(value, limit):
    assert len(show(value, limit=limit)) <= limit


@pytest.mark.parametrize("make", HOSTILE)
def test_no_code_of_a_value_is_run_whatever_it_is(make, monkeypatch):
    value = make()
    monkeypatch.setattr(Meta, "armed", True)
    text = show([value])
    monkeypatch.setattr(Meta, "armed", False)
    assert text.startswith("[")
