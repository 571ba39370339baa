"""A program that holds another one in the sandbox for as long as that runs, with the standard streams it was given.

    python -m planaria.membrane.sandbox.held FOLDER

The folder has the plan, which is removed once it is read: it has the program's environment. The report is left there.
Whoever ends this program ends all that is held (`keeper.py`). Standard library only.
"""

import os
import sys

from planaria.membrane.sandbox import keeper
from planaria.membrane.sandbox.plan import read_plan, write_plan

PLAN, REPORT = "plan", "report"
"""Names of the files in the folder."""


def main(folder: str) -> None:
    """Run the plan in this folder."""
    path = f"{folder}/{PLAN}"
    given = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    os.unlink(path)
    plan = read_plan(given)
    report = os.open(f"{folder}/{REPORT}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    told = os.memfd_create("plan")
    os.write(told, write_plan(plan._replace(parent=os.getppid(), report=report)))
    keeper.main(told)


if __name__ == "__main__":
    main(sys.argv[1])
