import io
import json
import logging
import os
import stat
import threading
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pytest

from planaria.config.settings import LogSettings
from planaria.cortex.redact import Redactor
from planaria.cortex.telemetry import log_writer
from planaria.cortex.telemetry.log_writer import LogWriter, open_log, was_moved
from planaria.cortex.telemetry.logs import log_processes, logging_to
from planaria.cortex.telemetry.span import begin_span, emit, span
from planaria.otp import GenServer, cast, child, register, self_, set_trace, supervisor
from planaria.testing.node import TestNode

SECRET = "hunter2-hunter2"
REDACTOR = Redactor({"DB_PASSWORD": SECRET})
ours = logging.getLogger("planaria.tests")


def lines_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


async def test_a_line_of_json_has_time_level_process_trace_and_what_was_given(node: TestNode, tmp_path: Path):
    async def work() -> None:
        register("worker", self_())
        set_trace("T7")
        ours.warning("it rains %d mm", 5, extra={"room": "garden"})

    with logging_to(LogSettings(format="json", file="node.log"), tmp_path, REDACTOR, node):
        await node.run(work)
        ours.warning("outside")
    first, second = lines_of(tmp_path / "node.log")
    assert first.pop("time").startswith("20") and first == {
        "level": "warning",
        "logger": "planaria.tests",
        "message": "it rains 5 mm",
        "process": "worker",
        "trace_id": "T7",
        "room": "garden",
    }
    assert "process" not in second


async def test_secrets_are_masked_in_messages_fields_and_tracebacks(node: TestNode, tmp_path: Path):
    formats: tuple[Literal["json", "human"], ...] = ("json", "human")
    for form in formats:
        settings = LogSettings(format=form, file=f"{form}.log")
        with logging_to(settings, tmp_path, REDACTOR, node):
            try:
                raise ValueError(f"cannot log in with {SECRET}")
            except ValueError:
                ours.exception("it is %s", SECRET, extra={"password": "x" * 9, "used": SECRET})
        text = (tmp_path / f"{form}.log").read_text()
        assert SECRET not in text and "[secret DB_PASSWORD]" in text and "ValueError" in text


async def test_a_line_for_people_is_one_line_whatever_is_in_the_message(node: TestNode, tmp_path: Path):
    with logging_to(LogSettings(file="node.log"), tmp_path, REDACTOR, node):
        ours.warning("one\ntwo\r\nthree", extra={"room": "garden"})
    (line,) = (tmp_path / "node.log").read_text().splitlines()
    assert "warning" in line and "tests: one\\ntwo\\r\\nthree" in line and line.endswith("[room=garden]")


async def test_what_telemetry_tells_is_logged_by_its_level(node: TestNode, tmp_path: Path):
    async def work() -> None:
        turn = begin_span("turn", {"gen_ai.agent.name": "scout"}, trace_id="T1")
        with span("journal.commit"):
            pass
        try:
            with span("tool.call", {"gen_ai.tool.name": "web.fetch"}):
                raise ValueError("no such page")
        except ValueError:
            pass
        emit("telemetry.export_failed", {"planaria.count": 2})
        turn.stop()

    told: dict[str, list[str]] = {}
    levels: tuple[Literal["debug", "info", "warning"], ...] = ("debug", "info", "warning")
    for level in levels:
        settings = LogSettings(level=level, format="json", file=f"{level}.log")
        with logging_to(settings, tmp_path, REDACTOR, node):
            await node.run(work)
        found = lines_of(tmp_path / f"{level}.log") if (tmp_path / f"{level}.log").exists() else []
        told[level] = [line["message"] for line in found]
        if level == "info":
            tool = next(line for line in found if line["message"] == "tool.call")
            assert (tool["reason"], tool["error.type"]) == ("no such page", "ValueError")
            assert next(line for line in found if line["message"] == "turn")["trace_id"] == "T1"
    assert told["debug"] == ["journal.commit", "tool.call", "telemetry.export_failed", "turn"]
    assert told["info"] == ["tool.call", "telemetry.export_failed", "turn"]
    assert told["warning"] == []


class Fragile(GenServer):
    @cast
    def drop(self) -> None:
        raise ValueError("it broke")


async def test_crashes_and_restarts_are_warnings(node: TestNode, tmp_path: Path):
    with logging_to(LogSettings(format="json", file="node.log"), tmp_path, REDACTOR, node):
        await node.start(supervisor(child(Fragile, name="vase"), name="shelf"))
        stop = log_processes(node)
        Fragile.drop(node["vase"])
        await node.settle()
        stop()
        Fragile.drop(node["vase"])
        await node.settle()
    messages = [line["message"] for line in lines_of(tmp_path / "node.log")]
    assert "it broke" in messages[0] and messages[0].startswith("vase ended")
    assert messages[1:] == ["vase was started again"]


class Unspeakable:
    def __str__(self) -> str:
        raise RuntimeError("it has no words")

    __repr__ = __str__


@pytest.mark.parametrize("form", ["json", "human"])
async def test_whatever_is_logged_is_one_masked_line_that_orders_a_terminal_nothing(
    node: TestNode, tmp_path: Path, form: Literal["json", "human"]
):
    odd: list[tuple[Any, ...]] = [
        ("a file \udcff of %s", SECRET),
        ("%d mm of " + SECRET, "five"),
        (Unspeakable(),),
        ("\x1b[31mred\x1b[0m \x00\x07\x9b\x85\u2028\u202e\r\n\x0b end",),
    ]
    with logging_to(LogSettings(format=form, file="node.log"), tmp_path, REDACTOR, node):
        for message, *arguments in odd:
            ours.warning(message, *arguments)
        ours.warning("given", extra={"n": 2**80, "x": float("nan"), "level": "high", "of": Unspeakable()})
        ours.warning("under a name", extra={"password": "x" * 9, "level": "high", "file\udcff": 1})
    raw = (tmp_path / "node.log").read_bytes()
    lines = raw.decode().splitlines()  # at whatever looks like the end of a line
    assert len(lines) == len(odd) + 2 and SECRET not in raw.decode() and "x" * 9 not in raw.decode()
    assert all(line.isprintable() for line in lines)
    if form == "json":
        read = [json.loads(line) for line in lines]
        assert {line["level"] for line in read} == {"warning"} and read[-1]["level_"] == "high"
        assert read[0]["message"] == "a file \\udcff of [secret DB_PASSWORD]"
        assert read[3]["message"] == odd[3][0]


async def test_the_lines_of_a_traceback_order_a_terminal_nothing(node: TestNode, tmp_path: Path):
    with logging_to(LogSettings(file="node.log"), tmp_path, REDACTOR, node):
        try:
            raise ValueError("\x1b[31mred")
        except ValueError:
            ours.exception("it broke")
    text = (tmp_path / "node.log").read_text()
    assert "\x1b" not in text and text.endswith("ValueError: \\x1b[31mred\n")


@pytest.mark.parametrize("way", ["moved", "removed", "copied and cut"])
def test_a_file_that_is_rotated_is_written_on_in_its_place(tmp_path: Path, way: str):
    file, old = tmp_path / "node.log", tmp_path / "node.log.1"
    writer = LogWriter(partial(open_log, file), logging.Formatter(), lambda _: None, partial(was_moved, file))
    writer._write(["before"])
    match way:
        case "moved":
            file.rename(old)
        case "removed":
            file.unlink()
        case _:
            old.write_bytes(file.read_bytes())
            os.truncate(file, 0)
    writer._write(["after"])
    assert file.read_text() == "after\n" and writer.lost == 0
    assert way == "removed" or old.read_text() == "before\n"
    writer.close()


def test_a_line_that_was_cut_off_does_not_spoil_the_next(tmp_path: Path):
    file = tmp_path / "node.log"
    file.write_text('{"whole": 1}\n{"cut o')
    writer = LogWriter(partial(open_log, file), logging.Formatter(), lambda _: None)
    writer._write(["{}"])
    assert file.read_text().splitlines() == ['{"whole": 1}', '{"cut o', "{}"]
    writer.close()


def test_lines_that_a_slow_file_did_not_take_are_counted_and_said_at_the_end(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(log_writer, "CLOSING_TIME", 0.0)
    begun, go_on = threading.Event(), threading.Event()
    said: list[str] = []

    class Slow(io.StringIO):
        def write(self, text: str) -> int:
            begun.set()
            go_on.wait(10)
            return len(text)

    writer = LogWriter(Slow, logging.Formatter(), said.append)
    writer.emit(logging.makeLogRecord({"msg": "first"}))
    assert begun.wait(10)
    for _ in range(3):
        writer.emit(logging.makeLogRecord({"msg": "later"}))
    writer.close()
    assert writer.lost == 4 and "4 lines were not written before the end" in said[0]
    go_on.set()


async def test_afterwards_logging_is_as_it_was(node: TestNode, tmp_path: Path):
    root = logging.getLogger()
    before = (root.handlers[:], root.level, logging.getLogger("planaria").level)
    with logging_to(LogSettings(level="debug", file="node.log"), tmp_path, REDACTOR, node):
        assert len(root.handlers) == 1
    assert (root.handlers, root.level, logging.getLogger("planaria").level) == before
    assert node.listeners == []


async def test_the_file_is_the_owners_alone(node: TestNode, tmp_path: Path):
    with logging_to(LogSettings(file="node.log"), tmp_path, REDACTOR, node):
        ours.warning("x")
    assert stat.S_IMODE((tmp_path / "node.log").stat().st_mode) == 0o600


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
async def test_a_full_disk_hurts_nobody_is_counted_and_said_once(
    node: TestNode, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    with logging_to(LogSettings(file="/dev/full"), tmp_path, REDACTOR, node) as writer:
        for number in range(50):
            ours.warning("line %d", number)
    assert writer.lost == 50 and writer.written == 0
    assert capsys.readouterr().err.count("the log cannot be written") == 1


async def test_a_file_that_cannot_be_opened_hurts_nobody(
    node: TestNode, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    with logging_to(LogSettings(file="no/such/folder/node.log"), tmp_path, REDACTOR, node) as writer:
        ours.warning("x")
    assert writer.lost == 1 and "No such file" in capsys.readouterr().err


def test_a_file_that_works_again_is_written_again_and_says_what_was_lost():
    kept = io.StringIO()
    said: list[str] = []
    tries = 0

    def open_stream() -> Any:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise OSError(28, "No space left on device")
        return kept

    writer = LogWriter(open_stream, logging.Formatter(), said.append)
    writer._write(["lost"])
    writer._write(["kept"])
    assert kept.getvalue() == "kept\n" and writer.lost == 1
    assert "cannot be written" in said[0] and "1 lines were lost" in said[1]
    writer.close()


def test_a_record_that_cannot_be_shown_is_said_not_raised():
    kept: list[str] = []

    class Stream(io.StringIO):
        def write(self, text: str) -> int:
            kept.append(text)
            return len(text)

    writer = LogWriter(Stream, logging.Formatter(), lambda text: None)
    writer.emit(logging.makeLogRecord({"msg": "%d mm", "args": ("five",), "name": "rain"}))
    writer.close()
    assert kept == ["a log record of rain cannot be shown: %d mm\n"]


def test_more_lines_than_may_wait_are_counted(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(log_writer, "MOST_WAITING", 0)
    writer = LogWriter(io.StringIO, logging.Formatter(), lambda text: None)
    writer.emit(logging.makeLogRecord({"msg": "x"}))
    assert writer.lost == 1
    writer.close()
