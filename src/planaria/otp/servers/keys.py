"""Keys and pids that others give: a server shared by many must not crash for one caller's mistake."""

from __future__ import annotations

from planaria.otp.kernel.process import Process


def unfit(key: object, what: str) -> TypeError | None:
    """What a caller is told whose key has no hash; None if it is one.

    Args:
        what: what the key is to the caller, such as `"key"` or `"group"`.
    """
    try:
        hash(key)
    except TypeError as error:
        return TypeError(f"{key!r} cannot be a {what}: {error}; take a text, a number, or a tuple of such")
    return None


def no_process(pid: object) -> TypeError | None:
    """What a caller is told who gave something else for a pid."""
    return (
        None if isinstance(pid, Process) else TypeError(f"{pid!r} is no process: only pids can be registered")
    )
