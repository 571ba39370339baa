"""Topics: whoever has subscribed gets what is broadcast, as info messages. Node-wide, kept by the node itself.

```python
subscribe("garden:rain")
broadcast("garden:rain", Rain(3))
broadcast_from("garden:rain", Rain(3))     # everybody but me
```

A process subscribes once, however often it says so, and until it unsubscribes or ends. Messages of one sender arrive in
order. A subscriber whose bounded mailbox refuses is passed over. Subscriptions with values beside them, several for one
process, or somebody who is told of them: a `Registry` with duplicate keys and its `dispatch`. Functions: `tap.py`.
Source: Phoenix.PubSub on one node: subscribe, unsubscribe, broadcast, broadcast_from.
"""

from __future__ import annotations

from planaria.otp.kernel.ambient import self_, send
from planaria.otp.kernel.process import DEAD, Process, running
from planaria.otp.kernel.reason import MailboxFull
from planaria.otp.kernel.tap import pour


def subscribe(topic: str, pid: Process | None = None) -> None:
    """Get what is broadcast on `topic` as info messages, until unsubscribed or dead."""
    me = self_()
    me.node.topics.join(topic, me if pid is None else pid, once=True)


def unsubscribe(topic: str, pid: Process | None = None) -> None:
    """End a subscription."""
    me = self_()
    me.node.topics.leave(topic, me if pid is None else pid)


def broadcast(topic: str, message: object) -> int:
    """Send `message` to every subscriber of `topic`; how many that are."""
    me = running.process
    if me is None or me.status == DEAD:
        me = self_()  # raises
    node = me.node
    if topic in node.taps:
        pour(node.taps[topic], topic, message)
    members = node.topics.members(topic)
    return _send_all(members, message) if members else 0


def broadcast_from(topic: str, message: object, but: Process | None = None) -> int:
    """Send `message` to every subscriber but one, the running process unless told otherwise; how many that are."""
    me = self_()
    if topic in me.node.taps:
        pour(me.node.taps[topic], topic, message)
    spared = me if but is None else but
    return _send_all([pid for pid in me.node.topics.members(topic) if pid is not spared], message)


def subscribers(topic: str) -> list[Process]:
    """Who has subscribed to `topic`, in the order they did."""
    return self_().node.topics.members(topic)


def topics() -> list[str]:
    """The topics that have subscribers, sorted."""
    return self_().node.topics.names()


def _send_all(pids: list[Process], message: object) -> int:
    for pid in pids:
        try:
            send(pid, message)
        except MailboxFull:
            continue  # its mailbox has counted and told it; the others get theirs
    return len(pids)
