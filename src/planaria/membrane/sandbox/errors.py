"""What can go wrong with a sandbox. A program that fails inside of one is a result, not an error.

```
SandboxError
├── NoSandbox         this machine has none that may be used; the message says what to install
├── PolicyRefused     what was asked for cannot be granted, or not by the sandbox that is there
└── SandboxBroken     it could not be set up, or ended without a word
```
"""


class SandboxError(Exception):
    """A program was not run, or nobody knows how it ended. The message is complete and ends with the mend."""


class NoSandbox(SandboxError):
    """Neither bubblewrap nor Landlock can be used here."""


class PolicyRefused(SandboxError):
    """A path, host or limit that cannot be granted."""


class SandboxBroken(SandboxError):
    """Setting up failed, or the keeper ended without a report."""
