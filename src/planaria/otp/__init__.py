"""The kernel: Erlang/OTP's processes and supervision on one asyncio event loop. Standard library only.

```python
from planaria.otp import GenServer, Node, call, child, supervisor
```

A name is imported from where it is defined when it is first used, so that a program pays for what it uses.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from planaria.otp.flow.consumer import Consumer
    from planaria.otp.flow.dispatcher import Dispatcher
    from planaria.otp.flow.dispatchers.broadcast import BroadcastDispatcher
    from planaria.otp.flow.dispatchers.demand import DemandDispatcher
    from planaria.otp.flow.dispatchers.partition import PartitionDispatcher
    from planaria.otp.flow.iterable import IterableProducer
    from planaria.otp.flow.producer import Producer
    from planaria.otp.flow.producer_consumer import ProducerConsumer
    from planaria.otp.flow.rate_limiter import RateLimiter
    from planaria.otp.flow.stream import Stream, events_of
    from planaria.otp.flow.subscription import Subscription
    from planaria.otp.io.blocking import post_blocking, run_blocking
    from planaria.otp.io.one_thread import OneThread
    from planaria.otp.isolation.bulk import shared_buffer
    from planaria.otp.isolation.choice import Isolation
    from planaria.otp.isolation.errors import NotAdmitted, RemoteError, Unsendable
    from planaria.otp.isolation.limits import Limits, Worker
    from planaria.otp.isolation.looking import WorkerInfo, inspect_worker
    from planaria.otp.isolation.pool import warm_up, worker_pool
    from planaria.otp.isolation.proxy import spawn_in_worker
    from planaria.otp.isolation.run import run_in_worker
    from planaria.otp.kernel.alias import Alias, AliasMonitor, alias, unalias
    from planaria.otp.kernel.ambient import (
        Server,
        cancel_timer,
        demonitor,
        exit_signal,
        hang,
        join,
        leave,
        link,
        members,
        monitor,
        node_,
        now,
        read_timer,
        receive,
        register,
        self_,
        send,
        send_after,
        set_trace,
        sleep,
        spawn,
        spawn_link,
        spawn_monitor,
        start_timer,
        timeout,
        trap_exits,
        unlink,
        unregister,
        wait_down,
        wall_time,
        whereis,
    )
    from planaria.otp.kernel.bounded import (
        Bound,
        Letter,
        MailboxInfo,
        bounded,
    )
    from planaria.otp.kernel.clock import Clock, SystemClock
    from planaria.otp.kernel.compiled import COMPILED
    from planaria.otp.kernel.event import (
        ChildRestarted,
        CleanupFailed,
        CodeLoaded,
        CodeRefused,
        CodeRolledBack,
        EventsDropped,
        KernelEvent,
        MessageChanged,
        MessageDropped,
        MessageShed,
        OldCodeKilled,
        ProcessExited,
        ProcessStalled,
        ProcessStarted,
        ProcessUpgraded,
        RestartsExceeded,
    )
    from planaria.otp.kernel.introspection import Frame, MessageView, ProcessInfo, TreeNode
    from planaria.otp.kernel.message import Down, ExitSignal, Ref, TaskDone, TimerFired
    from planaria.otp.kernel.node import Node, Port
    from planaria.otp.kernel.process import Pid, Process
    from planaria.otp.kernel.pubsub import (
        broadcast,
        broadcast_from,
        subscribe,
        subscribers,
        topics,
        unsubscribe,
    )
    from planaria.otp.kernel.reason import (
        AlreadyStarted,
        CallError,
        CallFailed,
        CallTimeout,
        ChildError,
        Crash,
        Exit,
        FailedToStartChild,
        Ignore,
        Killed,
        MailboxFull,
        NoProcess,
        NotAProcess,
        ServerExited,
        Shutdown,
        Signal,
        Stalled,
        StartFailed,
        StartRaised,
        Stop,
        TaskFailed,
        WorkerExited,
        is_orderly,
        reason_text,
        root_cause,
    )
    from planaria.otp.kernel.room import limit_mailbox, send_when_room
    from planaria.otp.kernel.timers import TimerRef
    from planaria.otp.observe.observer import Observer
    from planaria.otp.observe.trace import Trace, Tracer
    from planaria.otp.observe.watchdog import Watchdog
    from planaria.otp.servers.events import Call, Cast, Enter, Event, Info, Internal
    from planaria.otp.servers.gen_server import GenServer, stop
    from planaria.otp.servers.handler import Deferred, call, cast
    from planaria.otp.servers.hibernate import hibernate
    from planaria.otp.servers.multi_call import multi_call
    from planaria.otp.servers.pg import GroupChanged, Groups
    from planaria.otp.servers.registry import Registered, Registry, Unregistered
    from planaria.otp.servers.registry_table import Entry
    from planaria.otp.servers.state_machine import MachineState, StateMachine
    from planaria.otp.servers.timeouts import EventTimeout, StateTimeout, Timeout
    from planaria.otp.servers.transition import (
        BadReturn,
        End,
        Hibernate,
        Keep,
        Next,
        NextEvent,
        Postpone,
        Repeat,
        Reply,
        Transition,
    )
    from planaria.otp.supervision.application import (
        Application,
        ApplicationEnded,
        ApplicationInfo,
        Applications,
        applications,
        get_env,
    )
    from planaria.otp.supervision.child import ChildSpec, child, task_child
    from planaria.otp.supervision.dynamic_supervisor import DynamicSupervisor, dynamic
    from planaria.otp.supervision.partition_supervisor import (
        PartitionSupervisor,
        partition,
        partition_pids,
        partitions,
    )
    from planaria.otp.supervision.supervisor import ChildCounts, ChildInfo, Supervisor, supervisor
    from planaria.otp.supervision.task import Outcome, Task, TaskRef, await_many, poll_many
    from planaria.otp.supervision.task_stream import task_stream
    from planaria.otp.supervision.task_supervisor import TaskSupervisor, task_supervisor

__all__ = [
    "COMPILED",
    "Alias",
    "AliasMonitor",
    "AlreadyStarted",
    "Application",
    "ApplicationEnded",
    "ApplicationInfo",
    "Applications",
    "BadReturn",
    "Bound",
    "BroadcastDispatcher",
    "Call",
    "CallError",
    "CallFailed",
    "CallTimeout",
    "Cast",
    "ChildCounts",
    "ChildError",
    "ChildInfo",
    "ChildRestarted",
    "ChildSpec",
    "CleanupFailed",
    "Clock",
    "CodeLoaded",
    "CodeRefused",
    "CodeRolledBack",
    "Consumer",
    "Crash",
    "Deferred",
    "DemandDispatcher",
    "Dispatcher",
    "Down",
    "DynamicSupervisor",
    "End",
    "Enter",
    "Entry",
    "Event",
    "EventTimeout",
    "EventsDropped",
    "Exit",
    "ExitSignal",
    "FailedToStartChild",
    "Frame",
    "GenServer",
    "GroupChanged",
    "Groups",
    "Hibernate",
    "Ignore",
    "Info",
    "Internal",
    "Isolation",
    "IterableProducer",
    "Keep",
    "KernelEvent",
    "Killed",
    "Letter",
    "Limits",
    "MachineState",
    "MailboxFull",
    "MailboxInfo",
    "MessageChanged",
    "MessageDropped",
    "MessageShed",
    "MessageView",
    "Next",
    "NextEvent",
    "NoProcess",
    "Node",
    "NotAProcess",
    "NotAdmitted",
    "Observer",
    "OldCodeKilled",
    "OneThread",
    "Outcome",
    "PartitionDispatcher",
    "PartitionSupervisor",
    "Pid",
    "Port",
    "Postpone",
    "Process",
    "ProcessExited",
    "ProcessInfo",
    "ProcessStalled",
    "ProcessStarted",
    "ProcessUpgraded",
    "Producer",
    "ProducerConsumer",
    "RateLimiter",
    "Ref",
    "Registered",
    "Registry",
    "RemoteError",
    "Repeat",
    "Reply",
    "RestartsExceeded",
    "Server",
    "ServerExited",
    "Shutdown",
    "Signal",
    "Stalled",
    "StartFailed",
    "StartRaised",
    "StateMachine",
    "StateTimeout",
    "Stop",
    "Stream",
    "Subscription",
    "Supervisor",
    "SystemClock",
    "Task",
    "TaskDone",
    "TaskFailed",
    "TaskRef",
    "TaskSupervisor",
    "Timeout",
    "TimerFired",
    "TimerRef",
    "Trace",
    "Tracer",
    "Transition",
    "TreeNode",
    "Unregistered",
    "Unsendable",
    "Watchdog",
    "Worker",
    "WorkerExited",
    "WorkerInfo",
    "alias",
    "applications",
    "await_many",
    "bounded",
    "broadcast",
    "broadcast_from",
    "call",
    "cancel_timer",
    "cast",
    "child",
    "demonitor",
    "dynamic",
    "events_of",
    "exit_signal",
    "get_env",
    "hang",
    "hibernate",
    "inspect_worker",
    "is_orderly",
    "join",
    "leave",
    "limit_mailbox",
    "link",
    "members",
    "monitor",
    "multi_call",
    "node_",
    "now",
    "partition",
    "partition_pids",
    "partitions",
    "poll_many",
    "post_blocking",
    "read_timer",
    "reason_text",
    "receive",
    "register",
    "root_cause",
    "run_blocking",
    "run_in_worker",
    "self_",
    "send",
    "send_after",
    "send_when_room",
    "set_trace",
    "shared_buffer",
    "sleep",
    "spawn",
    "spawn_in_worker",
    "spawn_link",
    "spawn_monitor",
    "start_timer",
    "stop",
    "subscribe",
    "subscribers",
    "supervisor",
    "task_child",
    "task_stream",
    "task_supervisor",
    "timeout",
    "topics",
    "trap_exits",
    "unalias",
    "unlink",
    "unregister",
    "unsubscribe",
    "wait_down",
    "wall_time",
    "warm_up",
    "whereis",
    "worker_pool",
]

_NAMES = {
    "flow.consumer": "Consumer",
    "flow.dispatcher": "Dispatcher",
    "flow.dispatchers.broadcast": "BroadcastDispatcher",
    "flow.dispatchers.demand": "DemandDispatcher",
    "flow.dispatchers.partition": "PartitionDispatcher",
    "flow.iterable": "IterableProducer",
    "flow.producer": "Producer",
    "flow.producer_consumer": "ProducerConsumer",
    "flow.rate_limiter": "RateLimiter",
    "flow.stream": "Stream events_of",
    "flow.subscription": "Subscription",
    "io.blocking": "post_blocking run_blocking",
    "io.one_thread": "OneThread",
    "isolation.bulk": "shared_buffer",
    "isolation.choice": "Isolation",
    "isolation.errors": "NotAdmitted RemoteError Unsendable",
    "isolation.limits": "Limits Worker",
    "isolation.looking": "WorkerInfo inspect_worker",
    "isolation.pool": "warm_up worker_pool",
    "isolation.proxy": "spawn_in_worker",
    "isolation.run": "run_in_worker",
    "kernel.alias": "Alias AliasMonitor alias unalias",
    "kernel.ambient": (
        "Server cancel_timer demonitor exit_signal hang join leave link members monitor node_ now "
        "read_timer receive register self_ send send_after set_trace sleep spawn spawn_link spawn_monitor "
        "start_timer timeout trap_exits unlink unregister wait_down wall_time whereis"
    ),
    "kernel.bounded": "Bound Letter MailboxInfo bounded",
    "kernel.clock": "Clock SystemClock",
    "kernel.compiled": "COMPILED",
    "kernel.event": (
        "ChildRestarted CleanupFailed CodeLoaded CodeRefused CodeRolledBack EventsDropped KernelEvent "
        "MessageChanged MessageDropped MessageShed OldCodeKilled ProcessExited ProcessStalled "
        "ProcessStarted ProcessUpgraded RestartsExceeded"
    ),
    "kernel.introspection": "Frame MessageView ProcessInfo TreeNode",
    "kernel.message": "Down ExitSignal Ref TaskDone TimerFired",
    "kernel.node": "Node Port",
    "kernel.process": "Pid Process",
    "kernel.pubsub": "broadcast broadcast_from subscribe subscribers topics unsubscribe",
    "kernel.reason": (
        "AlreadyStarted CallError CallFailed CallTimeout ChildError Crash Exit FailedToStartChild Ignore "
        "Killed MailboxFull NoProcess NotAProcess ServerExited Shutdown Signal Stalled StartFailed "
        "StartRaised Stop TaskFailed WorkerExited is_orderly reason_text root_cause"
    ),
    "kernel.room": "limit_mailbox send_when_room",
    "kernel.timers": "TimerRef",
    "observe.observer": "Observer",
    "observe.trace": "Trace Tracer",
    "observe.watchdog": "Watchdog",
    "servers.events": "Call Cast Enter Event Info Internal",
    "servers.gen_server": "GenServer stop",
    "servers.handler": "Deferred call cast",
    "servers.hibernate": "hibernate",
    "servers.multi_call": "multi_call",
    "servers.pg": "GroupChanged Groups",
    "servers.registry": "Registered Registry Unregistered",
    "servers.registry_table": "Entry",
    "servers.state_machine": "MachineState StateMachine",
    "servers.timeouts": "EventTimeout StateTimeout Timeout",
    "servers.transition": "BadReturn End Hibernate Keep Next NextEvent Postpone Repeat Reply Transition",
    "supervision.application": (
        "Application ApplicationEnded ApplicationInfo Applications applications get_env"
    ),
    "supervision.child": "ChildSpec child task_child",
    "supervision.dynamic_supervisor": "DynamicSupervisor dynamic",
    "supervision.partition_supervisor": "PartitionSupervisor partition partition_pids partitions",
    "supervision.supervisor": "ChildCounts ChildInfo Supervisor supervisor",
    "supervision.task": "Outcome Task TaskRef await_many poll_many",
    "supervision.task_stream": "task_stream",
    "supervision.task_supervisor": "TaskSupervisor task_supervisor",
}
"""Each module and what it gives to this one; the same as the imports above, which only type checkers read."""

_HOME = {name: f"{__name__}.{module}" for module, names in _NAMES.items() for name in names.split()}


if not TYPE_CHECKING:  # a type checker that saw it would believe that every name exists

    def __getattr__(name: str) -> object:
        if name not in _HOME:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(_HOME[name]), name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
