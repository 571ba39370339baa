"""JSON found in answers, checked against schemas, and the words for one more try."""

import json
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planaria.membrane.parameters import ArgumentError
from planaria.membrane.schema_arguments import SchemaArguments
from planaria.membrane.structured import (
    BadSchema,
    Fit,
    NotJson,
    Unfit,
    check_schema,
    extract,
    instruction,
    read,
    repair,
    validate,
)

CITY = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "people": {"type": "integer", "minimum": 1}},
    "required": ["city"],
    "additionalProperties": False,
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
PROSE = st.text(st.characters(exclude_characters='{}[]`"\\', exclude_categories=["Cs"]), max_size=30)


@pytest.mark.parametrize(
    "text",
    [
        '{"city": "Oslo"}',
        ' \n{"city": "Oslo"}\n ',
        '\ufeff{"city": "Oslo"}',
        'Sure!\n```json\n{"city": "Oslo"}\n```\nAnything else?',
        '```\n{"city": "Oslo"}\n```',
        '```python\nx = {"no": 1}\n```\nbut\n```JSON\n{"city": "Oslo"}\n```',
        'The answer is {"city": "Oslo"}.',
        'I thought of {this and that}, then: {"city": "Oslo"}',
        '```json\n{"city": "Oslo"}',
    ],
)
def test_json_is_found_where_models_put_it(text):
    assert read(text, CITY) == Fit({"city": "Oslo"})


@given(JSON)
def test_json_alone_is_read_as_it_is(value):
    assert extract(json.dumps(value)) == value


@given(PROSE, st.dictionaries(st.text(), JSON) | st.lists(JSON), PROSE)
def test_an_object_or_array_in_prose_is_found(before, value, after):
    assert extract(f"{before} {json.dumps(value)} {after}") == value


@pytest.mark.parametrize(
    ("text", "words"),
    [("", "empty"), ("I cannot.", "not JSON"), ('{"city": "Os', "not JSON"), ("{" * 5000, "not JSON")],
)
def test_what_is_no_json_is_said_so(text, words):
    with pytest.raises(NotJson, match=words):
        extract(text)
    answer = read(text, CITY)
    assert isinstance(answer, Unfit)
    assert words in answer.faults[0]


def test_every_fault_names_its_place():
    faults = validate({"city": 7, "people": 0, "x": 1}, CITY)
    assert len(faults) == 3
    assert "at city: 7 is not of type 'string'" in faults
    assert any(fault.startswith("at people: 0 is less than") for fault in faults)
    nested = {"type": "array", "items": CITY}
    assert validate([{"city": "a"}, {}], nested) == ("at 1: 'city' is a required property",)


def test_faults_are_bounded():
    many = {"type": "array", "items": {"type": "string"}}
    faults = validate(list(range(100)), many)
    assert faults[-1] == "and more"
    assert len(faults) == 9
    assert all(len(fault) < 200 for fault in validate("x" * 10_000, {"type": "object"}))


def test_a_schema_may_refer_to_itself_but_nowhere_else():
    tree = {
        "$defs": {"node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}},
        "$ref": "#/$defs/node",
    }
    assert validate({"next": {"next": {}}}, tree) == ()
    assert validate({"next": {"next": 1}}, tree) == ("at next.next: 1 is not of type 'object'",)
    with pytest.raises(BadSchema, match="outside itself"):
        validate({}, {"$ref": "https://example.org/schema.json"})


def test_no_schema_can_make_a_check_run_for_long():
    hostile = "a" * 40 + "!"
    slow = "^(a+)+$"
    assert validate(hostile, {"type": "string", "pattern": slow}) == ()
    named = {"patternProperties": {slow: {}}, "additionalProperties": False, "maxProperties": 1}
    assert validate({hostile: 1}, named) == ()
    assert validate({hostile: 1, "b": 2}, named) == (f"{ {hostile: 1, 'b': 2} } has too many properties",)
    twice = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(40)}
    for schema in ({"$defs": twice | {"d40": {}}, "$ref": "#/$defs/d0"}, {"$ref": "#"}):
        with pytest.raises(BadSchema, match=r"references|without end"):
            validate({}, schema)
    row = {"$defs": {"n": {"type": "integer"}}, "items": {"$ref": "#/$defs/n"}}
    for _ in range(3):
        assert validate([1] * 9000, row) == ()


@pytest.mark.parametrize("schema", [{"$schema": 7}, {"pattern": "(" * 9000 + ")" * 9000}])
def test_a_hostile_schema_is_no_schema(schema: dict[str, Any]):
    with pytest.raises(BadSchema, match="no JSON schema"):
        check_schema(schema)


def test_an_answer_nested_without_end_is_no_json():
    assert isinstance(read("[" * 200_000 + "]" * 200_000, CITY), Unfit)


def test_what_is_no_schema_is_said_so_whatever_the_answer():
    for text in ('{"city": "Oslo"}', "no json"):
        with pytest.raises(BadSchema, match="type"):
            read(text, {"type": "strnig"})


def test_the_words_for_one_more_try_name_fault_and_schema():
    answer = read('{"city": 7}', CITY)
    assert isinstance(answer, Unfit)
    words = repair(answer, CITY)
    assert "- at city: 7 is not of type 'string'" in words
    assert instruction(CITY) in words
    assert json.loads(instruction(CITY).partition("\n")[2]) == CITY


def test_nobody_pays_for_schemas_who_does_not_use_them():
    code = "import sys, planaria.membrane.structured; print('jsonschema' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_list_of_many_things_is_looked_through_once():
    rows = [{"number": number} for number in range(9000)]
    assert validate(rows, {"uniqueItems": True}) == ()
    assert validate([*rows, {"number": 1}], {"uniqueItems": True}) == ("its items are not all different",)


def test_a_number_no_machine_can_check_is_a_fault_and_no_crash():
    (fault,) = validate(10**400, {"multipleOf": 0.5})
    assert "too large" in fault


@pytest.mark.parametrize(
    "schema",
    [
        {"allOf": [{"$ref": "#"}]},
        {"properties": {"a": {"$ref": "https://example.org/other.json"}}},
        {"$ref": "#/$defs/none"},
    ],
)
def test_a_tool_whose_schema_cannot_be_checked_is_refused_where_arguments_are(schema: dict[str, Any]):
    with pytest.raises(ArgumentError, match="cannot be called"):
        SchemaArguments("mcp.far.tool", schema).bind({"a": 1})


def test_a_schema_too_deep_or_too_large_is_none():
    deep: dict[str, Any] = {}
    for _ in range(2000):
        deep = {"properties": {"a": deep}}
    for schema in (deep, {"description": "x" * 300_000}):
        with pytest.raises(BadSchema, match="no JSON schema"):
            SchemaArguments("mcp.far.tool", schema)
