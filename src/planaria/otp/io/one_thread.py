"""A thread for a resource that must stay in one, with little between those who ask and the work.

    writing = OneThread("journal-write")
    rows = await run_blocking(fetch, executor=writing)
    post_blocking(write, batch, executor=writing, done=written)

What is given to it is done in that order. A `ThreadPoolExecutor(1)` does the same for twice the CPU: a future, two
locks and a semaphore for each piece of work. Its thread ends behind the work it has when it is shut down or forgotten,
and with the program at once: whoever needs the work done awaits it.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from queue import SimpleQueue
from threading import Thread
from typing import Any

type Work = Callable[[], object]


class OneThread(Executor):
    """One thread of its own, started at once.

    Args:
        name: of the thread.
    """

    def __init__(self, name: str) -> None:
        self._work: SimpleQueue[Work | None] = SimpleQueue()
        self._over = False
        self._thread = Thread(target=_run, args=(self._work,), name=name, daemon=True)
        self._thread.start()

    def post(self, work: Work) -> None:
        """Do `work` in the thread; nobody hears of its end, and it must not raise.

        Raises:
            RuntimeError: it was shut down.
        """
        if self._over:
            raise RuntimeError(f"the thread {self._thread.name} was shut down")
        self._work.put(work)

    def submit[R](self, fn: Callable[..., R], /, *args: Any, **kwargs: Any) -> Future[R]:
        """See `Executor.submit`."""
        future: Future[R] = Future()

        def work() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                value = fn(*args, **kwargs)
            except BaseException as error:  # noqa: BLE001  the caller's to judge
                future.set_exception(error)
            else:
                future.set_result(value)

        self.post(work)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more work, and end behind what there is.

        Args:
            wait: return when the thread has ended.
            cancel_futures: what has not begun is done all the same: there are no futures to cancel for most of it.
        """
        if not self._over:
            self._over = True
            self._work.put(None)
        if wait:
            self._thread.join()

    def __del__(self) -> None:
        self._work.put(None)


def _run(queue: SimpleQueue[Work | None]) -> None:
    """The thread. It knows the line of work only, so that an executor nobody has any more is let go."""
    while (work := queue.get()) is not None:
        work()
        del work  # with what it refers to, while there is nothing to do
