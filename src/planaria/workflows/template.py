"""Arguments with holes: `{{ steps.fetch.value.items }}` becomes a value when a step starts.

Jinja in a sandbox: no attribute of Python is reachable, only data; an unknown name is an error, never an
empty text. A text that is one expression and nothing else keeps the type of its value; anything around it
makes it text. In a mapping a dot means a key (`value.items` is the key `items`, not a method).

What it takes is bounded (`limits.py`): at most `MAX_OUTPUT` characters of text, no sequence grown past that, a
number of rounds for all its loops.
"""

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

from jinja2 import ChainableUndefined, StrictUndefined, TemplateSyntaxError, Undefined, nodes
from jinja2.environment import TemplateExpression
from jinja2.exceptions import TemplateError as JinjaError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import missing

from planaria.workflows.limits import (
    MAX_INDENT,
    MAX_OUTPUT,
    Allowance,
    TemplateError,
    allowance,
    batched,
    charging,
    count,
    fits,
    joined,
    limit,
    numbers,
    replaced,
)

__all__ = [
    "MAX_OUTPUT",
    "TemplateError",
    "is_lone_expression",
    "is_template",
    "parse",
    "references",
    "render",
]

PLAIN_FILTERS = (
    "abs",
    "batch",
    "capitalize",
    "count",
    "d",
    "default",
    "dictsort",
    "first",
    "float",
    "groupby",
    "int",
    "items",
    "join",
    "last",
    "length",
    "list",
    "lower",
    "map",
    "max",
    "min",
    "reject",
    "rejectattr",
    "replace",
    "reverse",
    "round",
    "select",
    "selectattr",
    "sort",
    "string",
    "striptags",
    "sum",
    "title",
    "trim",
    "truncate",
    "unique",
    "upper",
    "wordcount",
)
"""Filters taken over from Jinja as they are; `slug`, `date`, `tojson` and `lines` are ours."""


class Missing(ChainableUndefined, StrictUndefined):
    """A name or key that is not there: may be tested and given a default; any other use raises."""

    @property
    def _undefined_message(self) -> str:
        name, owner = self._undefined_name, self._undefined_obj
        if isinstance(owner, Mapping):
            near = get_close_matches(str(name), [str(key) for key in owner], n=1)
            known = ", ".join(sorted(str(key) for key in owner)[:8]) or "nothing"
            return f"there is no {name!r} here, " + (
                f"did you mean {near[0]!r}?" if near else f"only {known}"
            )
        if owner is not missing:
            return f"{_kind(owner)} has no {name!r}"
        return f"nothing is called {name!r} here"


def slug(value: object, limit: int = 60) -> str:
    """A short name fit for a file: lower case letters, digits and single dashes. Never empty."""
    text = unicodedata.normalize("NFKD", re.sub("['’]", "", str(value)))
    text = text.encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", text).strip("-")[:limit].strip("-") or "untitled"


def as_date(value: object, form: str = "%Y-%m-%d") -> str:
    """A point in time (a datetime, an ISO text or Unix seconds) written with a strftime form."""
    if isinstance(value, bool) or not isinstance(value, date | str | int | float):
        raise TemplateError(f"the filter 'date' needs a time, an ISO text or seconds, not {_kind(value)}")
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError as error:
            raise TemplateError(f"the filter 'date' cannot read {value!r} as a time") from error
    if isinstance(value, int | float):
        value = datetime.fromtimestamp(value, UTC)
    return value.strftime(form)


def as_lines(values: Iterable[object], mark: str = "- ") -> str:
    """One line per element, each after a mark: a list for people."""
    return "\n".join(f"{mark}{value}" for value in values)


def as_json(value: object, indent: int | None = None) -> str:
    """The value as JSON text."""
    if indent is not None and not 0 <= indent <= MAX_INDENT:
        raise TemplateError(f"the filter 'tojson' indents by 0 to {MAX_INDENT}, not {indent}")
    return json.dumps(plain(value), ensure_ascii=False, indent=indent)


class _Sandbox(ImmutableSandboxedEnvironment):
    """Data only: keys before attributes, no methods of mappings, bounded multiplication."""

    intercepted_binops = frozenset({"*", "**", "+", "%"})

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        limit(tree)
        return tree

    def count(self) -> bool:
        """One round of a loop."""
        return count()

    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, Mapping):
            return obj[attribute] if attribute in obj else self.undefined(obj=obj, name=attribute)
        return self._only_data(obj, attribute, super().getattr(obj, attribute))

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(obj, Mapping):
            return obj[argument] if argument in obj else self.undefined(obj=obj, name=argument)
        return self._only_data(obj, argument, super().getitem(obj, argument))

    def _only_data(self, obj: Any, name: Any, value: Any) -> Any:
        if callable(value) and not isinstance(value, Undefined):
            return self.undefined(obj=obj, name=name)
        return value

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if operator == "**" and not (_small(left) and _small(right)):
            raise TemplateError("a power of numbers above 1000 is not computed in a template")
        if operator == "%" and isinstance(left, str):
            raise TemplateError("a text is not formatted with '%' in a template, write {{ ... }} into it")
        if operator == "+" and hasattr(left, "__len__") and hasattr(right, "__len__"):
            fits(len(left) + len(right))
        sized, times = (left, right) if hasattr(left, "__len__") else (right, left)
        if operator == "*" and hasattr(sized, "__len__") and isinstance(times, int):
            fits(len(sized) * times)
        return super().call_binop(context, operator, left, right)


def _as_text(value: Any) -> Any:
    """How a value reads inside a text: nothing for none, `true`, ISO times, JSON for lists and mappings."""
    if value is None:
        return ""
    if isinstance(value, bool | list | tuple | Mapping):
        return as_json(value)
    return value.isoformat() if isinstance(value, date) else value


def _environment() -> _Sandbox:
    environment = _Sandbox(undefined=Missing, autoescape=False, keep_trailing_newline=True, finalize=_as_text)
    kept: dict[str, Any] = {name: environment.filters[name] for name in PLAIN_FILTERS}
    kept |= {"slug": slug, "date": as_date, "lines": as_lines, "tojson": as_json}
    kept |= {"join": joined, "replace": replaced, "batch": batched}
    environment.filters = {name: charging(function) for name, function in kept.items()}
    environment.globals.clear()
    offered: dict[str, Any] = {"range": numbers}
    environment.globals.update(offered)
    return environment


ENVIRONMENT = _environment()


def is_template(value: object) -> bool:
    """Whether a text has anything to fill in."""
    return isinstance(value, str) and ("{{" in value or "{%" in value or "{#" in value)


@lru_cache(maxsize=1024)
def parse(source: str) -> nodes.Template:
    """The syntax tree of a template. Raises TemplateError with what is wrong and on which of its lines."""
    try:
        tree = ENVIRONMENT.parse(source)
        ENVIRONMENT.compile(
            ENVIRONMENT.parse(source)
        )  # unknown filters show only here; compiling changes its tree
    except TemplateSyntaxError as error:
        where = f" (line {error.lineno} of the template)" if "\n" in source else ""
        raise TemplateError(f"{error.message}{where}") from error
    except RecursionError as error:
        raise TemplateError("the template is nested too deeply, or adds up too many parts") from error
    return tree


def is_lone_expression(source: str) -> bool:
    """Whether the whole text is one `{{ ... }}`, so that its value keeps its type."""
    return _lone(parse(source)) is not None


def references(source: str) -> Iterator[tuple[str, ...]]:
    """Every chain of names a template reads: `steps.fetch.value` gives `("steps", "fetch", "value")`.

    Names the template defines itself (loop variables, `set`) are left out; so is what follows a computed key.
    """
    tree = parse(source)
    own = {name.name for name in tree.find_all(nodes.Name) if name.ctx in ("store", "param")}
    for chain in _chains(tree):
        if chain[0] not in own and chain[0] not in ENVIRONMENT.globals:
            yield chain


def render(value: Any, scope: Mapping[str, Any]) -> Any:
    """Fill in a value: texts, and texts inside lists and mappings. Gives plain data (what JSON can hold).

    Raises:
        TemplateError: an unknown name, a value no argument can hold, or too long a text.
    """
    if isinstance(value, str):
        return _render_text(value, scope) if is_template(value) else value
    if isinstance(value, Mapping):
        return {key: render(part, scope) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [render(part, scope) for part in value]
    return value


def plain(value: Any) -> Any:
    """The value as plain data: times as ISO text, any other sequence as a list."""
    if value is None or isinstance(value, bool | int | float | str):
        return str(value) if isinstance(value, str) else value
    if isinstance(value, Undefined):
        raise TemplateError(_why_missing(value))
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, bytes):
        return [plain(part) for part in value]
    raise TemplateError(f"the template gives {_kind(value)}, which is not data")


def _render_text(source: str, scope: Mapping[str, Any]) -> Any:
    tree = parse(source)
    before = allowance.set(Allowance())
    try:
        if (expression := _lone(tree)) is not None:
            result = _expression(source, expression)(**scope)
            answer = plain(result)
            if isinstance(answer, str) and len(answer) > MAX_OUTPUT:
                raise TemplateError(f"the text is longer than {MAX_OUTPUT} characters")
            return answer
        parts, length = [], 0
        for part in ENVIRONMENT.from_string(source).generate(**scope):
            length += len(part)
            if length > MAX_OUTPUT:
                raise TemplateError(f"the text is longer than {MAX_OUTPUT} characters")
            parts.append(part)
        return "".join(parts)
    except JinjaError as error:
        raise TemplateError(error.message or str(error)) from error
    except RecursionError as error:
        raise TemplateError("the template is nested too deeply, or calls itself") from error
    except (TypeError, ValueError, ArithmeticError, LookupError, AttributeError, AssertionError) as error:
        if isinstance(error, TemplateError):
            raise
        raise TemplateError(f"{type(error).__name__}: {error}") from error
    finally:
        allowance.reset(before)


@lru_cache(maxsize=1024)
def _expression(source: str, expression: nodes.Expr) -> TemplateExpression:
    # What Environment.compile_expression does, from a tree that is already there.
    body: list[nodes.Node] = [nodes.Assign(nodes.Name("result", "store"), expression, lineno=1)]
    compiled = ENVIRONMENT.from_string(nodes.Template(body, lineno=1))
    return TemplateExpression(compiled, undefined_to_none=False)


def _lone(tree: nodes.Template) -> nodes.Expr | None:
    match tree.body:
        case [nodes.Output(nodes=[expression])] if not isinstance(expression, nodes.TemplateData):
            return expression
        case _:
            return None


def _chains(node: nodes.Node) -> Iterator[tuple[str, ...]]:
    chain = _chain(node)
    if chain is not None:
        yield chain
        return
    for child in node.iter_child_nodes():
        yield from _chains(child)


def _chain(node: nodes.Node) -> tuple[str, ...] | None:
    match node:
        case nodes.Name(name=name, ctx="load"):
            return (name,)
        case nodes.Getattr(node=inner, attr=key):
            before = _chain(inner)
            return (*before, key) if before else None
        case nodes.Getitem(node=inner, arg=nodes.Const(value=str() as key)):
            before = _chain(inner)
            return (*before, key) if before else None
        case _:
            return None


def _why_missing(value: Undefined) -> str:
    return value._undefined_message


def _small(value: object) -> bool:
    return isinstance(value, int | float) and abs(value) <= 1000


def _kind(value: object) -> str:
    return f"a {type(value).__name__}"
