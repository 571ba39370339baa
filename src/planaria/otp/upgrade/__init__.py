"""Two versions of code: load a module's new version while its processes run, and go back.

```python
from planaria.otp import upgrade

report = await upgrade.load("garden.web")      # checked, loaded, every process moved in place, then watched
await upgrade.rollback("garden.web")           # the former version, with the former state
```
"""

from __future__ import annotations

import sys

from planaria.otp.kernel.versions import latest
from planaria.otp.upgrade.children import change_children
from planaria.otp.upgrade.errors import UpgradeError, UpgradeFailed, UpgradeRefused
from planaria.otp.upgrade.follow import again, follow
from planaria.otp.upgrade.load import load
from planaria.otp.upgrade.move import Downgrade
from planaria.otp.upgrade.renew import renew
from planaria.otp.upgrade.report import Pauses, Report, VersionInfo
from planaria.otp.upgrade.rollback import rollback
from planaria.otp.upgrade.source import remember_first
from planaria.otp.upgrade.version import VERSIONS

__all__ = [
    "Downgrade",
    "Pauses",
    "Report",
    "UpgradeError",
    "UpgradeFailed",
    "UpgradeRefused",
    "VersionInfo",
    "again",
    "change_children",
    "follow",
    "latest",
    "load",
    "remember",
    "renew",
    "rollback",
    "versions",
]


def versions(name: str) -> tuple[VersionInfo, ...]:
    """The versions of a module that are loaded, oldest first; empty if it was never upgraded."""
    current, old = VERSIONS.current.get(name), VERSIONS.old.get(name)
    known = sorted((each for each in (current, old) if each is not None), key=lambda each: each.number)
    return tuple(
        VersionInfo(
            each.name,
            each.number,
            each is current,
            each.loaded_at,
            None if each.source is None else each.source.digest,
        )
        for each in known
    )


def remember(*names: str) -> None:
    """Keep the source lines of imported modules for tracebacks of their first version, before their files change.

    Worth a call at the start of a program; without it tracebacks of the first version may show no lines later.
    """
    for name in names:
        remember_first(sys.modules[name], unchanged=True)
