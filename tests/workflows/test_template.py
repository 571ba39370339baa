"""Templates: typed values, no Python, no silent emptiness."""

from datetime import UTC, datetime

import pytest

from planaria.workflows.template import MAX_OUTPUT, TemplateError, references, render

SCOPE = {
    "steps": {"fetch": {"value": {"items": [{"title": "A"}, {"title": "B"}]}, "branch": "new"}},
    "item": {"title": "Grüe, World!"},
    "trigger": {"limit": 5},
    "now": datetime(2026, 3, 1, 7, 30, tzinfo=UTC),
}


def test_a_lone_expression_keeps_the_type_of_its_value():
    assert render("{{ trigger.limit }}", SCOPE) == 5
    assert render("{{ steps.fetch.value.items }}", SCOPE) == [{"title": "A"}, {"title": "B"}]


def test_an_expression_within_text_becomes_text():
    assert render("limit {{ trigger.limit }}", SCOPE) == "limit 5"


def test_a_dot_means_a_key_and_never_a_method_of_the_mapping():
    assert render("{{ steps.fetch.value.items | length }}", SCOPE) == 2
    with pytest.raises(TemplateError, match="'keys'"):
        render("{{ steps.fetch.value.keys }}", SCOPE)


def test_lists_and_mappings_are_filled_in_at_any_depth_and_other_values_stay():
    value = {"a": ["{{ trigger.limit }}", 1, None], "b": {"c": "x{{ trigger.limit }}"}}
    assert render(value, SCOPE) == {"a": [5, 1, None], "b": {"c": "x5"}}


def test_a_filter_that_makes_a_sequence_gives_a_list():
    assert render("{{ steps.fetch.value.items | map(attribute='title') }}", SCOPE) == ["A", "B"]


def test_times_are_iso_texts_and_the_date_filter_writes_them_otherwise():
    assert render("{{ now }}", SCOPE) == "2026-03-01T07:30:00+00:00"
    assert render("on {{ now }}", SCOPE) == "on 2026-03-01T07:30:00+00:00"
    assert render("{{ now | date('%d.%m.') }}", SCOPE) == "01.03."
    assert render("{{ '2026-05-06T00:00:00Z' | date }}", SCOPE) == "2026-05-06"


def test_a_slug_is_fit_for_a_file_name_and_never_empty():
    assert render("{{ item.title | slug }}", SCOPE) == "grue-world"
    assert render("{{ '../..' | slug }}", SCOPE) == "untitled"


def test_inside_text_nothing_reads_as_python():
    scope = {"a": None, "b": True, "c": [1, "x"]}
    assert render("[{{ a }}] {{ b }} {{ c }}", scope) == '[] true [1, "x"]'


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{{ steps.fetch.value.itms }}", "did you mean 'items'"),
        ("x{{ steps.fetch.value.itms }}", "did you mean 'items'"),
        ("{{ steps.nothing.value.deep }}", "no 'nothing'"),
        ("{{ nobody }}", "nothing is called 'nobody'"),
        ("{{ trigger.limit + 'a' }}", "TypeError"),
        ("{{ 1 / 0 }}", "division by zero"),
        ("{{ item.title | wordwarp }}", "No filter named 'wordwarp'"),
        ("{{ item.title", "unexpected end"),
    ],
)
def test_what_cannot_be_filled_in_is_an_error_that_says_why(template, said):
    with pytest.raises(TemplateError, match=said):
        render(template, SCOPE)


def test_a_missing_value_may_be_given_a_default_at_any_depth():
    assert render("{{ steps.nothing.value.deep | default('none') }}", SCOPE) == "none"
    assert render("{{ steps.nothing is defined }}", SCOPE) is False


@pytest.mark.parametrize(
    "template",
    [
        "{{ item.title.__class__ }}",
        "{{ item.__class__.__mro__ }}",
        "{{ item.title.format }}",
        "{{ '{:>9999999999}'.format(1) }}",
        "{{ now.strftime('%Y') }}",
        "{{ range.__globals__ }}",
        "{{ item['__class__'] }}",
        "{{ item.title | attr('__class__') }}",
    ],
)
def test_python_is_out_of_reach(template):
    with pytest.raises(TemplateError):
        render(template, SCOPE)


@pytest.mark.parametrize(
    "template",
    [
        "{{ 'a' * 100000000 }}",
        "{{ [0] * 100000000 }}",
        "{{ 10 ** 100000 }}",
        "{% for i in range(90000) %}aaaaaaaaaa{% endfor %}",
        "{{ range(10 ** 9) | list }}",
    ],
)
def test_output_is_bounded(template):
    with pytest.raises(TemplateError):
        render(template, SCOPE)


def test_text_up_to_the_bound_is_fine():
    assert len(render("{{ 'a' * n }}", {"n": MAX_OUTPUT})) == MAX_OUTPUT


def test_references_are_chains_of_names_without_those_the_template_makes():
    text = "{% for e in steps.fetch.value %}{{ e.x }}{{ trigger['a'].b }}{% endfor %}{{ range(3) }}"
    assert sorted(references(text)) == [("steps", "fetch", "value"), ("trigger", "a", "b")]


@pytest.mark.parametrize(
    "template",
    [
        "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}",
        "{% set a = 'x' * 100000 %}" + "{% set a = a ~ a %}" * 20 + "{{ a | length }}",
        "{% set a = 'x' * 100000 %}" + "{% set a = a + a %}" * 20 + "{{ a | length }}",
        "{{ ('x' * 100000) | replace('x', 'y' * 100000) }}",
        "{{ range(100000) | join('x' * 100000) }}",
        "{{ ['x' * 100000] * 100 | map('replace', 'x', 'yy') | list }}",
        "{{ [1] | batch(999999999, 'x') | list }}",
        "{{ ('%999999999d' % 1) | length }}",
        "{{ [[1]] | tojson(indent=999999999) }}",
        "{% macro m(n) %}{{ m(n) }}{{ m(n) }}{% endmacro %}{{ m(1) }}",
        "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(60) }}",
        "{% for i in range(9999) recursive %}{% if loop.depth < 4 %}{{ loop(range(9999)) }}{% endif %}{% endfor %}",
        "{% for i in range(9999) %}{% for j in range(9999) if false %}{% endfor %}{% endfor %}",
        "{% set big = range(99999) | list %}{% for i in range(99999) %}{{ big | sum }}{% endfor %}",
        "{% for i in range(9) recursive %}{{ loop(range(9)) }}{% endfor %}",
        "{{" + "(" * 2000 + "1" + ")" * 2000 + "}}",
        "{{" + "1+" * 5000 + "1}}",
    ],
)
def test_a_template_cannot_burn_time_or_memory(template):
    with pytest.raises(TemplateError):
        render(template, SCOPE)


def test_counting_changes_nothing_else():
    template = (
        "{% for i in [1, 2] %}{{ loop.index }}/{{ loop.length }}{% if loop.last %}.{% endif %}{% endfor %}"
    )
    assert render(template, SCOPE) == "1/22/2."
    assert render("{{ 'a' ~ 1 ~ none }}", SCOPE) == "a1None"
    assert render("{{ steps.fetch.value.items | join(', ', attribute='title') }}", SCOPE) == "A, B"
    assert render("{{ 'abab' | replace('a', 'c', 1) }}{{ 7 % 4 + 1 }}", SCOPE) == "cbab4"
    assert render("{{ [1, 2, 3] | batch(2, 0) | list }}", SCOPE) == [[1, 2], [3, 0]]
    assert list(references("{% for i in steps.fetch.value %}{{ i ~ trigger.limit }}{% endfor %}")) == [
        ("steps", "fetch", "value"),
        ("trigger", "limit"),
    ]
