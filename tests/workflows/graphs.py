"""Random workflows and random outcomes, for the properties of a run."""

import random

from planaria.workflows.definition import END, FAIL, Step, Workflow

BRANCHES = ("ok", "other", "failed")


def random_workflow(seed: int, steps: int = 6) -> Workflow:
    """A graph of up to `steps` steps with cycles, `each` and retries; every cycle goes through a bounded step."""
    chance = random.Random(seed)
    names = [f"s{number}" for number in range(chance.randint(1, steps))]
    made: dict[str, Step] = {}
    for number, name in enumerate(names):
        later = [*names[number + 1 :], END, FAIL]
        routes = {branch: chance.choice(later) for branch in BRANCHES}
        if number + 1 < len(names) and chance.random() < 0.8:
            routes["ok"] = names[number + 1]
        bound = None
        if chance.random() < 0.4:  # a bounded step may lead anywhere, back too
            bound = chance.randint(1, 3)
            routes[chance.choice(BRANCHES)] = chance.choice([*names[: number + 1], END])
        each = chance.choice([None, None, "{{ [] }}", "{{ [1, 2, 3] }}"])
        if each:
            routes |= {"none": chance.choice(later), "mixed": chance.choice(later)}
        arguments = {"step": name, **({"item": "{{ item }}"} if each else {})}
        made[name] = Step(
            name, "test.step", arguments, routes, each, chance.choice([0, 0, 2]), 1.0, 300.0, bound
        )
    reached, waiting = set(), [names[0]]
    while waiting:
        name = waiting.pop()
        if name in made and name not in reached:
            reached.add(name)
            waiting += made[name].routes.values()
    return Workflow("random", {name: step for name, step in made.items() if name in reached}, names[0])


def random_outcome(seed: int, call_id: str) -> tuple[str, bool]:
    """The branch a call takes and whether a failure says to try again: the same for the same call, always.

    `call_id` is without the id of the run, so that two runs can be compared.
    """
    chance = random.Random(f"{seed}/{call_id}")
    return chance.choices(BRANCHES, (6, 2, 2))[0], chance.random() < 0.5
