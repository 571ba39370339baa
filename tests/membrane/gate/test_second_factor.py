"""Codes of an authenticator: each good once, also over restarts; few wrong ones; the secret in no journal."""

from functools import partial
from typing import Any

import pytest
from pyotp.totp import TOTP

from planaria.config.secret import Secret
from planaria.cortex.durable.question import Closed
from planaria.cortex.durable.questions import QuestionRefused, Questions
from planaria.cortex.journal import Journal
from planaria.cortex.query import Query
from planaria.membrane.gate.answering import answer
from planaria.membrane.gate.second_factor import WITHIN, CodeRefused, Enrolment, SecondFactor
from planaria.otp import child, exit_signal, supervisor
from planaria.testing.memory_store import MemoryStore
from planaria.testing.node import TestNode


class Box:
    def __init__(self) -> None:
        self.kept: dict[str, Secret] = {}

    async def put(self, name: str, secret: Secret) -> None:
        self.kept[name] = secret

    async def get(self, name: str) -> Secret | None:
        return self.kept.get(name)

    async def drop(self, name: str) -> None:
        self.kept.pop(name, None)


class Rig:
    def __init__(self, node: TestNode) -> None:
        self.node = node
        self.secret = ""

    async def ask(self, method: Any, *args: str) -> Any:
        return await self.node.run(partial(method, "second_factor", *args))

    def code(self, steps: int = 0) -> str:
        moment = int(self.node.clock.wall()) + 30 * steps
        return TOTP(self.secret).at(moment)

    async def enrol(self) -> None:
        made: Enrolment = await self.ask(SecondFactor.enroll, "ada")
        self.secret = made.secret
        await self.ask(SecondFactor.confirm, "ada", self.code())
        await self.node.advance(30.0)

    async def kill(self) -> None:
        async def end() -> None:
            exit_signal(self.node["second_factor"], "kill")

        await self.node.run(end)
        await self.node.settle()

    async def journal(self) -> str:
        return str(await self.node.run(partial(Journal.read, "journal", Query())))


@pytest.fixture
async def rig(node: TestNode) -> Rig:
    store, box = MemoryStore(), Box()
    await node.start(child(Journal, lambda: store, name="journal"))
    await node.start(child(Questions, name="questions"))
    await node.start(supervisor(child(SecondFactor, box, name="second_factor"), name="floor"))
    return Rig(node)


async def test_an_authenticator_counts_when_its_first_code_was_given(rig: Rig) -> None:
    made: Enrolment = await rig.ask(SecondFactor.enroll, "ada")
    assert made.uri == f"otpauth://totp/Planaria:garden?secret={made.secret}&issuer=Planaria"
    rig.secret = made.secret
    with pytest.raises(CodeRefused, match="there is no authenticator"):
        await rig.ask(SecondFactor.take, rig.code(), "ada", "x")
    view = await rig.ask(SecondFactor.confirm, "ada", rig.code())
    assert view.enrolled
    with pytest.raises(CodeRefused, match="used already"):
        await rig.ask(SecondFactor.take, rig.code(), "ada", "x")
    await rig.node.advance(30.0)
    await rig.ask(SecondFactor.take, rig.code(), "ada", "x")
    assert made.secret not in await rig.journal()
    assert rig.code() not in await rig.journal()


async def test_a_code_is_good_once_also_after_a_restart(rig: Rig) -> None:
    await rig.enrol()
    code = rig.code()
    await rig.ask(SecondFactor.take, code, "ada", "x")
    await rig.kill()
    for old in (code, rig.code(-1)):
        with pytest.raises(CodeRefused, match="used already"):
            await rig.ask(SecondFactor.take, old, "ada", "x")
    await rig.ask(SecondFactor.take, rig.code(1), "ada", "x")  # a clock that is ahead


async def test_after_five_wrong_codes_none_is_looked_at_for_a_while(rig: Rig) -> None:
    await rig.enrol()
    wrong = f"{(int(rig.code()) + 1) % 1_000_000:06}"
    for _ in range(5):
        with pytest.raises(CodeRefused, match="the code is wrong"):
            await rig.ask(SecondFactor.take, wrong, "ada", "x")

    await rig.kill()  # it is remembered
    with pytest.raises(CodeRefused, match="none is looked at for another 300 s"):
        await rig.ask(SecondFactor.take, rig.code(), "ada", "x")
    await rig.node.advance(WITHIN)
    await rig.ask(SecondFactor.take, rig.code(), "ada", "x")


@pytest.mark.parametrize("code", ["", "12345", "1234567", "abcdef", "١٢٣٤٥٦", "123 456 7"])
async def test_what_is_no_code_is_told_so_and_not_counted(rig: Rig, code: str) -> None:
    await rig.enrol()
    for _ in range(6):
        with pytest.raises(CodeRefused, match="six digits"):
            await rig.ask(SecondFactor.take, code, "ada", "x")
    await rig.ask(SecondFactor.take, rig.code(), "ada", "x")


async def test_another_authenticator_and_none_need_a_code_of_the_one_in_use(rig: Rig) -> None:
    await rig.enrol()
    with pytest.raises(CodeRefused):
        await rig.ask(SecondFactor.enroll, "eve")
    with pytest.raises(CodeRefused):
        await rig.ask(SecondFactor.remove, "eve", "000000")
    before = rig.secret
    made: Enrolment = await rig.ask(SecondFactor.enroll, "ada", rig.code())
    await rig.node.advance(30.0)
    await rig.ask(SecondFactor.take, rig.code(), "ada", "the old one counts until the new one is confirmed")
    rig.secret = made.secret
    await rig.ask(SecondFactor.confirm, "ada", rig.code())
    await rig.node.advance(30.0)
    rig.secret = before
    with pytest.raises(CodeRefused, match="wrong"):
        await rig.ask(SecondFactor.take, rig.code(), "ada", "x")
    rig.secret = made.secret
    view = await rig.ask(SecondFactor.remove, "ada", rig.code())
    assert not view.enrolled


async def test_a_question_that_needs_a_code_is_answered_with_one(rig: Rig) -> None:
    await rig.enrol()
    ask = partial(Questions.ask, "May I?", key="k", by="agent:scout", options=("once", "no"), proof="totp")
    await rig.node.run(ask)

    async def say(text: str, code: str) -> Closed:
        return await rig.node.run(
            partial(answer, "questions", "#1", text, by="ada", via="terminal", code=code)
        )

    with pytest.raises(QuestionRefused, match="needs a code"):
        await say("once", "")
    with pytest.raises(QuestionRefused, match="#1 is not answered: the code is wrong"):
        await say("once", f"{(int(rig.code()) + 1) % 1_000_000:06}")
    with pytest.raises(QuestionRefused, match="takes: 1 once, 2 no"):
        await say("perhaps", rig.code())  # the code is not spent
    closed = await say("once", rig.code())
    assert (closed.option, closed.proof) == ("once", "totp")
    assert rig.code() not in await rig.journal()
