"""An agent's record, and everything that may be wrong with it."""

import pytest

from planaria.agents.definition import AgentDefinition, AgentError, read_agent
from planaria.records.record import parse_record


def read(front: str, body: str = "You are scout.", path: str = "agents/scout.md") -> AgentDefinition:
    return read_agent(parse_record(path, f"---\n{front}\n---\n{body}\n"))


def test_a_file_with_instructions_alone_is_an_agent():
    assert read("class: agent") == AgentDefinition("scout", "You are scout.")


def test_every_key_is_read():
    agent = read(
        "model: fake/large\ntools: [notes.*]\nrooms: [pond, garden, pond]\nhost: true\nmax_steps: 3\n"
        "max_tokens: 100\ntemperature: 1\ndescription: helps"
    )
    assert agent == AgentDefinition(
        *("scout", "You are scout.", "helps", "fake/large", ("notes.*",), ("pond", "garden"), True, 3, 100),
        temperature=1.0,
    )


def test_the_model_called_default_is_that_of_the_node():
    assert read("model: default").model is None


@pytest.mark.parametrize(
    ("front", "said"),
    [
        ("modle: x", "agents/scout.md:2: unknown key 'modle'. Did you mean 'model'?"),
        ("class: note", "agents/scout.md:2: class is 'note'. Write `class: agent`"),
        ("max_steps: 0", "agents/scout.md:2: max_steps cannot be 0. Write a whole number above 0"),
        ("max_steps: true", "max_steps cannot be True"),
        ("temperature: 3", "temperature cannot be 3. Write a number from 0 to 2"),
        ("host: maybe", "host cannot be 'maybe'. Write true or false"),
        ("tools: [1]", "tools must be a list of names. Write `tools: [one, two]`"),
        ("budget: {usd_per_dya: 1}", "there is no limit 'usd_per_dya'. Did you mean 'usd_per_day'?"),
        ("fallback: web.fetch", "fallback must be a mapping of tools. Write `fallback:"),
        ("budget: 5", "budget must be a mapping. Write `budget: {usd_per_day: 1.0}`"),
        ("rooms: [The Pond]", "'The Pond' is no name for a room. Use small letters"),
    ],
)
def test_what_is_wrong_is_named_with_its_line_and_the_mend(front: str, said: str):
    with pytest.raises(AgentError) as error:
        read(front)
    assert said in str(error.value)


def test_all_faults_are_told_at_once():
    with pytest.raises(AgentError) as error:
        read("modle: x\nhost: 7", body="", path="agents/Big Scout.md")
    assert len(error.value.problems) == 4


@pytest.mark.parametrize("path", ["agents/-scout.md", "agents/scout-.md", "agents/Scout.md", "agents/a b.md"])
def test_a_name_that_cannot_be_mentioned_is_refused(path: str):
    with pytest.raises(AgentError, match="is no name for an agent"):
        read("class: agent", path=path)


@pytest.mark.parametrize("name", ["you", "all"])
def test_names_that_mean_somebody_else_are_refused(name: str):
    with pytest.raises(AgentError, match="is taken"):
        read("class: agent", path=f"agents/{name}.md")


def test_an_agent_can_be_kept_to_this_machine():
    assert not read("model: light").local_only
    assert read("privacy: local").local_only
    with pytest.raises(AgentError, match=r"privacy cannot be 'home'\. Write `local`"):
        read("privacy: home")
