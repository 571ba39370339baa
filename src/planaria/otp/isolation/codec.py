"""Messages as bytes: pickle protocol 5, with pids, requests and references by number and large buffers outside.

One pickle per message. Pids, requests and references are rebuilt by the `Bridge` of the other side; an exception
travels with its traceback as text and in a pickle of its own, so that an unknown class costs its class, not the
message.
"""

from __future__ import annotations

import contextlib
import io
import pickle
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from functools import partial
from typing import Any, Protocol

from planaria.otp.isolation.bulk import (
    BYTEARRAY,
    BYTES,
    MAX_PIECES,
    OUT_OF_BAND_FROM,
    VIEW,
    Piece,
    piece_of,
)
from planaria.otp.isolation.errors import RemoteError, RemoteTraceback, Unsendable
from planaria.otp.kernel.introspection import safe_repr
from planaria.otp.kernel.message import Ref
from planaria.otp.kernel.node import Node
from planaria.otp.kernel.process import Process, Request

BULK_DEPTH = 3
"""How deep large `bytes` are looked for in a message; deeper ones are copied through the pickle."""
LONGEST_REASON = 1000
"""Characters of the text that arrives in the place of a reason which cannot."""
BULK_WIDTH = 64
"""How many entries of each container are looked at."""


_UNREADABLE = (
    pickle.UnpicklingError,
    ImportError,
    AttributeError,
    TypeError,
    ValueError,
    LookupError,
    EOFError,
)


class Names(Protocol):
    """What the codec asks the bridge: numbers for what cannot be copied, and the way back."""

    def process_token(self, process: Process) -> tuple[int, str, str | None]: ...
    def request_token(self, request: Request) -> tuple[bool, int, str]: ...
    def ref_token(self, ref: Ref) -> tuple[bool, int]: ...
    def process_of(self, number: int, label: str, name: str | None) -> Process: ...
    def request_of(self, ours: bool, number: int, handler: str) -> Request: ...
    def ref_of(self, ours: bool, number: int) -> Ref: ...
    def find_class(self, module: str, name: str) -> Any: ...


def _keep_apart(pieces: list[Piece], buffer: pickle.PickleBuffer) -> bool:
    raw = buffer.raw()
    if raw.nbytes < OUT_OF_BAND_FROM or len(pieces) >= MAX_PIECES:
        return True  # stays in the pickle
    pieces.append(piece_of(raw, VIEW))
    return False


class Sealed:
    """A reason, in a pickle of its own: where it cannot be sent or is not let in, its `repr` arrives instead."""

    __slots__ = ("value",)

    def __init__(self, value: object) -> None:
        self.value = value

    def parts(self, names: Names) -> tuple[bytes | None, str]:
        """Its pickle, if there is one, and its text."""
        file = io.BytesIO()
        pieces: list[Piece] = []
        text = safe_repr(self.value)[:LONGEST_REASON]
        try:
            _Encoder(file, names, pieces).dump(self.value)
        except Exception:  # noqa: BLE001  whatever a user's __reduce__ raises
            return None, text
        return (None if pieces else file.getvalue()), text


def sealed(reason: object) -> object:
    """A reason as it is sent."""
    return reason if reason is None or isinstance(reason, str) else Sealed(reason)


class _Encoder(pickle.Pickler):
    def __init__(self, file: io.BytesIO, names: Names, pieces: list[Piece]) -> None:
        # Not a method: a pickler that knows itself would keep what it pickled until the next garbage collection.
        super().__init__(file, 5, buffer_callback=partial(_keep_apart, pieces))
        self.names = names
        self.pieces = pieces

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, Sealed):
            return _a_sealed, obj.parts(self.names)
        if isinstance(obj, Process):
            return _a_process, self.names.process_token(obj)
        if isinstance(obj, BaseException):
            return _an_error, _error_parts(obj, self.names)
        if isinstance(obj, Request):
            return _a_request, self.names.request_token(obj)
        if isinstance(obj, Ref):
            return _a_ref, self.names.ref_token(obj)
        if isinstance(obj, memoryview):
            if not obj.contiguous:
                raise TypeError("a memoryview that is not contiguous cannot be sent; send bytes(view)")
            # A view of a view names what owns the memory, which is how shared buffers are known again.
            return _a_view, (pickle.PickleBuffer(obj), obj.format, obj.shape)
        if isinstance(obj, Node):
            raise TypeError("a Node cannot be sent")
        return NotImplemented


class _BulkEncoder(_Encoder):
    """Also takes large `bytes` out of the pickle. Asks for each object, so only for messages that hold some."""

    def persistent_id(self, obj: Any) -> Any:
        kind = type(obj)
        if (
            (kind is bytes or kind is bytearray)
            and len(obj) >= OUT_OF_BAND_FROM
            and len(self.pieces) < MAX_PIECES
        ):
            self.pieces.append(piece_of(obj, BYTES if kind is bytes else BYTEARRAY))
            return len(self.pieces) - 1
        return None


# What stands in the pickle for things the bridge rebuilds; the decoder knows them by name and looks nothing up.
_MODULE = __name__


def _a_process() -> None: ...
def _a_request() -> None: ...
def _a_ref() -> None: ...
def _an_error() -> None: ...
def _a_sealed() -> None: ...
def _a_view() -> None: ...


class _Decoder(pickle.Unpickler):
    def __init__(self, data: bytes | bytearray | memoryview, names: Names, pieces: Sequence[Piece]) -> None:
        super().__init__(io.BytesIO(data), buffers=self._views(pieces))
        self.names = names
        self.pieces = pieces

    @staticmethod
    def _views(pieces: Sequence[Piece]) -> Iterator[Any]:
        return (piece.load() for piece in pieces if piece.kind == VIEW)

    def persistent_load(self, number: Any) -> Any:
        piece = self.pieces[number]
        if piece.kind == VIEW:
            raise pickle.UnpicklingError("a piece of the wrong kind")
        return piece.load()

    def find_class(self, module: str, name: str) -> Any:
        if module == _MODULE:
            return self._own(name)
        return self.names.find_class(module, name)

    def _own(self, name: str) -> Callable[..., Any]:
        match name:
            case "_a_process":
                return self.names.process_of
            case "_a_request":
                return self.names.request_of
            case "_a_ref":
                return self.names.ref_of
            case "_an_error":
                return self._error
            case "_a_sealed":
                return self._unsealed
            case "_a_view":
                return _view
            case _:
                raise pickle.UnpicklingError(f"nothing is called {name}")

    def _unsealed(self, inside: bytes | None, text: str) -> Any:
        if inside is not None:
            with contextlib.suppress(*_UNREADABLE):
                return decode(inside, (), self.names)
        return str(text)

    def _error(self, kind: str, text: str, trace: str, where: str | None, inside: bytes | None) -> Any:
        error: BaseException = RemoteError(str(kind), str(text))
        if inside is not None:
            with contextlib.suppress(*_UNREADABLE):
                error = _rebuilt(*decode(inside, (), self.names))
        if trace:
            error.__cause__ = RemoteTraceback(str(trace), where)
        return error


def encode(value: object, names: Names) -> tuple[bytes, list[Piece]]:
    """The pickle of `value`, and what is kept outside of it.

    Raises:
        Exception: whatever pickling raised; `explain` finds the part it is about.
    """
    file = io.BytesIO()
    pieces: list[Piece] = []
    encoder = _BulkEncoder if _has_bulk(value, BULK_DEPTH) else _Encoder
    encoder(file, names, pieces).dump(value)
    return file.getvalue(), pieces


def decode(data: bytes | bytearray | memoryview, pieces: Sequence[Piece], names: Names) -> Any:
    """The value that was encoded on the other side.

    Raises:
        NotAdmitted: it holds a class that is not let in.
        Exception: whatever unpickling raised.
    """
    return _Decoder(data, names, pieces).load()


def _view(buffer: Any, form: str, shape: tuple[int, ...]) -> memoryview:
    view = memoryview(buffer)
    return view if form == "B" and len(shape) == 1 else view.cast("B").cast(form, shape)  # type: ignore[call-overload]


def _has_bulk(value: Any, depth: int) -> bool:
    kind = type(value)
    if kind is bytes or kind is bytearray:
        return len(value) >= OUT_OF_BAND_FROM
    if depth == 0:
        return False
    if kind is tuple or kind is list:
        return any(_has_bulk(each, depth - 1) for each in value[:BULK_WIDTH])
    if kind is dict:
        return any(
            _has_bulk(each, depth - 1) for _, each in zip(range(BULK_WIDTH), value.values(), strict=False)
        )
    if is_dataclass(value) and not isinstance(value, type):
        return any(_has_bulk(getattr(value, f.name, None), depth - 1) for f in fields(value))
    return False


# --- exceptions ---------------------------------------------------------------------------------------------


def _error_parts(error: BaseException, names: Names) -> tuple[str, str, str, str | None, bytes | None]:
    kind = f"{type(error).__module__}.{type(error).__qualname__}"
    cause = error.__cause__
    if isinstance(cause, RemoteTraceback) and error.__traceback__ is None:
        trace, where = cause.text, cause.where  # it came from the other side and goes on
    elif error.__traceback__ is not None or cause is not None:
        trace = "".join(traceback.format_exception(error))
        frames = traceback.extract_tb(error.__traceback__)
        where = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else None
    else:
        trace, where = "", None
    try:
        # Small on purpose: a piece outside of it would have no way to travel.
        file = io.BytesIO()
        pieces: list[Piece] = []
        _Encoder(file, names, pieces).dump((type(error), error.args, dict(error.__dict__)))
        inside: bytes | None = None if pieces else file.getvalue()
    except Exception:  # noqa: BLE001  the user's own reduce: then the error travels as text
        inside = None
    return kind, _text(error), trace, where, inside


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001  a broken __str__ must not hide the error
        return safe_repr(error)


def _rebuilt(cls: type[BaseException], args: tuple[Any, ...], state: dict[str, Any]) -> BaseException:
    """The exception without its `__init__`, which may take other arguments than `args`."""
    if not isinstance(cls, type) or not issubclass(cls, BaseException) or not isinstance(state, dict):
        raise TypeError("no exception")
    error = cls.__new__(cls, *args)
    error.args = args
    if cls.__init__ is not BaseException.__init__:
        # Those written in C keep what they show outside of `args`: the file of an OSError, the value of a stop.
        native = next(
            each for each in cls.__mro__ if "__init__" in vars(each) and each.__module__ == "builtins"
        )
        with contextlib.suppress(Exception):
            native.__init__(error, *args)  # type: ignore[misc]  # a built-in class's own
    error.__dict__.update(state)
    return error


# --- what cannot be sent ------------------------------------------------------------------------------------


def explain(error: Exception, value: object, what: str, names: Names, root: str = "") -> Unsendable:
    """Which part of `value` cannot be pickled, as a path people can follow."""
    path, why = _culprit(value, names, root, 8)
    return Unsendable(what, path or "it", why or f"{type(error).__name__}: {error}")


def _culprit(value: Any, names: Names, path: str, depth: int) -> tuple[str, str]:
    """The innermost part that does not pickle by itself; empty if all parts do."""
    try:
        _Encoder(io.BytesIO(), names, []).dump(value)
    except Exception as error:  # noqa: BLE001  looking for the part that raises
        why = f"{safe_repr(value)[:80]} ({type(value).__qualname__}): {error}"
    else:
        return "", ""
    if depth:
        for name, part in _parts(value):
            found = _culprit(part, names, f"{path}{name}" if path else name.lstrip("."), depth - 1)
            if found[0]:
                return found
    return path or "it", why


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, part in value.items():
            yield f"[{safe_repr(key)}]", part
            yield f" key {safe_repr(key)}", key
    elif isinstance(value, tuple | list):
        named = getattr(value, "_fields", None)
        for index, part in enumerate(value):
            yield f".{named[index]}" if named else f"[{index}]", part
    elif isinstance(value, set | frozenset):
        for part in value:
            yield f"{{{safe_repr(part)}}}", part
    elif isinstance(value, Request | Process | BaseException | type):
        return
    else:
        yield from ((f".{name}", part) for name, part in getattr(value, "__dict__", {}).items())
        for cls in type(value).__mro__:
            slots = cls.__dict__.get("__slots__", ())
            for name in (slots,) if isinstance(slots, str) else slots:
                if hasattr(value, name):
                    yield f".{name}", getattr(value, name)
