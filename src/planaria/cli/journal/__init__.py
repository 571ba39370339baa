"""`planaria journal`: what happened, and looking after it. Works with a running node and with a stopped garden."""

import click

from planaria.cli.journal.carry import export, import_
from planaria.cli.journal.forget import compact, erase, prune
from planaria.cli.journal.keep import backup, check, restore
from planaria.cli.journal.look import sessions, show, tail
from planaria.cli.journal.verify import verify
from planaria.cli.listing import Listing


@click.group(cls=Listing)
def journal() -> None:
    """Everything that happened: read it, check it, copy it, let go of it.

    Works with a running node, and opens the journal itself when none runs.
    """


for each in (tail, show, sessions, verify, check, backup, restore, export, import_, prune, erase, compact):
    journal.add_command(each)
