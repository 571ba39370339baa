"""What watches a garden's node from threads of its own: the watchdog, and the observer behind `planaria observe`.

Entered by the program in the loop's thread. The observer's socket is `.planaria/observe.sock`; values pass the same
rules as everywhere people look (`show.py`), with the node's own redactor. Inputs of `planaria attach` are journalled
as `operator.input`, session `node`, before they run.
"""

import logging
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from planaria.config.lock import private_folder
from planaria.config.settings import WatchdogSettings
from planaria.cortex.chronicle import Chronicle
from planaria.cortex.chronicle_events import SESSION, OperatorInput
from planaria.cortex.redact import Redactor
from planaria.nerve.protocol import OBSERVER, place_socket, remove_pointer
from planaria.nerve.show import show_named
from planaria.otp import Node, Pid, sys
from planaria.otp.observe.observer import Observer, ObserverError
from planaria.otp.observe.show import steady
from planaria.otp.observe.watchdog import Watchdog

log = logging.getLogger(__name__)


@contextmanager
def watched(
    node: Node, *, garden: Path, settings: WatchdogSettings, redactor: Redactor
) -> Generator[Observer]:
    """Watch over a node as long as it runs."""
    folder = private_folder(garden)

    def show(name: str, value: object, limit: int) -> str:
        # Another thread changes what is shown meanwhile.
        return steady(lambda: show_named(name, value, redactor, limit), "(changed while it was read)")

    def audit(source: str) -> None:
        chronicle = node.whereis("chronicle")
        if chronicle is None:
            log.warning("attach: %s", redactor.text(source))
        else:
            Chronicle.note(chronicle, OperatorInput(source).new(session=SESSION))

    watchdog = Watchdog(node, warn=settings.warn, limit=settings.limit or None, quiet=True)
    observer = Observer(
        node,
        place_socket(folder, OBSERVER),
        watchdog=watchdog,
        show=show,
        commands={"suspend": _on(sys.suspend), "resume": _on(sys.resume)},
        audit=audit,
    )
    try:
        with watchdog, observer:
            yield observer
    finally:
        remove_pointer(folder, OBSERVER)


def _on(act: Callable[[Pid], Awaitable[None]]) -> Callable[[Node, dict[str, Any]], Awaitable[object]]:
    async def command(node: Node, params: dict[str, Any]) -> object:
        pid = node.find(str(params.get("process")))
        if pid is None:
            raise ObserverError("not_found", f"no process {params.get('process')!r}")
        await act(pid)
        return {"process": str(pid)}

    return command
