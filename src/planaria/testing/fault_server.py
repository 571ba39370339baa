"""A model service that fails as asked: name a fault as the model, and it happens on a real socket.

    async with FaultServer() as server:
        provider = OpenAICompatible("fake", server.url)        # or Anthropic("fake", server.url)
        await complete(provider, ModelRequest("rate_limited", ...))        # RateLimited, retry_after=7
        server.inject("hang", times=2)                         # whatever the model: the next two answers hang

`rate_limited*2` fails twice and answers then. Any other model's name is answered as `ModelServer` does. What faults
there are: `planaria.testing.faults`. By hand, for a garden that runs: `python -m planaria.testing.fault_server --port
11999`, and a provider with `base_url = "http://127.0.0.1:11999/v1"` in `planaria.toml`.
"""

import argparse
import asyncio
from dataclasses import replace

from planaria.testing.faults import FAULTS, TEXT
from planaria.testing.model_answer import Answer, Dialect
from planaria.testing.model_server import ModelServer

PACE = 0.02
"""Seconds between two words, when it is run by hand."""


class UnknownFault(ValueError):
    """No fault of this name; the message lists them."""


class FaultServer(ModelServer):
    """The server; one per test. Answers in `answers` go before everything else.

    Attributes:
        shown: the faults that were shown, in order.
    """

    def __init__(
        self, *answers: Answer, models: tuple[str, ...] = (), port: int = 0, pace: float = 0.0
    ) -> None:
        super().__init__(*answers, models=models or ("works", *FAULTS), port=port)
        self.fallback = Answer(TEXT, pace=pace)
        self.shown: list[str] = []
        self._injected: list[str] = []
        self._times: dict[str, int] = {}

    def inject(self, fault: str, times: int = 1) -> None:
        """Have the next answers fail, whatever model is asked.

        Raises:
            UnknownFault: there is no such fault.
        """
        _known(fault)
        self._injected += [fault] * times

    def next_answer(self, model: str, dialect: Dialect) -> Answer:
        """What was put into `answers`, then what was injected, then what the model is named after."""
        if self.answers:
            return self.answers.popleft()
        if self._injected:
            return self._show(self._injected.pop(0), dialect)
        name, _, times = model.partition("*")
        if name not in FAULTS:
            return self.fallback
        self._times[model] = self._times.get(model, 0) + 1
        if times.isdecimal() and self._times[model] > int(times):
            return self.fallback
        return self._show(name, dialect)

    def _show(self, fault: str, dialect: Dialect) -> Answer:
        self.shown.append(fault)
        return replace(FAULTS[fault].answer(dialect), pace=self.fallback.pace)


def _known(fault: str) -> None:
    if fault not in FAULTS:
        raise UnknownFault(f"no fault {fault!r}; there are: {', '.join(FAULTS)}")


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(
        prog="python -m planaria.testing.fault_server",
        description="A model service whose models are named after what goes wrong with them.",
        epilog="faults: " + ", ".join(FAULTS),
    )
    parser.add_argument("--port", type=int, default=0, help="on 127.0.0.1; 0, the default, takes a free one")
    parser.add_argument(
        "--pace", type=float, default=PACE, help=f"seconds between two words, {PACE} by default"
    )
    options = parser.parse_args()

    async def serve() -> None:
        async with FaultServer(port=options.port, pace=options.pace) as server:
            print(server.url, flush=True)  # noqa: T201 (its answer)
            await asyncio.Event().wait()

    try:
        asyncio.run(serve())
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
