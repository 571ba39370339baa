"""What can go wrong with an upgrade.

```
UpgradeError
├── UpgradeRefused     nothing was changed; `.problems` says why, one sentence each
└── UpgradeFailed      one process could not change; those that had, went back. `.process` names it
```
"""

from __future__ import annotations

from collections.abc import Iterable

from planaria.otp.kernel.process import Process


class UpgradeError(Exception):
    """No other version came into force."""


class UpgradeRefused(UpgradeError):
    """Checked and found unfit; nothing was changed. `problems` says why, one sentence each."""

    def __init__(self, what: str, problems: Iterable[str]) -> None:
        self.what = what
        self.problems = tuple(problems)
        super().__init__(what, self.problems)

    def __str__(self) -> str:
        return f"{self.what} was not loaded: {'; '.join(self.problems)}"


class UpgradeFailed(UpgradeError):
    """`code_change` raised `error` in `process`; those that had changed went back, and the code with them."""

    def __init__(self, what: str, process: Process, error: BaseException) -> None:
        self.what = what
        self.process = process
        self.error = error
        super().__init__(what, process, error)

    def __str__(self) -> str:
        return (
            f"{self.what} was not loaded: {self.process!r} ({self.process.label}) did not change its code: "
            f"{type(self.error).__name__}: {self.error}"
        )
