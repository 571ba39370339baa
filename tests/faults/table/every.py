"""All faults of the table, in its order."""

from tests.faults.table import ends, services, tools, turns

CASES = (*services.CASES, *tools.CASES, *turns.CASES, *ends.CASES)
