"""Key paths are found at their lines whatever the way they are written."""

import tomllib

from hypothesis import given, settings
from hypothesis import strategies as st

from planaria.config.toml_lines import KeyPath, key_lines


def test_tables_and_dotted_and_quoted_keys_are_found() -> None:
    text = "a = 1\nb.c = 2\n[t]\nx = 1\n[t.\"u v\".w]\n'y.z' = 2\n"
    assert key_lines(text) == {
        ("a",): 1,
        ("b",): 2,
        ("b", "c"): 2,
        ("t",): 3,
        ("t", "x"): 4,
        ("t", "u v"): 5,
        ("t", "u v", "w"): 5,
        ("t", "u v", "w", "y.z"): 6,
    }


def test_comments_and_strings_hide_no_keys_and_make_none() -> None:
    text = '# x = 1\na = "b = 2 # [c]" # d = 1\ne = """\nf = 1\n[g]\n\\""" """\nh = \'\'\'\ni = 1\'\'\'\'\'\nj = 0\n'
    assert set(tomllib.loads(text)) == {"a", "e", "h", "j"}
    assert key_lines(text) == {("a",): 2, ("e",): 3, ("h",): 7, ("j",): 9}


def test_arrays_and_inline_tables_over_several_lines_are_stepped_over() -> None:
    text = "a = [\n  1, # x = 2\n  [2, 3],\n  {b = 1, c.d = {e = '}'}},\n]\nf = {}\ng = []\n"
    text += "h = 1979-05-27 07:32:00\ni = 1\n"
    lines = key_lines(text)
    assert lines[("a", "2", "b")] == 4
    assert lines[("a", "2", "c", "d", "e")] == 4
    assert (lines[("f",)], lines[("g",)], lines[("h",)], lines[("i",)]) == (6, 7, 8, 9)


def test_each_of_an_array_of_tables_has_its_number() -> None:
    lines = key_lines("[[p]]\nx = 1\n[[p]]\nx = 2\n[p.q]\ny = 1\n[[p.r]]\nz = 1\n")
    assert (lines[("p", "0", "x")], lines[("p", "1", "x")]) == (2, 4)
    assert lines[("p", "1", "q", "y")] == 6
    assert lines[("p", "1", "r", "0", "z")] == 8


def test_lines_ending_in_carriage_returns_count_once() -> None:
    assert key_lines("a = 1\r\n\r\n[b]\r\nc = 2\r\n")[("b", "c")] == 4


PARTS = st.text(st.sampled_from("ab-_ .#=[]'\"\\"), min_size=1, max_size=4)
VALUES = st.one_of(st.integers(), st.text(st.sampled_from("ab #=[]'\"\n"), max_size=5))


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


@settings(deadline=None)  # the machine may be busy
@given(st.dictionaries(PARTS, st.dictionaries(PARTS, VALUES, max_size=3), max_size=4))
def test_every_key_of_a_written_document_is_found_at_its_line(
    tables: dict[str, dict[str, int | str]],
) -> None:
    rows: list[str] = []
    wanted: dict[KeyPath, int] = {}
    for table, pairs in tables.items():
        rows.append(f"[{quoted(table)}] # x = 1")
        wanted[(table,)] = len(rows)
        for key, value in pairs.items():
            rows.append(f"  {quoted(key)} = {value if isinstance(value, int) else quoted(value)}")
            wanted[(table, key)] = len(rows)
    text = "\n".join(rows)
    tomllib.loads(text)
    assert key_lines(text) == wanted
