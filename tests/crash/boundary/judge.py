"""What must be true of a journal when all is over, wherever the node was killed."""

from collections import Counter
from collections.abc import Iterator, Mapping

import msgspec

from planaria.config.budget import BudgetSettings
from planaria.cortex.event import Event
from planaria.immune.amount import Amount
from planaria.immune.ledger.account import amount as amount_of
from planaria.immune.ledger.book import Book
from tests.crash.boundary import rest
from tests.crash.boundary.model import HELPED, MENDED, SAID, SEEN, TOLD, CaseModel

ANSWERS = {"doer": [SAID], "helper": [HELPED], "fragile": [MENDED]}
ONCE = {
    "turn.started": rest.TURNS,
    "turn.finished": rest.TURNS,
    "workflow.run.started": 1,
    "workflow.run.finished": 1,
    "workflow.step.retried": 1,
    "dead.lettered": 1,
    "dead.replayed": 1,
    "room.redelivered": 1,
    "work.submitted": rest.JOBS,
    "work.finished": rest.JOBS,
}
"""How often each of these happened, whatever was killed."""


def judge(events: list[Event], effects: list[tuple[str, str]], model: CaseModel) -> list[str]:
    """What is wrong after all lives."""
    kinds = Counter(event.kind for event in events if not rest.of_family(event))
    faults = [
        f"{kind} is there {kinds[kind]} times" for kind, number in ONCE.items() if kinds[kind] != number
    ]
    faults += _talk([event for event in events if event.kind == "room.message"])
    faults += _family(events)
    faults += judge_calls(events, effects)
    faults += judge_money(events, model)
    # One of each in the turn, one in the workflow; a call whose end nobody knows is not made under another name.
    for name, most in (("once", 2), ("asked", 1)):
        if len(calls := {call for each, call in effects if each == name}) > most:
            faults.append(f"what must not be done twice was done as {calls}")
    (run,) = [e.payload["status"] for e in events if e.kind == "workflow.run.finished"] or [""]
    faults += [] if run == "done" else [f"the run is {run!r}"]
    ids = Counter(event.id for event in events)
    faults += [f"the id {name} is there {number} times" for name, number in ids.items() if number > 1]
    return faults


def _talk(said: list[Event]) -> Iterator[str]:
    """Every message is there once, and has one answer of each it was for."""
    asked = [event for event in said if event.payload["author"] == "ada"]
    if sorted(event.payload["text"] for event in asked) != sorted(
        text for text, _ in (*rest.POSTS, *rest.STEERED)
    ):
        yield f"ada said {[event.payload['text'] for event in asked]}"
    messages = {event.id for event in asked}
    final = [e for e in said if e.cause_id in messages and e.payload.get("final", True)]
    for agent, texts in ANSWERS.items():
        replies = [
            event.payload["text"]
            for event in final
            if event.payload["author"] == agent and event.payload["author_kind"] == "agent"
        ]
        if replies != texts:
            yield f"{agent} answered {replies}"
    given_up = [event for event in final if event.payload["author_kind"] == "notice"]
    if [event.payload["author"] for event in given_up] != ["fragile"]:
        yield f"given up were {[event.payload for event in given_up]}"
    later = [event for event in said if event.payload["text"] == "The tea is ready."]
    if len(later) != 1:
        yield f"what was to be said later is there {len(later)} times"


def _family(events: list[Event]) -> Iterator[str]:
    """Each message was answered once, alone or with another; each turn had one child, whose result it was told."""
    asked = {e.id for e in events if e.kind == "room.message" and "@mother" in e.payload["text"]}
    if sorted(answered := rest.answered(events)) != sorted(asked):
        yield f"of {asked} mother answered {answered}"
    said = {e.payload["text"] for e in events if e.kind == "room.message" and e.payload["author"] == "mother"}
    if said != {TOLD}:
        yield f"mother said {said}"
    kinds = Counter(event.kind for event in events if rest.of_family(event))
    turns = len(answered) - kinds["turn.steered"]
    expected = {
        "turn.started": 2 * turns,
        "turn.finished": 2 * turns,
        "child.asked": turns,
        "child.finished": turns,
    }
    yield from (
        f"{kind} is there {kinds[kind]} times in {turns} turns"
        for kind in expected
        if kinds[kind] != expected[kind]
    )
    ends = [e.payload for e in events if e.kind == "tool.finished" and e.payload["tool"] == "agents.ask"]
    told = [end["outcome"].get("text", end) for end in ends]
    # What a child comes back with is marked as from outside.
    if len(told) != turns or not all(SEEN in str(text) for text in told):
        yield f"mother was told {told}"


def judge_money(events: list[Event], model: CaseModel) -> Iterator[str]:
    """What was spent is what the provider charged, and it was asked by nobody else."""
    spent = [event.payload["usage"] for event in events if event.kind == "model.responded"]
    tokens = sum(usage["input_tokens"] + usage["output_tokens"] for usage in spent)
    charged = model.charged.input_tokens + model.charged.output_tokens
    if tokens != charged:
        asked = dict(model.keys) | {"without a key": model.calls - sum(model.keys.values())}
        yield f"{tokens} tokens are in the journal, the provider charged {charged}: {asked}"
    if model.strangers:
        yield f"requests of other cases came here: {model.strangers}"


def judge_accounts(events: list[Event], spent: Mapping[str, Amount], model: CaseModel) -> Iterator[str]:
    """The accounts of the living node are the provider's own bill, and the fold of its journal."""
    charged = model.charged.input_tokens + model.charged.output_tokens
    for name in ("garden", "provider:far", "room:garden"):
        if (found := spent.get(name, Amount()).tokens) != charged:
            yield f"{name} has spent {found} tokens, the provider charged {charged}"
    # What a child spends is on the account of its agent and on that of its parent.
    mine = [name for name in spent if name.startswith("agent:") and name != "agent:looker"]
    agents = sum(spent[name].tokens for name in mine)
    if agents != charged:
        yield f"the agents have spent {agents} tokens, the provider charged {charged}"
    book = Book(BudgetSettings())
    for event in events:
        book.take(event)
    for name, amount in spent.items():
        folded = amount_of(book.accounts[name].life) if name in book.accounts else Amount()
        # Seconds are sums of what calls took, added in another order where a snapshot was taken.
        if msgspec.structs.replace(folded, seconds=0.0) != msgspec.structs.replace(amount, seconds=0.0):
            yield f"{name} has spent {amount}, its events say {folded}"


def judge_calls(events: list[Event], effects: list[tuple[str, str]]) -> Iterator[str]:
    """Every call has one end, every effect a call, and none was had twice unless that is allowed."""
    started = {
        event.payload["call_id"]: event.payload["tool"] for event in events if event.kind == "tool.started"
    }
    finished = [event for event in events if event.kind == "tool.finished"]
    done = Counter(event.payload["call_id"] for event in finished)
    yield from (f"{call} finished {number} times" for call, number in done.items() if number > 1)
    yield from (f"{call} was begun and has no end" for call in started.keys() - done.keys())
    allowed = Counter(event.payload["call_id"] for event in events if event.kind == "tool.repeated")
    happened = Counter(effects)
    for (name, call), number in happened.items():
        if name in ("once", "asked") and number > 1 + allowed[call]:
            yield f"{call}, which must not be done twice unasked, was done {number} times"
        if call not in started:
            yield f"{call} was done and is not in the journal"
    for event in finished:
        tool, call = event.payload["tool"], event.payload["call_id"]
        if tool.startswith("deed.") and event.payload.get("outcome") is not None:
            if (tool.removeprefix("deed."), call) not in happened:
                yield f"{call} is said to be done and has no effect"


def news(before: list[Event], after: list[Event]) -> Iterator[str]:
    """A node at rest that starts once more has nothing to do."""
    known = {event.id for event in before}
    for event in after:
        if event.id not in known and event.session != "node":
            yield f"another start wrote {event.kind} in {event.session}"
