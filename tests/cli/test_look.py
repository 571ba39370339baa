"""Looking at a running node from the command line."""

import json

from planaria.config.lock import find_holder


def test_the_tree_is_drawn_with_every_process(live):
    output = live.run("tree").output
    assert "root" in output
    assert "└── control" in output
    assert output.index("counter") < output.index("control")


def test_the_tree_can_be_had_as_json(live):
    (root, *_) = live.json("tree")
    assert [branch["name"] or branch["label"] for branch in root["children"]][-2:] == ["counter", "control"]


def test_status_is_for_people_and_for_programs(live):
    output = live.run("status").output
    assert "http://127.0.0.1:1" in output
    assert str(live.path) in output
    assert live.json("status")["name"] == "garden"


def test_processes_in_a_pipe_are_columns_parted_by_tabs(live):
    lines = live.run("processes").output.splitlines()
    (counter,) = [line.split("\t") for line in lines if "\tcounter\t" in line]
    assert counter[2] == "Counter"


def test_inspect_shows_the_state_of_a_process(live):
    output = live.run("inspect", "counter").output
    assert "count = 5" in output
    assert live.json("inspect", "counter")["name"] == "counter"


def test_an_unknown_process_is_an_error_with_the_nearest_name(live):
    result = live.run("inspect", "countre")
    assert result.exit_code == 6
    assert "did you mean 'counter'?" in result.stderr


def test_an_error_is_json_where_json_was_asked_for(live):
    result = live.run("inspect", "countre", "--json")
    error = json.loads(result.stderr)["error"]
    assert error["code"] == "not_found"
    assert error["exit_code"] == result.exit_code == 6


def test_kill_and_restart_say_who_came_after(live):
    before = live.json("inspect", "counter")["pid"]
    assert f"restarted counter {before}; now" in live.run("restart", "counter").output
    between = live.json("inspect", "counter")["pid"]
    assert f"killed counter {between}" in live.run("kill", "counter").output
    assert live.json("inspect", "counter")["pid"] not in (before, between)


def test_stop_returns_when_the_node_is_gone(live):
    assert live.run("stop", "--yes").output.startswith("stopped: the node")
    assert find_holder(live.path) is None


def test_the_node_is_not_ended_unasked(live, monkeypatch):
    told = live.run("stop")
    assert told.exit_code == 6
    assert "nobody is here to be asked" in told.stderr and "planaria stop --yes" in told.stderr
    monkeypatch.setattr("planaria.cli.stop._is_terminal", lambda: True)
    asked = live.run("stop", input="n\n")
    assert asked.exit_code == 1 and "nobody is at work. End it?" in asked.stderr
    assert find_holder(live.path) is not None
    assert "stopped: the node" in live.run("stop", input="y\n").stdout
    assert find_holder(live.path) is None


def test_without_a_node_the_command_says_how_to_start_one(garden):
    result = garden.run("tree")
    assert result.exit_code == 4
    assert f"planaria up --garden {garden.path}" in result.stderr
