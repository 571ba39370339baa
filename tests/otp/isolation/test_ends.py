"""How workers end, and that nothing outlives the node: each exit reason, limits, hogs, kill -9 on either side."""

import asyncio
import os
import resource
import signal
import time
from pathlib import Path

import pytest

from planaria.otp import (
    Crash,
    Limits,
    Node,
    ServerExited,
    Signal,
    StartFailed,
    WorkerExited,
    child,
    exit_signal,
    receive,
    sleep,
    stop,
    supervisor,
    warm_up,
)
from planaria.otp.isolation.bulk import SHARED_FROM
from planaria.otp.isolation.channel import MAGIC
from planaria.otp.isolation.errors import WorkerBroken
from planaria.otp.isolation.home import WINDOW
from planaria.otp.isolation.limits import Worker
from planaria.otp.isolation.pool import worker_pool
from planaria.otp.isolation.proxy import worker_of
from tests.otp.isolation.residents import Boom, Careful, Desk
from tests.otp.isolation.support import alive, end_of, os_pid_of, start

pytestmark = [pytest.mark.subprocess, pytest.mark.asyncio(loop_scope="module")]


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (signal.SIGKILL, "killed"),
        (signal.SIGSEGV, Signal(11)),
        (signal.SIGABRT, Signal(6)),
        (signal.SIGTERM, Signal(15)),
        (signal.SIGXCPU, "cpu_limit"),
    ],
)
async def test_a_signal_of_the_system_is_the_exit_reason(home, number, reason):
    desk = await start(home, Desk)
    assert await end_of(home, desk, lambda: Desk.die_by(desk, number)) == reason


async def test_a_bad_memory_access_in_c_is_told_with_its_line_on_stderr(home):
    told: list[str] = []
    worker_pool(home, output=lambda line: told.append(line.text))
    desk = await start(home, Desk)
    reason = await end_of(home, desk, lambda: Desk.bad_access(desk))
    assert reason == Signal(signal.SIGSEGV)
    assert str(reason) == "signal 11 (SIGSEGV)"
    assert any("bad_access" in line for line in told)


async def test_leaving_by_os_exit_is_told_with_its_status(home):
    desk = await start(home, Desk)
    assert await end_of(home, desk, lambda: Desk.leave(desk, 3)) == WorkerExited(3)


async def test_callers_and_others_hear_the_same_reason(home):
    desk = await start(home, Desk)
    with pytest.raises(ServerExited) as failed:
        await Desk.die_by(desk, signal.SIGKILL)
    assert failed.value.why == "killed" == desk.reason


async def test_a_kill_ends_an_endless_loop_and_the_nodes_timers_do_not_notice(home):
    desk = await start(home, Desk)
    pid = os_pid_of(desk)
    spinning = asyncio.ensure_future(end_of(home, desk, lambda: Desk.spin(desk)))
    for _ in range(20):
        await asyncio.sleep(0.005)  # the node's loop goes on; at home it would stand still for ever
    assert alive(pid)

    async def work() -> None:
        exit_signal(desk, "kill")

    await home.run(work)
    assert desk.reason == "killed"
    assert await spinning == "killed"
    while alive(pid):
        await asyncio.sleep(0.002)


async def test_a_shutdown_ends_an_endless_loop_when_its_time_is_up(home):
    root = await home.start(
        supervisor(child(Careful, name="careful", isolation="worker", shutdown=0.05), name="root")
    )
    careful = home["careful"]
    pid = os_pid_of(careful)
    Careful.hold_up(careful, 60)
    gone = home.wait_exit(root)
    home.spawn(stop_it, root)
    assert await gone == "shutdown"
    assert careful.reason == "killed"
    while alive(pid):
        await asyncio.sleep(0.002)


async def stop_it(root: object) -> None:
    await stop(root, "shutdown")  # type: ignore[arg-type]


async def test_what_a_worker_has_started_is_killed_with_it(home):
    desk = await start(home, Desk)
    command = await Desk.spawn_command(desk)
    assert alive(command)
    await end_of(home, desk, lambda: Desk.die_by(desk, signal.SIGKILL))
    while alive(command):
        await asyncio.sleep(0.002)


# --- limits -------------------------------------------------------------------------------------------------------


async def test_a_memory_hog_ends_with_out_of_memory(home):
    desk = await start(home, Desk, limits=Limits(memory="128 MB"))
    assert await Desk.add(desk) == 1
    assert await end_of(home, desk, lambda: Desk.eat(desk)) == "out_of_memory"


async def test_a_processor_hog_ends_with_cpu_limit(home):
    desk = await start(home, Desk, limits=Limits(cpu=1))
    assert await end_of(home, desk, lambda: Desk.spin.within(20)(desk)) == "cpu_limit"


async def test_open_files_are_bounded(home):
    desk = await start(home, Desk, limits=Limits(files=64))
    assert await Desk.files(desk) < 64
    assert await Desk.add(desk) == 1  # running out is an OSError, not the end


# --- environment --------------------------------------------------------------------------------------------------


async def test_secrets_of_the_node_stay_at_home_unless_handed_on(home, monkeypatch):
    monkeypatch.setenv("API_TOKEN", "secret")
    plain = await Desk.environment(await start(home, Desk))
    assert "API_TOKEN" not in plain
    assert plain["PATH"] == os.environ["PATH"]
    added = await Desk.environment(await start(home, Desk, isolation=Worker(env={"MODE": "x"})))
    assert added["MODE"] == "x"
    assert "API_TOKEN" not in added
    all_of_it = await Desk.environment(await start(home, Desk, isolation=Worker(env="inherit")))
    assert all_of_it["API_TOKEN"] == "secret"
    os_pid = os_pid_of(await start(home, Desk))
    assert b"API_TOKEN" not in Path(f"/proc/{os_pid}/environ").read_bytes()


# --- broken workers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x00" * 100,
        b"GET / HTTP/1.1\r\n\r\n" * 10,
        MAGIC + bytes([4, 0, 0, 0]) + (8).to_bytes(8, "little") + bytes(8) + b"garbage!",
        MAGIC + bytes([9, 0, 0, 0]) + bytes(16),
        MAGIC + bytes([4, 0, 0, 0]) + (1 << 60).to_bytes(8, "little") + bytes(8),
        # cos\nsystem: a pickle that would run a command
        MAGIC + bytes([4, 0, 0, 0]) + (35).to_bytes(8, "little") + bytes(8)
        + b"cos\nsystem\n(S'touch /tmp/owned'\ntR.." [:35],
    ],
)  # fmt: skip
async def test_a_worker_that_writes_garbage_is_killed_and_hurts_nobody(home, garbage, caplog):
    desk = await start(home, Desk)
    pid = os_pid_of(desk)
    gone = home.wait_exit(desk)
    call = asyncio.ensure_future(end_of(home, desk, lambda: Desk.write_garbage(desk, garbage)))
    if b"system" in garbage:  # readable, but it names a function: the word is refused, the worker lives
        while not any("os.system" in r.getMessage() for r in caplog.records):
            await asyncio.sleep(0.002)
        home.spawn(kill, desk)
        assert await gone == "killed"
    else:
        reason = await gone
        assert isinstance(reason, Crash) and isinstance(reason.error, WorkerBroken)
    await call
    assert not os.path.exists("/tmp/owned")
    while alive(pid):
        await asyncio.sleep(0.002)
    assert await Desk.add(await start(home, Desk)) == 1


async def test_a_pickle_of_a_worker_cannot_change_a_process_of_home(home):
    desk = await start(home, Desk)
    victim = home.spawn(waits_for_ever)
    name = f"cplanaria.otp.isolation.codec\n_a_process\n(I{victim.id}\nX\x01\x00\x00\x00xNtR".encode()
    state = b"(N}X\x05\x00\x00\x00labelX\x05\x00\x00\x00ownedst"
    data = b"(X\x05\x00\x00\x00event" + name + state + b"bt."
    frame = MAGIC + bytes([4, 0, 0, 0]) + len(data).to_bytes(8, "little") + bytes(8) + data
    reason = await end_of(home, desk, lambda: Desk.write_garbage(desk, frame))
    assert "no pickle changes a process" in str(reason)
    assert victim.label == "waits_for_ever"


async def waits_for_ever() -> None:
    await receive()


async def kill(process: object) -> None:
    exit_signal(process, "kill")  # type: ignore[arg-type]


async def test_a_worker_that_does_not_read_holds_up_neither_the_node_nor_its_memory(home):
    desk = await start(home, Desk)
    Desk.hold_up(desk, 60)
    payload = "x" * 10_000
    for _ in range(2000):
        Desk.tell(desk, desk, payload)
    for _ in range(50):
        await asyncio.sleep(0)
    # What does not fit into the window waits in the mailbox at home, where it is seen.
    assert home.info(desk).queue_len > 1000
    worker = worker_of(desk)
    assert worker is not None and worker.bridge is not None
    assert worker.bridge.channel.waiting < 4 << 20
    home.spawn(kill, desk)
    assert await home.wait_exit(desk) == "killed"


async def test_messages_that_could_not_be_sent_take_no_room(home):
    desk = await start(home, Desk)
    for _ in range(WINDOW + 1):
        home.send(desk, lambda: 1)
    assert await Desk.add(desk) == 1


async def test_a_worker_that_does_not_read_costs_few_descriptors(home):
    desk = await start(home, Desk)
    Desk.hold_up(desk, 60)
    payload = bytes(SHARED_FROM)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(WINDOW):
        home.send(desk, payload)
    for _ in range(50):
        await asyncio.sleep(0)
    assert len(os.listdir("/proc/self/fd")) - before < 64
    home.spawn(kill, desk)
    assert await home.wait_exit(desk) == "killed"


async def test_a_slow_worker_gets_every_message_once_and_in_order(home):
    desk = await start(home, Desk)
    for number in range(3000):
        home.send(desk, number)
    while len(seen := await Desk.everything(desk)) < 3000:
        await sleep(0.005)
    assert seen == list(range(3000))


async def test_a_crash_in_a_thread_of_the_pool_is_a_new_worker(home):
    pool = worker_pool(home)
    template = pool.template_pid
    desk = await start(home, Desk)
    template = pool.template_pid
    assert template is not None
    os.kill(template, signal.SIGKILL)  # its workers die with it
    assert await home.wait_exit(desk) == "killed"
    again = await start(home, Desk)
    assert await Desk.add(again) == 1
    assert pool.template_pid != template


async def test_a_worker_that_was_killed_while_it_waited_is_not_handed_out(home):
    pool = await warm_up(home, 2)
    victims = [worker.os_pid for worker in pool._idle]
    assert all(victims)
    for worker in pool._idle:
        os.kill(worker.os_pid, signal.SIGKILL)
        while not worker.gone():
            time.sleep(0.001)  # blocks: the node must not hear of it before it starts one
    desk = await start(home, Desk)
    assert os_pid_of(desk) not in victims
    assert pool.template_pid is not None
    os.kill(pool.template_pid, signal.SIGKILL)
    while alive(pool.template_pid):
        time.sleep(0.001)
    assert await Desk.add(await start(home, Desk)) == 1


async def test_what_a_worker_has_started_does_not_outlive_the_template(home):
    desk = await start(home, Desk)
    command = await Desk.spawn_command(desk)
    template = worker_pool(home).template_pid
    assert template is not None
    os.kill(template, signal.SIGKILL)
    assert await home.wait_exit(desk) == "killed"
    while alive(command):
        await asyncio.sleep(0.002)


@pytest.mark.parametrize("size", [100, 20 << 20])
async def test_the_last_answer_arrives_before_the_end_however_large_it_is(home, size):
    desk = await start(home, Desk)
    gone = home.wait_exit(desk)
    assert len(await Desk.last_words.within(60)(desk, size)) == size
    assert await gone == "said"


async def test_a_reason_that_is_not_let_in_arrives_as_text(home):
    desk = await start(home, Desk)
    child = await Desk.ends_by_handle(desk)
    over = home.wait_exit(child)
    home.send(child, "end")
    assert "Handle object" in str(await over)
    over = home.wait_exit(other := await start(home, Desk))
    Desk.signal_handle(desk, other)
    assert "Handle object" in str(await over)
    over = home.wait_exit(desk)
    Desk.end_by_handle(desk)
    assert "Handle object" in str(await over)


async def test_a_listener_to_output_that_raises_hurts_nobody(home, caplog):
    def listen(line: object) -> None:
        raise BrokenPipeError("nobody reads")

    desk = await start(home, Desk)
    worker = worker_of(desk)
    assert worker is not None
    worker_pool(home, output=listen)
    Desk.say(desk, "hello")
    assert await Desk.add(desk) == 1
    worker._out.rest = b"half a line"
    assert await end_of(home, desk, lambda: Desk.die_by(desk, signal.SIGKILL)) == "killed"
    assert any("listens to the output" in record.getMessage() for record in caplog.records)


async def test_commands_of_a_worker_do_not_hold_its_streams(home):
    assert "socket" not in await Desk.streams_of_commands(await start(home, Desk))


async def test_a_crash_of_the_server_ends_its_worker_too(home):
    desk = await start(home, Desk)
    pid = os_pid_of(desk)
    reason = await end_of(home, desk, lambda: Desk.crash(desk))
    assert isinstance(reason, Crash) and isinstance(reason.error, Boom)
    while alive(pid):
        await asyncio.sleep(0.002)


async def test_a_node_without_workers_has_no_template():
    async with Node("plain") as node:
        assert node.whereis("worker_pool") is None


async def test_a_start_without_descriptors_left_is_refused_and_leaks_none(home):
    worker_pool(home, warm=0)
    await end_of(home, await start(home, Desk), lambda: ended_by_kill(home))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = max(int(fd) for fd in os.listdir("/proc/self/fd"))
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (used + 4, hard))
        with pytest.raises(StartFailed, match="Too many open files"):
            await start_many(home, 100)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert await Desk.add(await start(home, Desk)) == 1
    worker_pool(home, warm=2)


async def ended_by_kill(home: Node) -> None:
    for process in home.processes():
        if worker_of(process) is not None:
            await home.run(kill, process)


async def start_many(home: Node, count: int) -> None:
    for _ in range(count):
        await start(home, Desk)
