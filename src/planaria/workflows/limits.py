"""What a template may spend: a round of a loop, a long text, a deep nesting each have an end.

Templates are filled in on the node's own loop, so one that never ended would hold up everybody, and again after each
start. The syntax tree is rewritten before it is compiled: every `for` counts its rounds, every macro its calls, every
`~` measures its text; a filter spends what it is given, and asks before it makes more. Counts, no clock: the same
template gives the same answer on a slow machine.

Does badly: `in` over a long list costs as much as the list is long and is not counted.
"""

import functools
from collections.abc import Callable, Iterable, Iterator, Sized
from contextvars import ContextVar
from typing import Any

from jinja2 import Undefined, nodes, pass_context
from jinja2.filters import FILTERS
from jinja2.runtime import Context

MAX_OUTPUT = 200_000
"""Characters one template may give, and elements of what it multiplies."""
MAX_SPENT = 1_000_000
"""Rounds of loops, and elements and characters gone through on the way, of one template."""
ROUND = 5
"""What a round of a loop spends."""
MAX_INDENT = 16
MAX_DEPTH = 100


class TemplateError(ValueError):
    """A template that cannot be read, or gives nothing usable."""


class Allowance:
    """What is left to one template."""

    def __init__(self) -> None:
        self.left = MAX_SPENT

    def spend(self, amount: int) -> None:
        """Take away; raises TemplateError when it is used up."""
        self.left -= amount
        if self.left < 0:
            raise TemplateError(
                f"the template takes more than {MAX_SPENT} rounds of loops, elements and characters on the way"
            )


allowance: ContextVar[Allowance | None] = ContextVar("allowance", default=None)
"""Of the template that is being filled in."""


def spend(amount: int) -> None:
    """Take from what the template that is being filled in may spend."""
    if (here := allowance.get()) is not None:
        here.spend(amount)


_JINJA: dict[str, Callable[..., Any]] = dict(FILTERS)


def fits(length: int) -> None:
    """Refuse to make anything longer than a template may give; making it is spent."""
    if length > MAX_OUTPUT:
        raise TemplateError(f"the result would be longer than {MAX_OUTPUT} elements")
    spend(length)


# A filter that takes the context is never computed while a template is compiled.
@pass_context
def joined(context: Context, values: list[Any], separator: str = "", attribute: Any = None) -> str:
    """As Jinja's `join` and `~`, measured while it grows."""
    if attribute is not None:
        values = _JINJA["map"](context, values, attribute=attribute)
    parts: list[str] = []
    length = 0
    for value in values:
        parts.append(str(value))
        length += len(parts[-1]) + len(separator)
        fits(length)
    return str(separator).join(parts)


def replaced(text: object, old: str, new: str, count: int | None = None) -> str:
    """As Jinja's `replace`, measured before."""
    whole = str(text)
    times = whole.count(old) if count is None else min(count, whole.count(old))
    fits(len(whole) + times * len(new))
    return whole.replace(old, new, -1 if count is None else count)


def batched(values: Iterable[Any], linecount: int, fill_with: Any = None) -> Iterator[list[Any]]:
    """As Jinja's `batch`, with rows of a bounded length."""
    fits(linecount)
    rows: Iterator[list[Any]] = _JINJA["batch"](values, linecount, fill_with)
    return rows


def numbers(*bounds: int) -> range:
    """As `range`, spent before it is gone through."""
    made = range(*bounds)
    fits(len(made))
    return made


def charging(function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter that spends the length of what it is given."""
    place = 1 if hasattr(function, "jinja_pass_arg") else 0

    @functools.wraps(function)
    def filtered(*arguments: Any, **options: Any) -> Any:
        value = arguments[place]
        spend(len(value) if isinstance(value, Sized) and not isinstance(value, Undefined) else 1)
        return function(*arguments, **options)

    return filtered


def count() -> bool:
    """One round of a loop, or one call of a macro."""
    spend(ROUND)
    return True


def limit(tree: nodes.Template) -> None:
    """Put the counting into a syntax tree, and refuse one that is too deep for those who walk it by recursion."""
    waiting: list[tuple[nodes.Node, int]] = [(tree, 0)]
    while waiting:
        node, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise TemplateError("the template is nested too deeply, or adds up too many parts")
        for name, value in node.iter_fields():
            if isinstance(value, list):
                setattr(node, name, [_measured(part) for part in value])
            else:
                setattr(node, name, _measured(value))
        waiting += [(part, depth + 1) for part in node.iter_child_nodes()]
        if isinstance(node, nodes.For | nodes.Macro | nodes.CallBlock):
            node.body.insert(0, nodes.ExprStmt(_counting(node), lineno=node.lineno))
        if isinstance(node, nodes.For) and node.test is not None:
            node.test = nodes.And(_counting(node), node.test, lineno=node.lineno)


def _measured(node: Any) -> Any:
    """`a ~ b` becomes `[a, b] | join`; anything else stays."""
    if not isinstance(node, nodes.Concat):
        return node
    values = nodes.List(node.nodes, lineno=node.lineno)
    return nodes.Filter(values, "join", [], [], None, None, lineno=node.lineno)


def _counting(node: nodes.Node) -> nodes.Expr:
    function = nodes.EnvironmentAttribute("count", lineno=node.lineno)
    return nodes.Call(function, [], [], None, None, lineno=node.lineno)
