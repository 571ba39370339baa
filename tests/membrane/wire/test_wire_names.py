import re

from hypothesis import given
from hypothesis import strategies as st

from planaria.membrane.wire.wire_names import WireNames


def test_dots_become_underscores_and_come_back():
    names = WireNames(["web.fetch"])
    assert names.there("web.fetch") == "web_fetch"
    assert names.back("web_fetch") == "web.fetch"


def test_two_tools_never_share_a_wire_name():
    names = WireNames(["web.fetch", "web_fetch", "web-fetch"])
    assert len({names.there(name) for name in ("web.fetch", "web_fetch", "web-fetch")}) == 3


def test_a_model_may_use_our_own_name_or_one_that_is_none():
    names = WireNames(["web.fetch"])
    assert names.back("web.fetch") == "web.fetch"
    assert names.back("rm") == "rm"


@given(st.lists(st.text(min_size=1, max_size=100), max_size=10, unique=True))
def test_every_name_survives_the_round_trip_in_the_vendors_alphabet(tools):
    names = WireNames(tools)
    for tool in tools:
        wire = names.there(tool)
        assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", wire)
        assert names.back(wire) == tool
