"""Bounded mailboxes of processes that run in workers."""

import asyncio

import pytest

from planaria.otp import MailboxFull, bounded, exit_signal
from planaria.otp.isolation.home import WINDOW, window_of

from .residents import Desk
from .support import start

pytestmark = [pytest.mark.subprocess, pytest.mark.asyncio(loop_scope="module")]


@pytest.mark.parametrize("policy", ["refuse", "drop_newest"])
async def test_the_bound_holds_though_the_messages_go_to_a_worker(home, policy):
    desk = await start(home, Desk, mailbox=bounded(4, policy))
    Desk.hold_up(desk, 60)
    refused = 0
    for number in range(50):
        try:
            home.send(desk, number)
        except MailboxFull:
            refused += 1
        for _ in range(20):
            await asyncio.sleep(0)  # it could be shipped
    info = home.info(desk)
    assert info.queue_len == 4
    # One lies in the worker, one is on its way.
    assert 50 - 6 <= refused + info.mailbox.dropped <= 50 - 4

    async def kill() -> None:
        exit_signal(desk, "kill")

    await home.run(kill)
    assert desk.reason == "killed"


async def test_a_bound_keeps_the_window_small(home):
    assert window_of(await start(home, Desk, mailbox=bounded(1))) == 1
    assert window_of(await start(home, Desk, mailbox=bounded(400))) == 100
    assert window_of(await start(home, Desk)) == WINDOW
