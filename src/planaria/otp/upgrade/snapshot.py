"""A snapshot of what a server owns, to be restored in place: every container gets its former content again.

It holds the state of the server (`get_state`) and what hangs on it: dicts, lists, sets, deques and bytearrays of any
depth, and dataclass instances and objects of the modules that are upgraded. Everything else is shared with the world
(pids, sockets, locks, objects of other modules) and stays as it is.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

from planaria.otp.kernel.process import Process
from planaria.otp.upgrade.state import attributes_of, set_attributes

ATOMS = frozenset({int, str, float, bool, bytes, complex, type(None), type, Process})


@runtime_checkable
class Stateful(Protocol):
    """`GenServer`, `StateMachine` and what is made of them. Of other bodies the state is all their attributes."""

    def get_state(self) -> Any:
        """The state as a value."""
        ...

    def set_state(self, state: Any) -> None:
        """Take over a state such as `get_state` gives."""
        ...


class Snapshot:
    """Taken before a process changes its code."""

    __slots__ = ("_contents", "_state")

    def __init__(self, server: object, owned: Callable[[type], bool] | None) -> None:
        """Args:
        owned: whether objects of a class are the server's own; asked for what is no container. None: only the
            state itself is kept, not the content of what is in it.
        """
        self._state = server.get_state() if isinstance(server, Stateful) else attributes_of(server)
        self._contents: list[tuple[Any, type, Any]] = []
        todo: list[Any] = [] if owned is None else [self._state]
        seen: set[int] = set()
        while todo:
            thing = todo.pop()
            if id(thing) not in seen:
                seen.add(id(thing))
                assert owned is not None
                self._take(thing, type(thing), owned, todo)

    def _take(self, thing: Any, cls: type, owned: Callable[[type], bool], todo: list[Any]) -> None:
        content: Any
        if isinstance(thing, dict):
            content = dict(thing)
            todo += [each for each in content if type(each) not in ATOMS]
            todo += [each for each in content.values() if type(each) not in ATOMS]
        elif isinstance(thing, list | deque | set):
            content = list(thing)
            todo += [each for each in content if type(each) not in ATOMS]
        elif isinstance(thing, tuple | frozenset):
            todo += [each for each in thing if type(each) not in ATOMS]
            return
        elif isinstance(thing, bytearray):
            content = bytes(thing)
        elif cls not in ATOMS and owned(cls):
            content = attributes_of(thing)
            todo += [each for each in content.values() if type(each) not in ATOMS]
        else:
            return
        self._contents.append((thing, cls, content))

    def restore(self, server: object) -> None:
        """Give everything its former class and content; whoever else holds these objects sees it too."""
        for thing, cls, content in self._contents:
            # By the methods of the builtin: a subclass may refuse, or do more.
            if isinstance(thing, dict):
                kind: Any = OrderedDict if isinstance(thing, OrderedDict) else dict
                kind.clear(thing)
                kind.update(thing, content)
            elif isinstance(thing, set):
                set.clear(thing)
                set.update(thing, content)
            elif isinstance(thing, deque):
                deque.clear(thing)
                deque.extend(thing, content)
            elif isinstance(thing, list):
                list.__setitem__(thing, slice(None), content)
            elif isinstance(thing, bytearray):
                bytearray.__setitem__(thing, slice(None), content)
            else:
                if type(thing) is not cls:
                    thing.__class__ = cls
                set_attributes(thing, content)
        if isinstance(server, Stateful):
            server.set_state(self._state)
        else:
            set_attributes(server, self._state)
