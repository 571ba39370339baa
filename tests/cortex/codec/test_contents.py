"""Long texts are taken out and put back, whatever the payload."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planaria.cortex.codec.contents import KEY, LONGEST, plain_hash, put_back, references, take_out

LONG = "x" * (LONGEST + 1)
KEYS = st.sampled_from(
    ["$content", "$$content", "$$$content", "content", "chars", "$content ", "a"]
) | st.text(max_size=3)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.text(max_size=5)
    | st.sampled_from([LONG, LONG + "é", "y" * LONGEST]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=12,
)
PAYLOADS = st.dictionaries(KEYS, VALUES, max_size=4)


def round_trip(payload: dict[str, Any]) -> Any:
    kept, taken = take_out(payload, plain_hash)
    assert set(references(kept)) == set(taken)
    return put_back(kept, taken)


@settings(deadline=None)  # the machine may be busy
@given(PAYLOADS)
def test_every_payload_comes_back_as_it_was(payload: dict[str, Any]) -> None:
    assert round_trip(payload) == payload


@settings(deadline=None)
@given(PAYLOADS)
def test_nothing_kept_is_longer_than_the_limit(payload: dict[str, Any]) -> None:
    def longest(value: Any) -> int:
        match value:
            case str():
                return len(value)
            case list():
                return max(map(longest, value), default=0)
            case dict():
                return max(map(longest, value.values()), default=0)
            case _:
                return 0

    assert longest(take_out(payload, plain_hash)[0]) <= LONGEST


@pytest.mark.parametrize(
    "payload",
    [
        {KEY: "0" * 64, "chars": 5},
        {"a": {KEY: "0" * 64, "chars": 5}},
        {"a": [{KEY: LONG, "chars": 5}]},
        {"$$content": {KEY: 1}},
    ],
)
def test_a_payload_that_looks_like_a_reference_is_none(payload: dict[str, Any]) -> None:
    kept, taken = take_out(payload, plain_hash)
    assert LONG not in str(kept)
    assert set(references(kept)) == set(taken)
    assert put_back(kept, taken) == payload


def test_a_text_that_stands_in_several_places_is_taken_once() -> None:
    kept, taken = take_out({"a": LONG, "b": [LONG]}, plain_hash)
    digest = plain_hash(LONG.encode())
    assert taken == {digest: LONG}
    assert kept == {"a": {KEY: digest, "chars": len(LONG)}, "b": [{KEY: digest, "chars": len(LONG)}]}


def test_a_text_that_is_missing_is_named() -> None:
    kept, _ = take_out({"a": LONG}, plain_hash)
    with pytest.raises(KeyError, match=plain_hash(LONG.encode())):
        put_back(kept, {})
