"""What every stage has: subscriptions whose other end is watched, and callbacks about them."""

from __future__ import annotations

from collections.abc import Coroutine
from types import CoroutineType
from typing import Any, Self

from planaria.otp.flow.subscription import Subscription
from planaria.otp.kernel.ambient import demonitor, monitor
from planaria.otp.kernel.message import Down, Envelope
from planaria.otp.kernel.process import Monitor, Process
from planaria.otp.servers.gen_server import GenServer
from planaria.otp.servers.handler import cast

type Work = Coroutine[Any, Any, None]


class Stage(GenServer):
    """The part producers and consumers share; subclass those.

    Stages talk by casts; their demand bounds their mailboxes, which need no limit. Names that begin with `flow_` are
    theirs, all others the subclass's.
    """

    def __new__(cls, *_: Any, **__: Any) -> Self:
        """Prepare what the stage keeps for itself, before the user's `init`."""
        stage = super().__new__(cls)
        stage.flow_set_up()
        return stage

    def flow_set_up(self) -> None:
        """Called before `init`."""
        self.flow_watched: dict[Monitor, Subscription] = {}
        self.flow_ending = False

    def handle_subscribe(self, subscription: Subscription) -> Any:
        """A subscription begins, at either end: `subscription.consumer` is this process or the other."""

    def handle_cancel(self, subscription: Subscription, reason: object) -> Any:
        """A subscription has ended: cancelled with `reason`, or the other end exited with it.

        Called before the consumer acts by its cancel mode.
        """

    def stop(self, reason: object = "normal") -> None:
        """End after this message; events in hand are not handled any more."""
        self.flow_ending = True
        super().stop(reason)

    def handle(self, envelope: Envelope) -> Work | None:
        """Handle one message; the end of a watched stage becomes `flow_down`."""
        body = envelope[1]
        if type(body) is Down and envelope[0] == "info":
            subscription = self.flow_watched.pop(body.ref, None)  # type: ignore[call-overload]
            if subscription is not None:
                envelope = ("cast", ("flow_down", (subscription, body.reason), {}), *envelope[2:])
        return super().handle(envelope)

    @cast
    async def flow_down(self, subscription: Subscription, reason: object) -> None:
        """The other end of a subscription is dead."""
        await self.flow_lost(subscription, reason)

    async def flow_lost(self, subscription: Subscription, reason: object) -> None:
        """A subscription is over; each side says what follows."""
        raise NotImplementedError

    def flow_watch_stage(self, other: Process, subscription: Subscription) -> None:
        """Hear of the end of the other stage."""
        self.flow_watched[monitor(other)] = subscription

    def flow_unwatch_stage(self, subscription: Subscription) -> None:
        """No longer."""
        for ref, watched in self.flow_watched.items():
            if watched is subscription:
                del self.flow_watched[ref]
                demonitor(ref, flush=True)
                return


async def finished(value: Any) -> Any:
    """What a callback returned, awaited if it is an async one."""
    return await value if type(value) is CoroutineType else value
