"""The list of spans is the code's and the documentation's: what is told is listed, what is listed is told."""

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from opentelemetry.semconv._incubating.attributes import gen_ai_attributes
from opentelemetry.semconv._incubating.metrics import gen_ai_metrics
from opentelemetry.semconv.attributes import error_attributes, http_attributes

from planaria.cortex.telemetry import conventions
from planaria.cortex.telemetry.conventions import (
    POINT_SPECS,
    POINTS,
    SPAN_SPECS,
    SPANS,
    caller_key,
    spoken_under,
    title,
    turn_key,
)
from planaria.nerve.metrics.book import MetricsBook

ROOT = Path(__file__).parents[3]
SOURCE = ROOT / "src" / "planaria"
PAGE = (ROOT / "docs" / "telemetry.md").read_text(encoding="utf-8")
TELLING: dict[str, Mapping[str, object]] = {
    **dict.fromkeys(("span", "begin_span", "spanned"), SPAN_SPECS),
    "emit": POINT_SPECS,
}
OWN = re.compile(r"(planaria|gen_ai|http|error)\.[a-z_.]+")


def modules() -> Iterator[tuple[Path, ast.Module]]:
    for file in sorted(SOURCE.rglob("*.py")):
        text = file.read_text(encoding="utf-8")
        if "cortex.telemetry" in text and file.name != "conventions.py":
            yield file, ast.parse(text)


def told() -> Iterator[tuple[Path, str, str]]:
    """Each place that tells something: file, function, name."""
    for file, tree in modules():
        for node in ast.walk(tree):
            match node:
                case ast.Call(func=ast.Name(id=function), args=[ast.Constant(value=str(name)), *_]):
                    if (function in TELLING and "." in name) or name == "turn":
                        yield file, function, name


def test_every_span_and_point_that_code_tells_is_listed():
    unknown = [f"{file.name}: {name}" for file, function, name in told() if name not in TELLING[function]]
    assert unknown == []


def test_every_span_that_is_listed_is_told_somewhere():
    names = {name for _, _, name in told()}
    assert [spec.name for spec in SPANS if spec.name not in names] == []


def test_every_attribute_that_code_names_is_listed():
    listed = {name for spec in (*SPANS, *POINTS) for name in spec.attributes}
    listed |= {
        value for name, value in vars(conventions).items() if name.isupper() and isinstance(value, str)
    }
    listed |= {"planaria.process"}
    used: set[str] = set()
    for _, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.Dict):
                keys = [key.value for key in node.keys if isinstance(key, ast.Constant)]
                used |= {key for key in keys if isinstance(key, str) and OWN.fullmatch(key)}
            match node:
                case ast.Call(func=ast.Attribute(attr="set"), args=[ast.Constant(value=str(name)), _]):
                    used |= {name} if OWN.fullmatch(name) else set()
    assert used and used - listed == set()


def test_titles_name_only_their_own_attributes():
    for spec in SPANS:
        assert set(re.findall(r"\{(.*?)\}", spec.title)) <= set(spec.attributes), spec.name
    assert title("model.call", {"gen_ai.request.model": "tiny"}) == "chat tiny"
    assert title("model.call", {}) == "chat" and title("journal.commit", {}) == "journal.commit"
    assert title("something.else", {}) == "something.else"


def test_the_documentation_has_the_list_as_it_is():
    for spec in (*SPANS, *POINTS):
        row = next(line for line in PAGE.splitlines() if line.startswith(f"| `{spec.name}` |"))
        assert row == f"| `{spec.name}` | {spec.about} | {', '.join(f'`{a}`' for a in spec.attributes)} |"
    documented = re.findall(r"^\| `([a-z_.]+)` \| .* \|$", PAGE, re.MULTILINE)
    assert set(SPAN_SPECS) | set(POINT_SPECS) <= set(documented)


def test_the_documentation_has_every_figure_that_is_counted():
    for family in MetricsBook().families():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        assert f"`{name}`" in PAGE, name


def test_a_tool_call_names_what_it_is_called_in():
    assert caller_key("session:a@r", "m~2", "") == turn_key("session:a@r", "m~2")
    assert caller_key("run:7", None, "7/fetch/1/0") == "run:7/fetch/1"
    assert caller_key("", None, "") == ""


def test_what_is_said_names_the_turn_or_step_it_is_said_in_whatever_the_room():
    assert spoken_under("a", "r", "m", 1, "") == turn_key("session:a@r", "m")
    assert spoken_under("a", "r", "m", 2, "") == turn_key("session:a@r", "m~2")
    assert spoken_under("a", "elsewhere", "m", 1, "session:a@r/m~2/0/1") == turn_key("session:a@r", "m~2")
    assert spoken_under("w", "r", None, 1, "run:7/7/digest/1") == caller_key("run:7", None, "7/digest/1")
    assert spoken_under("w", "r", None, 1, "01JOB") == ""


def test_names_that_are_not_our_own_are_those_of_the_semantic_conventions():
    modules = (error_attributes, gen_ai_attributes, http_attributes)
    known = {value for module in modules for name, value in vars(module).items() if name.isupper()}
    told = {name for spec in (*SPANS, *POINTS) for name in spec.attributes}
    told |= {conventions.CONTENT_INPUT, conventions.CONTENT_OUTPUT, conventions.CONTENT_RESULT}
    assert {name for name in told if not name.startswith("planaria.")} <= known
    metrics = {gen_ai_metrics.GEN_AI_CLIENT_TOKEN_USAGE, gen_ai_metrics.GEN_AI_CLIENT_OPERATION_DURATION}
    assert {name.replace(".", "_") for name in metrics} <= {
        family.name.removesuffix("_seconds") for family in MetricsBook().families()
    }
