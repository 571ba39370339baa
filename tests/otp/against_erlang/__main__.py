"""The command; see the package."""

import argparse
import sys

from . import groups, trees

parser = argparse.ArgumentParser(prog="python -m tests.otp.against_erlang", description=__doc__)
parser.add_argument("what", choices=("trees", "groups"))
parser.add_argument("--cases", type=int, default=50, help="how many (default 50)")
parser.add_argument("--seed", type=int, default=1, help="which (default 1)")
given = parser.parse_args()
compared, found = (trees if given.what == "trees" else groups).differences(given.cases, given.seed)
print("\n".join(found[:3]))
print(
    f"{given.cases} cases, {compared} {'starts and ends' if given.what == 'trees' else 'operations'}: "
    f"{len(found)} cases differ"
)
sys.exit(1 if found else 0)
