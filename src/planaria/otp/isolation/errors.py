"""What goes wrong between a node and its workers.

```
Unsendable        a message cannot be sent to a worker: something in it cannot be pickled
NotAdmitted       a worker sent an object of a class that is not let in at home
WorkerBroken      a worker did not keep to the protocol; it is killed, and this is in its exit reason
RemoteError       stands for an exception of the other side whose own class cannot be rebuilt here
RemoteTraceback   the `__cause__` of an exception that came from the other side: its traceback as text
```
"""

from __future__ import annotations

import pickle


class Unsendable(TypeError):
    """A message for a worker holds what cannot be pickled.

    Attributes:
        path: which part: `by[3].handler`.
    """

    def __init__(self, what: str, path: str, why: str) -> None:
        super().__init__(what, path, why)
        self.what = what
        self.path = path
        self.why = why

    def __str__(self) -> str:
        return f"{self.what} cannot be sent to another OS process: {self.path}: {self.why}"


class NotAdmitted(pickle.UnpicklingError):
    """A worker sent an object of a class that home does not let in."""

    def __init__(self, module: str, name: str, why: str) -> None:
        super().__init__(module, name, why)
        self.module = module
        self.name = name
        self.why = why

    def __str__(self) -> str:
        return f"a worker sent {self.module}.{self.name}, which is not let in: {self.why}"


class WorkerBroken(Exception):
    """A worker sent what no worker sends."""


class RemoteError(Exception):
    """An exception raised on the other side, of a class that cannot be rebuilt here.

    Attributes:
        kind: the full name of its class.
        message: its text.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(kind, message)
        self.kind = kind
        self.message = message

    def __str__(self) -> str:
        return f"{self.kind}: {self.message}"


class RemoteTraceback(Exception):
    """Where an exception was raised on the other side.

    Attributes:
        text: the traceback.
        where: its innermost line as `file:line`.
    """

    def __init__(self, text: str, where: str | None) -> None:
        super().__init__(text, where)
        self.text = text
        self.where = where

    def __str__(self) -> str:
        return f'\n"""\n{self.text}"""'
