"""Messages in words, for people and for the node's memory of what was handled."""

from __future__ import annotations

from typing import Any

from planaria.otp.kernel.process import Request


def in_words(body: Any) -> str:
    """A message as text, without the `repr` of what may be megabytes."""
    if isinstance(body, Request):
        return f"{body.handler}({', '.join(_size(each) for each in (*body.args, *body.kwargs.values()))})"
    if (
        isinstance(body, tuple)
        and len(body) == 3
        and isinstance(body[1], tuple)
        and isinstance(body[2], dict)
    ):
        return f"{body[0]}({', '.join(_size(each) for each in (*body[1], *body[2].values()))})"
    return _size(body)


def _size(value: Any) -> str:
    if value is None or isinstance(value, bool | int | float) or (isinstance(value, str) and len(value) < 40):
        return repr(value)
    length = (
        value.nbytes if isinstance(value, memoryview) else len(value) if hasattr(value, "__len__") else ""
    )
    return f"<{type(value).__name__} {length}>".replace(" >", ">")


def named_arguments(args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str | int, Any]:
    """Arguments by position or name, as paths into them are told."""
    named: dict[str | int, Any] = dict(enumerate(args))
    named.update(kwargs)
    return named
