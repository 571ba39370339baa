"""A Python prompt inside a running node: each input is evaluated by a process of its own, so a crash hurts only that.

`await` works at the top. Helpers: `ps()`, `tree()`, `info(pid)`, `state(pid)`, `trace(pid)`, `kill(pid)`,
`whereis(name)`, `node`, `_` (the last value). What the input prints comes back to whoever asked; what others print
meanwhile does not.
Input that does not pause is broken by the watchdog, or by `interrupt`.
Whoever can open the node's socket runs any code as its user: that user owns the node already.
"""

from __future__ import annotations

import ast
import contextvars
import inspect
import io
import logging
import rlcompleter
import sys
import traceback
from collections.abc import Callable
from types import CodeType, FunctionType
from typing import Any, BinaryIO, NoReturn, TextIO

from planaria.otp.kernel.node import Node
from planaria.otp.kernel.process import Process
from planaria.otp.kernel.signals import die
from planaria.otp.observe.trace import Trace, Tracer
from planaria.otp.observe.views import find, kind_of, processes
from planaria.otp.observe.watchdog import Watchdog

__all__ = ["Prompt"]

LONGEST_VALUE = 20_000
"""Characters of one value that is shown."""

LONGEST_OUTPUT = 100_000
"""Characters of one piece of output that are sent."""

VALUE = "__value__"

log = logging.getLogger(__name__)

_writer: contextvars.ContextVar[Callable[[str], None] | None] = contextvars.ContextVar("writer", default=None)


class _Split(io.TextIOBase):
    """Standard output while inputs are evaluated: theirs goes back to who asked, the others' where it always went."""

    def __init__(self, usual: TextIO) -> None:
        self.usual = usual
        self.users = 0

    def write(self, text: str, /) -> int:
        """Hand on one piece of text."""
        writer = _writer.get()
        if writer is None:
            return self.usual.write(text)
        writer(text)
        return len(text)

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Of the usual one."""
        return self.usual.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        """Of the usual one."""
        return self.usual.errors

    @property
    def buffer(self) -> BinaryIO:
        """Of the usual one; what is written there does not come back to who asked."""
        return self.usual.buffer

    def writable(self) -> bool:
        """It is."""
        return True

    def flush(self) -> None:
        """As the usual one."""
        self.usual.flush()

    def fileno(self) -> int:
        """Of the usual one."""
        return self.usual.fileno()

    def isatty(self) -> bool:
        """As the usual one."""
        return self.usual.isatty()


class Prompt:
    """One person's prompt: a namespace that lasts as long as the connection.

    Args:
        watchdog: asked to break input that does not pause.
        audit: told each input, in the loop, before it runs; the log otherwise.
    """

    def __init__(
        self,
        node: Node,
        watchdog: Watchdog | None,
        tracer: Tracer,
        audit: Callable[[str], None] | None = None,
    ) -> None:
        self.node = node
        self.watchdog = watchdog
        self.tracer = tracer
        self.audit = audit
        self.process: Process | None = None
        self._waiting: CodeType | None = None
        self.traces: list[Trace] = []
        self.names: dict[str, Any] = {
            "__name__": "__attach__",
            "__builtins__": __builtins__,
            "node": node,
            "ps": self.ps,
            "tree": self.tree,
            "info": self.info,
            "state": self.state,
            "trace": self.trace,
            "kill": self.kill,
            "whereis": node.whereis,
            "exit": _leave,
            "quit": _leave,
            "input": _no_terminal,
            "breakpoint": _no_terminal,
            "help": _no_terminal,
        }

    # --- evaluating ---------------------------------------------------------------------------------------------

    def evaluate(
        self, source: str, write: Callable[[str], None], done: Callable[[dict[str, Any]], None]
    ) -> None:
        """Begin to evaluate; from any thread.

        Args:
            write: given what is printed, piece by piece.
            done: told how it ended: `{"ok": True}` or `{"ok": False}`.
        """
        try:
            code = _compile(source)
        except (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError):
            write("".join(traceback.format_exc(limit=0)))
            done({"ok": False})
            return
        if self._waiting is not None or self.process is not None:
            write("the input before still runs\n")
            done({"ok": False})
            return
        self._waiting = code
        self.node.scheduler.loop.call_soon_threadsafe(self._begin, source, code, write, done)

    def _begin(
        self,
        source: str,
        code: CodeType,
        write: Callable[[str], None],
        done: Callable[[dict[str, Any]], None],
    ) -> None:
        if self._waiting is not code:
            write("interrupted before it began\n")
            done({"ok": False})
            return
        self._waiting = None
        if self.audit is None:
            log.info("prompt: %s", source)
        else:
            self.audit(source)
        usual = sys.stdout
        split = usual if isinstance(usual, _Split) else _Split(usual)
        sys.stdout = split
        split.users += 1
        outcome: dict[str, Any] = {}

        def tell(text: str) -> None:
            write(
                text if len(text) <= LONGEST_OUTPUT else f"{text[:LONGEST_OUTPUT]}… {len(text)} characters\n"
            )

        async def prompt() -> None:
            _writer.set(tell)
            try:
                value = FunctionType(code, self.names)()
                if inspect.iscoroutine(value):
                    await value
                value = self.names.pop(VALUE, None)
                if value is not None:
                    self.names["_"] = value
                    text = repr(value)
                    if len(text) > LONGEST_VALUE:
                        text = f"{text[:LONGEST_VALUE]}… {len(text)} characters"
                    tell(f"{text}\n")
                outcome["ok"] = True
            except SystemExit as error:  # it leaves the prompt, not the node
                if error.code not in (None, 0):
                    tell(f"{error.code}\n")
                outcome.update(ok=error.code in (None, 0), left=True)
            except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  shown to who asked
                trace = error.__traceback__
                tell("".join(traceback.format_exception(type(error), error, trace and trace.tb_next)))
                outcome["ok"] = False

        process = self.node.spawn(prompt)
        process.label = "prompt"
        self.process = process

        def ended(future: Any) -> None:
            self.process = None
            split.users -= 1
            if split.users == 0 and sys.stdout is split:
                sys.stdout = split.usual
            if not outcome:
                write(f"ended: {future.result()}\n")
            done({"ok": False} | outcome)

        self.node.wait_exit(process).add_done_callback(ended)

    def interrupt(self) -> bool:
        """End what is being evaluated; from any thread. False if nothing is."""
        process = self.process
        if process is None:
            waited, self._waiting = self._waiting is not None, None
            return waited
        if self.watchdog is not None:
            self.watchdog.break_now(process)
        self.node.scheduler.loop.call_soon_threadsafe(die, process, "killed")
        return True

    def complete(self, text: str) -> list[str]:
        """What a name or an attribute may go on with."""
        completer = rlcompleter.Completer(self.names)
        found: list[str] = []
        while len(found) < 200 and (each := completer.complete(text, len(found))) is not None:
            found.append(each)
        return found

    def close(self) -> None:
        """The person has gone; from any thread."""
        self.interrupt()
        for trace in self.traces:
            trace.stop()

    # --- helpers ------------------------------------------------------------------------------------------------

    def ps(self, pattern: str | None = None) -> None:
        """Print the processes."""
        for each in processes(self.node):
            text = f"{each!s:<16} {each.name or each.label:<30} {kind_of(each):<24} {each.reductions}"
            if pattern is None or pattern in text:
                print(text)  # noqa: T201  it is what the helper is for

    def tree(self) -> None:
        """Print the supervision tree."""
        waiting = [(0, each) for each in reversed(self.node.tree())]
        while waiting:
            depth, each = waiting.pop()
            print("  " * depth + f"{each.name or each.label} {each.pid} {each.status}")  # noqa: T201
            waiting += [(depth + 1, child) for child in reversed(each.children)]

    def info(self, what: Process | str) -> Any:
        """Everything about one process."""
        return self.node.info(self._found(what))

    def state(self, what: Process | str) -> dict[str, object]:
        """The state of one process: the living objects, not copies."""
        return self.node.state(self._found(what))

    def trace(self, what: Process | str, size: int = 1000) -> Trace:
        """Trace a process or a pattern until the prompt ends; `.events` has what was seen."""
        trace = self.tracer.trace(what, size=size)
        self.traces.append(trace)
        return trace

    def kill(self, what: Process | str) -> None:
        """End a process at once."""
        die(self._found(what), "killed")

    def _found(self, what: Process | str) -> Process:
        process = find(self.node, what) if isinstance(what, str) else what
        if process is None:
            raise LookupError(f"no process {what!r}")
        return process


def _leave(code: object = None) -> NoReturn:
    # The interpreter's own `exit` would close the node's standard input.
    raise SystemExit(code)


def _no_terminal(*_: object, **__: object) -> NoReturn:
    raise RuntimeError("there is no terminal to read from inside the node, and everybody would wait for it")


def _compile(source: str) -> CodeType:
    """As the interactive interpreter: the last expression is the value; `await` may stand anywhere."""
    tree = ast.parse(source, "<attach>")
    if tree.body and isinstance(tree.body[-1], ast.Expr):
        last = tree.body.pop()
        assert isinstance(last, ast.Expr)
        value = ast.Assign([ast.Name(VALUE, ast.Store())], last.value)
        tree.body += [ast.copy_location(value, last)]
        ast.fix_missing_locations(tree)
    code: CodeType = compile(tree, "<attach>", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    return code
