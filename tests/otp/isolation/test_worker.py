"""A server in a worker behaves as at home: calls, casts, errors, names, state."""

import logging
import os
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from planaria.otp import (
    CallError,
    CallFailed,
    CallTimeout,
    CodeLoaded,
    CodeRolledBack,
    Crash,
    Down,
    ExitSignal,
    MessageDropped,
    Node,
    ProcessExited,
    ProcessStarted,
    ServerExited,
    Shutdown,
    StartFailed,
    broadcast,
    call,
    child,
    monitor,
    node_,
    receive,
    register,
    self_,
    send,
    set_trace,
    sleep,
    spawn,
    spawn_link,
    stop,
    supervisor,
    sys,
    trap_exits,
    warm_up,
    whereis,
)
from planaria.otp.isolation.errors import NotAdmitted, RemoteError, Unsendable
from planaria.otp.isolation.limits import Worker
from planaria.otp.isolation.looking import inspect_worker
from planaria.otp.isolation.names import POOL
from planaria.otp.isolation.output import OutputLine
from planaria.otp.isolation.pool import worker_pool
from planaria.otp.isolation.proxy import spawn_in_worker, worker_of
from planaria.otp.isolation.residence import SPAN
from tests.otp.isolation.residents import Boom, Careful, Desk, Handle, Lamp, Point, Silent, Strange, adder
from tests.otp.isolation.support import alive, end_of, os_pid_of, start

pytestmark = [pytest.mark.subprocess, pytest.mark.asyncio(loop_scope="module")]


async def test_calls_casts_and_deferred_replies_reach_a_server_in_an_os_process_of_its_own(home):
    desk = await start(home, Desk, 10)

    async def work() -> None:
        assert await Desk.add(desk, by=5) == 15
        assert await Desk.add_slowly(desk) == 16
        assert await Desk.os_pid(desk) == os_pid_of(desk) != os.getpid()
        assert await Desk.echo(desk, {"point": Point(1, 2)}) == {"point": Point(1, 2)}
        spawn(answer_soon, desk)
        assert await Desk.later(desk) == "at last"

    await home.run(work)
    assert await Desk.add(desk) == 17  # from code outside any process


async def answer_soon(desk: Any) -> None:
    Desk.answer(desk, "at last")


async def test_the_pid_inside_is_the_pid_at_home(home):
    desk = await start(home, Desk)

    async def work() -> None:
        pid, text, caller = await Desk.who(desk)
        assert pid is desk
        assert text == str(desk)
        assert caller is self_()

    await home.run(work)


async def test_the_right_to_answer_can_be_handed_over_to_home(home):
    desk = await start(home, Desk)

    async def work() -> None:
        helper = spawn(answer_for_others)
        assert await Desk.hand_over(desk, helper) == "answered at home"

    await home.run(work)


async def answer_for_others() -> None:
    (await receive()).reply("answered at home")


async def test_errors_come_with_their_class_their_text_and_their_place(home):
    desk = await start(home, Desk)
    with pytest.raises(Strange) as refused:
        await Desk.refused(desk)
    assert (refused.value.code, str(refused.value)) == (7, "no (7)")
    with pytest.raises(CallError, match="no handler 'missing'"):
        await Other.missing(desk)
    assert await Desk.add(desk) == 1


class Other(Desk):
    """Has a handler the server does not have."""

    @call
    def missing(self) -> None: ...


async def test_a_crash_gives_the_same_reason_as_at_home(home):
    desk = await start(home, Desk)
    gone = home.wait_exit(desk)
    with pytest.raises(ServerExited) as failed:
        await Desk.crash(desk)
    reason = await gone
    assert isinstance(reason, Crash) and isinstance(reason.error, Boom)
    assert reason.error.args == ("in the worker", 3)
    assert failed.value.why == reason
    assert reason.where is not None and "residents.py:" in reason.where
    assert 'raise Boom("in the worker", 3)' in reason.text()


async def test_an_error_whose_class_home_does_not_know_keeps_its_name_and_text(home):
    desk = await start(home, Desk)
    with pytest.raises(RemoteError, match=r"residents\.make_error.<locals>.Local: 7 apples"):
        await Desk.refused_locally(desk)


async def test_a_call_that_fails_inside_is_the_servers_end(home):
    desk = await start(home, Desk)
    with pytest.raises(ServerExited) as failed:
        await Desk.ask(desk, "nobody", 1)
    assert failed.value.why == CallFailed("noproc")


@pytest.mark.parametrize(
    ("how", "reason"),
    [("refuse", "not today"), ("raise", Boom), ("ignore", None)],
)
async def test_init_can_refuse_raise_and_decline(home, how, reason):
    spec = child(Desk, 0, how, name="desk", isolation="worker")
    if how == "ignore":
        assert await home.run(spec.start_child) is None
    else:
        with pytest.raises(StartFailed) as failed:
            await home.run(spec.start_child)
        found = failed.value.reason
        assert isinstance(found.error, reason) if isinstance(found, Crash) else found == reason
    assert home.whereis("desk") is None


async def test_a_start_that_takes_too_long_is_killed(home):
    spec = child(Desk, 0, "hang", isolation="worker", start_timeout=0.3)
    with pytest.raises(StartFailed) as failed:
        await home.run(spec.start_child)
    assert failed.value.reason == "timeout"


async def test_a_call_has_its_deadline_and_the_server_goes_on(home):
    desk = await start(home, Desk)
    Desk.hold_up(desk, 0.2)
    with pytest.raises(CallTimeout):
        await Desk.add.within(0.05)(desk)
    assert await Desk.add(desk) == 2  # the late one was handled all the same


async def test_stop_runs_terminate_and_tells_the_reason(home):
    async def work() -> None:
        desk = await start_here(Careful, self_())
        await stop(desk, Shutdown("done"))
        assert await receive() == ("terminated", Shutdown("done"))

    await home.run(work)


async def start_here(cls: Any, *args: Any, **options: Any) -> Any:
    return await child(cls, *args, isolation="worker", **options).start_child()


async def test_a_server_asked_to_end_by_itself_ends_with_its_reason(home):
    desk = await start(home, Desk)
    pid = os_pid_of(desk)
    assert await end_of(home, desk, lambda: ended(Desk.end(desk, "enough"))) == "enough"
    await gone(pid)


async def ended(_: object) -> None: ...


async def gone(os_pid: int) -> None:
    while alive(os_pid):
        await sleep(0.002)


async def test_trace_and_cause_go_there_and_back(home):
    desk = await start(home, Desk)

    async def work() -> None:
        set_trace("run-7")
        Desk.tell(desk, self_(), "hello")
        await receive()
        envelope = self_().current
        assert envelope is not None
        assert envelope[4] == "run-7"
        assert envelope[2] is desk
        assert envelope[3] > SPAN  # numbered over there
        assert 0 < envelope[5] < SPAN  # caused by the cast, numbered here

    await home.run(work)


async def test_timers_of_the_server_run_in_its_worker(home):
    desk = await start(home, Desk)
    await Desk.remind(desk, 0.01)
    while "time" not in await Desk.everything(desk):
        await sleep(0.005)


async def test_system_requests_are_answered_by_the_server_over_there(home):
    desk = await start(home, Desk, 3)
    assert (await sys.get_state(desk))["count"] == 3
    await sys.suspend(desk)
    with pytest.raises(CallTimeout):
        await Desk.add.within(0.05)(desk)
    assert (await sys.get_status(desk)).suspended
    await sys.resume(desk)
    assert await Desk.add(desk) == 5


async def test_a_plain_function_receives_and_traps_exits_in_its_worker(home):
    async def work() -> None:
        trap_exits()
        pid = spawn_in_worker(adder, 10, link=True)
        send(pid, (self_(), 5))
        assert await receive(int) == 15
        home.scheduler  # noqa: B018
        send(pid, (self_(), 1))
        assert await receive(int) == 16
        assert pid.trap_exit
        node_().send(pid, ExitSignal(self_(), "so"))
        assert await receive(ExitSignal) == ExitSignal(pid, ("asked to", "so"))

    await home.run(work)


# --- names ------------------------------------------------------------------------------------------------------


async def test_names_of_home_are_known_in_the_worker_and_the_other_way_round(home):
    async def work() -> None:
        desk = await start_here(Desk, name="desk")
        other = await child(Desk, 100, name="other").start_child()
        assert whereis("desk") is desk
        assert await Desk.find("desk", "other") is other
        assert await Desk.find("desk", "desk") is desk
        assert await Desk.ask("desk", "other", 5) == 105
        register("late")
        assert await Desk.find("desk", "late") is self_()
        Desk.tell("desk", "late", "by name")
        assert await receive() == "by name"

    await home.run(work)
    assert home.whereis("desk") is not None


async def test_a_server_can_take_a_name_from_inside(home):
    desk = await start(home, Desk)
    await Desk.be_called(desk, "clerk")
    assert home["clerk"] is desk
    gone = home.wait_exit(desk)
    Desk.end(desk)
    await gone
    assert home.whereis("clerk") is None


async def test_a_topic_of_home_is_heard_in_the_worker(home):
    desk = await start(home, Desk)
    await Desk.listen(desk, "weather")

    async def work() -> None:
        assert broadcast("weather", "rain") == 1

    await home.run(work)
    assert await Desk.everything(desk) == ["rain"]


async def test_two_workers_talk_through_home(home):
    one, two = await start(home, Desk), await start(home, Desk, 50)
    assert await Desk.ask(one, two, 1) == 51


# --- links and monitors -----------------------------------------------------------------------------------------


async def waits() -> None:
    while True:
        if await receive() == "crash":
            raise Boom("at home")


async def test_a_link_made_at_home_carries_exits_to_the_worker_and_back(home):
    async def work() -> None:
        trap_exits()
        desk = await child(Desk, isolation="worker").start()
        assert desk is not None
        Desk.end(desk, "over")
        assert await receive() == ExitSignal(desk, "over")

    await home.run(work)


async def test_a_link_made_in_the_worker_ends_a_process_at_home_even_when_the_worker_is_killed(home):
    desk = await start(home, Desk)
    peer = home.spawn(waits)
    await Desk.tie(desk, peer)
    gone = home.wait_exit(peer)
    os.kill(os_pid_of(desk), 9)
    assert await gone == "killed"


async def test_a_link_made_in_the_worker_carries_the_end_of_home_there(home):
    desk = await start(home, Desk)
    await Desk.trap(desk)
    peer = home.spawn(waits)
    await Desk.tie(desk, peer)
    home.send(peer, "crash")
    while not (seen := await Desk.everything(desk)):
        await sleep(0.002)
    [(kind, sender, reason)] = seen
    assert (kind, sender) == ("exit", peer)
    assert isinstance(reason, Crash) and isinstance(reason.error, Boom)


async def test_an_untrapped_exit_of_a_linked_process_ends_the_worker_at_once(home):
    desk = await start(home, Desk)
    peer = home.spawn(waits)
    await Desk.tie(desk, peer)
    pid = os_pid_of(desk)
    Desk.spin  # noqa: B018
    reason = await end_of(home, desk, lambda: ended(home.send(peer, "crash")))
    assert isinstance(reason, Crash)
    await gone(pid)


async def test_an_unlinked_process_is_left_alone(home):
    desk = await start(home, Desk)
    peer = home.spawn(waits)
    await Desk.tie(desk, peer)
    await Desk.untie(desk, peer)
    await end_of(home, desk, lambda: ended(Desk.end(desk, "over")))
    assert peer.alive


async def test_monitors_work_both_ways(home):
    desk = await start(home, Desk)
    peer = home.spawn(waits)

    async def work() -> None:
        await Desk.watch(desk, peer)
        send(peer, "crash")
        while not (seen := await Desk.everything(desk)):
            await sleep(0.002)
        assert seen[0][:2] == ("down", peer)
        ref = monitor(desk)
        Desk.end(desk, "over")
        assert await receive(Down) == Down(ref, desk, "over")

    await home.run(work)


async def test_a_signal_from_the_worker_ends_a_process_at_home(home):
    desk = await start(home, Desk)
    one, two = home.spawn(waits), home.spawn(waits)
    assert await end_of(home, one, lambda: ended(Desk.signal(desk, one, "go"))) == "go"
    assert await end_of(home, two, lambda: ended(Desk.signal(desk, two, "kill"))) == "killed"


# --- processes of the worker's own ------------------------------------------------------------------------------


async def test_a_process_the_worker_started_is_a_pid_at_home(home):
    desk = await start(home, Desk)
    pid = await Desk.child(desk)

    async def work() -> None:
        ref = monitor(pid)
        send(pid, self_())
        assert await receive(tuple) == ("here", pid)
        assert home.find(str(pid)) is pid
        assert pid.parent is desk
        send(pid, "crash")
        down = await receive(Down)
        assert down.ref is ref
        assert isinstance(down.reason, Crash)

    await home.run(work)
    assert await Desk.add(desk) == 1


async def test_it_can_be_killed_and_it_ends_with_its_worker(home):
    desk = await start(home, Desk)
    one, two = await Desk.child(desk), await Desk.child(desk)

    async def work() -> None:
        spawn_link(waits)
        ref = monitor(two)
        node_().send(two, "hello")
        os.kill(os_pid_of(desk), 9)
        assert await receive(Down) == Down(ref, two, "killed")

    assert one.alive
    await home.run(work)
    assert not one.alive


# --- supervision ------------------------------------------------------------------------------------------------


async def test_a_supervisor_puts_a_new_worker_in_the_place_of_one_that_was_killed(home):
    root = await home.start(supervisor(child(Desk, 5, name="desk", isolation="worker"), name="root"))
    first = home["desk"]
    pid = os_pid_of(first)
    await Desk.add(first)
    gone_first = home.wait_exit(first)
    os.kill(pid, 9)
    assert await gone_first == "killed"
    while (second := home.whereis("desk")) is None or worker_of(second) is None:
        await sleep(0.002)
    assert await Desk.add(second) == 6  # a heap of its own: the first one's count is gone
    assert os_pid_of(second) != pid
    assert root.alive


async def test_a_supervisor_asks_first_and_kills_when_the_time_is_up(home):
    async def work() -> None:
        trap_exits()
        spec = supervisor(
            child(Careful, self_(), name="polite", isolation="worker"),
            child(Careful, self_(), 60.0, name="slow", isolation="worker", shutdown=0.1),
            child(Careful, self_(), name="brutal", isolation="worker", shutdown="brutal_kill"),
        )
        root = await spec.start_child()
        assert root is not None
        polite, slow, brutal = whereis("polite"), whereis("slow"), whereis("brutal")
        assert polite is not None and slow is not None and brutal is not None
        await stop(root, "shutdown")
        assert [polite.reason, slow.reason, brutal.reason] == ["shutdown", "killed", "killed"]
        assert await receive(tuple) == ("terminated", "shutdown")

    await home.run(work)


async def test_a_root_in_a_worker_is_told_to_terminate_when_the_node_stops():
    heard: list[Any] = []

    async with Node("home") as node:
        port = node.spawn(keep, heard)
        root = await node.start(child(Careful, port, isolation="worker"))
        pid = os_pid_of(root)
        await node.stop()
        assert root.reason == "shutdown"
        assert not alive(pid)


async def keep(heard: list[Any]) -> None:
    while True:
        heard.append(await receive())


# --- looking ----------------------------------------------------------------------------------------------------


async def test_a_worker_that_computes_answers_questions(home):
    desk = await start(home, Desk, 42)
    Desk.hold_up(desk, 600)
    home.send(desk, "waits")
    while not (info := await inspect_worker(desk, 60)).queued or info.stack[-1].function != "hold_up":
        await sleep(0.002)
    assert info.os_pid == os_pid_of(desk)
    assert info.status == "running"
    assert info.current == "hold_up(600)"
    assert info.queued == ["'waits'"]
    assert info.state["count"] == "42"
    assert 0 < info.memory < 1 << 30
    assert home.info(desk).kind == "Desk"


async def test_a_late_answer_is_not_taken_for_the_next_one(home):
    desk = await start(home, Desk)
    Desk.keep_interpreter(desk, 23)
    late = False
    while not late:
        try:
            await inspect_worker(desk, 0.01)
        except TimeoutError:
            late = True
    await Desk.add.within(60)(desk)
    assert (await inspect_worker(desk, 60)).current is None


async def test_what_the_kernel_tells_of_a_worker_is_heard_at_home(home):
    told: list[Any] = []
    stop_listening = home.subscribe_events(told.append)
    process = await start(home, Silent)
    home.send(process, "unexpected")
    while not any(isinstance(event, MessageDropped) for event in told):
        await sleep(0.002)
    home.send(process, "end")
    await home.wait_exit(process)
    stop_listening()
    mine = [type(event) for event in told if getattr(event, "process", None) is process]
    assert mine == [ProcessStarted, MessageDropped, ProcessExited]


async def test_the_system_shows_a_worker_by_the_label_of_its_process(home):
    desk = await start(home, Desk, label="the front desk")
    with open(f"/proc/{os_pid_of(desk)}/comm") as file:
        assert file.read() == "the front desk\n"


async def test_the_pool_renews_the_workers_that_wait(home):
    pool = await warm_up(home, 2)
    before = {worker.os_pid for worker in pool._idle}
    pool.renew()
    await warm_up(home, 2)
    assert not before & {worker.os_pid for worker in pool._idle}


@pytest.mark.parametrize("event", [CodeLoaded(("shop",), 2, 0), CodeRolledBack(("shop",), 1, 0, "by hand")])
async def test_workers_that_wait_are_replaced_when_code_has_changed(home, event):
    pool = await warm_up(home, 2)
    before = {worker.os_pid for worker in pool._idle}
    home.emit(event)
    await warm_up(home, 2)
    assert not before & {worker.os_pid for worker in pool._idle}


async def test_a_state_machine_runs_in_a_worker(home):
    lamp = await start(home, Lamp)
    assert [await Lamp.press(lamp) for _ in range(3)] == ["on", "off", "on"]
    assert home.state(lamp) == {"isolation": "worker", "os_pid": os_pid_of(lamp)}


async def test_the_pool_is_a_process_of_the_node_and_ends_with_it():
    async with Node("home") as node:
        pool = worker_pool(node, warm=1)
        assert node[POOL].body is pool
        await start(node, Desk)
        template = pool.template_pid
        assert template is not None and alive(template)
        assert pool.busy == 1
    assert not alive(template)
    with pytest.raises(ValueError, match="0 or more"):
        worker_pool(node, warm=-1)


# --- what is sent -------------------------------------------------------------------------------------------------


unpicklable: Any = threading.Lock()


@pytest.mark.parametrize(
    ("argument", "path"),
    [
        ({"by": [1, lambda: 1]}, "arguments[0]['by'][1]"),
        (Point(1, unpicklable), "arguments[0].y"),
    ],
)
async def test_what_cannot_be_pickled_is_named_at_the_sender_and_breaks_nothing_else(home, argument, path):
    desk = await start(home, Desk)
    with pytest.raises(Unsendable) as refused:
        await Desk.echo(desk, argument)
    assert refused.value.path == path
    assert "a call of echo() of Desk" in str(refused.value)
    assert await Desk.add(desk) == 1


async def test_a_cast_or_message_that_cannot_be_pickled_is_told_in_the_log(home, caplog):
    desk = await start(home, Desk)
    home.send(desk, {"fn": lambda: 1})
    Desk.tell(desk, desk, lambda: 1)
    assert await Desk.add(desk) == 1
    first, second = (record.getMessage() for record in caplog.records if record.name == "planaria.worker")
    assert "message['fn']" in first and "code outside" in first
    assert "a cast tell() to Desk" in second and "arguments[1]" in second


async def test_an_answer_that_is_no_record_is_refused_at_home_unless_listed(home):
    desk = await start(home, Desk)
    with pytest.raises(NotAdmitted, match=r"Worker\(admits=\(Handle,\)\)"):
        await Desk.echo(desk, Handle(1))
    assert await Desk.add(desk) == 1
    listed = await start(home, Desk, isolation=Worker(admits=(Handle,)))
    assert await Desk.echo(listed, Handle(1)) == Handle(1)


# --- output -------------------------------------------------------------------------------------------------------


async def test_output_and_log_come_home_with_the_name_of_the_process(home, caplog):
    lines: list[OutputLine] = []
    worker_pool(home, output=lines.append)
    desk = await start(home, Desk, label="desk one")
    Desk.say(desk, "hello")
    await Desk.add(desk)
    while len(lines) < 2:
        await sleep(0.002)
    assert {(line.stream, line.text) for line in lines} == {
        ("stdout", "hello"),
        ("stderr", "hello on stderr"),
    }
    assert all(line.process is desk and line.os_pid == os_pid_of(desk) for line in lines)
    [record] = [record for record in caplog.records if record.name == "tests.desk"]
    assert record.getMessage() == f"[desk one {desk!s}] hello in the log"
    assert (record.levelno, record.process) == (logging.WARNING, os_pid_of(desk))


type Work = Callable[[], Awaitable[None]]
