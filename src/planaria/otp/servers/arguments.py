"""The arguments of a request in the order of the handler's parameters, so that they can be matched by position."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import lru_cache
from typing import Any


@lru_cache(maxsize=1024)
def _signature(handler: Callable[..., Any]) -> inspect.Signature:
    return inspect.signature(handler)


@lru_cache(maxsize=1024)
def _positional(handler: Callable[..., Any]) -> int:
    """How many arguments fit without a look at the signature; -1 if one must look."""
    parameters = _signature(handler).parameters.values()
    plain = all(each.kind is each.POSITIONAL_OR_KEYWORD for each in parameters)
    return len(parameters) - 1 if plain else -1


def arguments_of(
    handler: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Any, ...]:
    """`args` and `kwargs` as one tuple, defaults filled in, keyword-only ones last.

    Args:
        handler: the method, whose first parameter is the server.
    Raises:
        TypeError: they do not fit.
    """
    if not kwargs and len(args) == _positional(handler):
        return args
    try:
        bound = _signature(handler).bind(None, *args, **kwargs)
    except TypeError as error:
        raise TypeError(f"{handler.__qualname__}(): {error}") from None
    bound.apply_defaults()
    return (*bound.args[1:], *bound.kwargs.values())


def call_with(handler: Callable[..., Any], server: object, args: tuple[Any, ...]) -> Any:
    """Call the handler with arguments in the order `arguments_of` gives."""
    if len(args) == _positional(handler):
        return handler(server, *args)
    names = [
        name
        for name, parameter in _signature(handler).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    ]
    split = len(args) - len(names)
    return handler(server, *args[:split], **dict(zip(names, args[split:], strict=True)))
