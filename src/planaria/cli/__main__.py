"""`python -m planaria.cli`: the same as the `planaria` command."""

from planaria.cli import main

main(prog_name="planaria")
