"""Let it crash: a teller with a bug dies, its supervisor puts a new one in its place, and no money is lost.

The ledger holds what must survive and does nothing clever; the teller does the clever part and may fail. With
`rest_for_one`, whatever stands after a child that crashed is restarted with it; what stands before is left alone.
"""

import asyncio

from planaria.otp import GenServer, Node, Pid, ServerExited, Supervisor, call, child, supervisor


class Ledger(GenServer):
    """The money. Started first, so a crash of the teller never touches it."""

    def init(self) -> None:
        self.balances = {"ada": 100, "grace": 50}

    @call
    def balance(self, owner: str) -> int:
        return self.balances[owner]

    @call
    def move(self, amount: int, giver: str, taker: str) -> bool:
        """Both or neither: one message is handled to its end before the next."""
        if self.balances[giver] < amount:
            return False
        self.balances[giver] -= amount
        self.balances[taker] += amount
        return True


class Teller(GenServer):
    """Who talks to customers."""

    @call
    async def transfer(self, text: str) -> str:
        giver, amount, taker = text.split()  # the bug: not everybody writes three words
        moved = await Ledger.move("ledger", int(amount), giver, taker)
        return "done" if moved else "not enough money"


async def work(bank: Pid) -> None:
    print(await Teller.transfer("teller", "ada 30 grace"))
    print(await Teller.transfer("teller", "ada 300 grace"))
    try:
        await Teller.transfer("teller", "please give grace some money")
    except ServerExited as error:
        print("the teller crashed:", error.why)
    for known in await Supervisor.which_children(bank):
        print(known.id, "restarted", known.restarts, "times")
    print(await Teller.transfer("teller", "grace 5 ada"))  # another process under the same name
    print("ada has", await Ledger.balance("ledger", "ada"))


async def main() -> None:
    bank = supervisor(
        child(Ledger, name="ledger"),
        child(Teller, name="teller"),
        strategy="rest_for_one",
        max_restarts=3,
        within=5.0,
    )
    async with Node() as node:
        await node.run(work, await node.start(bank))


if __name__ == "__main__":
    asyncio.run(main())
