"""The kernel's benchmark: what it prints, how rounds become figures, what is done about subjects that fail."""

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from benchmarks.bench_kernel import Bench, worst
from benchmarks.figures import figure, ratio
from benchmarks.kernel_page import notes, tables
from benchmarks.kernel_rows import Row
from benchmarks.kernel_subjects import stale
from benchmarks.subject import Absent, Subject

ROOT = Path(__file__).parents[2]

ECHO = """
import sys
print("an echo", flush=True)
for line in sys.stdin:
    row, n = line.split()
    match row:
        case "double": print(int(n), int(n) * 2, flush=True)
        case "refuse": print("! not here", flush=True)
        case "die": sys.exit(3)
"""


def echo() -> Subject:
    return Subject([sys.executable, "-c", ECHO])


def test_a_figure_is_the_median_of_the_rounds_with_the_lowest_and_the_highest():
    assert figure([[30.0], [10.0], [20.0]], "ns") == {
        "median": 20.0,
        "low": 10.0,
        "high": 30.0,
        "unit": "ns",
        "rounds": 3,
    }


def test_rounds_of_many_values_have_a_tail():
    found = figure([[float(value) for value in range(100)]] * 2, "us")
    assert (found["median"], found["p99"]) == (49.5, 99.0)


def test_a_ratio_is_taken_round_by_round():
    # The machine was twice as slow in the second round, for both.
    assert ratio([[10.0], [20.0], [11.0]], [[20.0], [40.0], [20.0]])["median"] == 0.5


def test_a_target_must_be_met_by_the_tail_too():
    assert worst({"median": 0.5, "p99": 1.5}) == 1.5


def test_a_subject_answers_in_figures():
    with echo() as subject:
        assert subject.about == "an echo"
        assert subject.ask("double", 4, 30.0) == [4.0, 8.0]


def test_a_subject_without_figures_says_why():
    with echo() as subject:
        with pytest.raises(Absent, match="not here"):
            subject.ask("refuse", 1, 30.0)
        assert subject.ask("double", 1, 30.0) == [1.0, 2.0]


def test_a_subject_that_ends_is_absent():
    with echo() as subject:
        with pytest.raises(Absent, match="exit code 3"):
            subject.ask("die", 1, 30.0)
        assert not subject.alive


def test_a_subject_that_takes_too_long_is_ended():
    with echo() as subject:
        with pytest.raises(Absent, match="took longer"):
            subject.ask("hang", 1, 0.01)
        assert not subject.alive


@pytest.mark.parametrize(("text", "other"), [("here", None), ("gone", "planaria/otp/a.py")])
def test_a_wheel_built_from_other_sources_is_not_measured(tmp_path, text, other):
    (tmp_path / "planaria" / "otp").mkdir(parents=True)
    (tmp_path / "planaria" / "otp" / "a.py").write_text("here")
    with zipfile.ZipFile(tmp_path / "w.whl", "w") as wheel:
        wheel.writestr("planaria/otp/a.py", text)
        wheel.writestr("planaria/otp/_a_interpreted.py", "made by the build")
    with zipfile.ZipFile(tmp_path / "w.whl") as wheel:
        assert stale(wheel, tmp_path) == other


def test_a_subject_that_fails_in_a_row_leaves_the_others_theirs(tmp_path, capsys):
    bench = Bench(tmp_path, with_peers=False, hurry=True)
    bench.starts = {"ours": echo, "beam": echo}
    assert bench.rounds(Row("double", "ns", 2, rounds=2)) == {
        "ours": [[2.0, 4.0]] * 2,
        "beam": [[2.0, 4.0]] * 2,
    }
    bench.starts["beam"] = lambda: Subject([sys.executable, "-c", "print('x', flush=True)"])
    assert bench.rounds(Row("double", "ns", 2, rounds=1)) == {"ours": [[2.0, 4.0]]}
    assert "beam has no double" in capsys.readouterr().err


def row(operation: str, **more: object) -> dict[str, object]:
    three = {"median": 3.0, "low": 2.0, "high": 4.0, "unit": "ns", "rounds": 3}
    return {
        "operation": operation,
        "unit": "ns",
        "n": 10,
        "ours": three,
        "compiled": None,
        "beam": three,
        "peers": {"slow": {"absent": "too slow"}},
        "ratio_beam": three,
        "ratio_beam_compiled": None,
        "target": 1.0,
        "target_compiled": 0.7,
        "short": ["ratio_beam"],
        "profile": "90% a.loop",
        "about": {"ours": "Python"},
    } | more


def test_the_page_names_what_falls_short_and_shows_its_profile():
    lines = [row("call"), row("growth_call", target=None, short=[], profile=None)]
    (_, targets), (_, peers), (_, grown) = tables(lines)
    assert targets[1][6] == "3 (2..4) **short of** 1"
    assert peers[1] == ["call", "ns", "3", "absent: too slow"]
    assert grown[1] == ["call", "ours", "3 (2..4)"]
    said = notes(lines)
    assert "Falls short of its target, pure: call (10)." in said
    assert "- call: 90% a.loop" in said


@pytest.mark.subprocess
def test_run_by_its_path_it_prints_a_row_a_line():
    done = subprocess.run(
        [
            sys.executable,
            "benchmarks/bench_kernel.py",
            "--json",
            "--quick",
            "--no-peers",
            "--rows",
            "call,restart",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    call, restart = map(json.loads, done.stdout.splitlines())
    assert call["operation"] == "call"
    assert call["ours"].keys() == {"median", "low", "high", "unit", "rounds"}
    assert 0 < call["ours"]["low"] <= call["ours"]["median"] <= call["ours"]["high"]
    assert {"compiled", "beam", "peers", "ratio_beam", "ratio_beam_compiled", "target"} <= call.keys()
    if call["beam"] is None:  # then it says so, and compares with nothing
        assert call["about"]["beam"].startswith("absent: ")
        assert call["ratio_beam"] is None
    else:
        assert call["ratio_beam"]["median"] > 0
    assert restart["ours"]["p99"] >= restart["ours"]["median"]


@pytest.mark.subprocess
def test_every_python_subject_speaks_the_same():
    with Subject([sys.executable, "-m", "benchmarks.peers.asyncio_tasks"]) as subject:
        assert "asyncio.Queue" in subject.about
        assert len(subject.ask("restart", 3, 30.0)) == 3
        # Which functions a sample meets is chance.
        assert re.match(r"\d+% \w+\.\w+", subject.words("profile:call", 5_000, 30.0))
        with pytest.raises(Absent, match="not measured"):
            subject.ask("growth", 10, 30.0)
