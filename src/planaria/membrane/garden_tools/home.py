"""What a file of tools asks of the node; light, as the file's process imports it. `keeper.py` answers."""

from typing import Any

from planaria.membrane.tool import Outcome
from planaria.otp import Deferred, GenServer, call


class Home(GenServer):
    """Answers the calls of files of tools."""

    @call
    def use(self, token: str, tool: str, arguments: dict[str, Any]) -> Deferred[Outcome]:
        """Call another tool, as the caller of the call that has this word."""
        raise NotImplementedError
