"""What a worker's `code_change` does to its state (README section 6.2)."""

from planaria.otp import Stop

from .comparison import Json
from .values import VectorError


def changed(state: Json, change: Json) -> Json:
    """The new state; refuses and raises as the worker is told to."""
    match change:
        case {"error": reason}:
            raise Stop(reason)
        case {"raise": what}:
            raise VectorError(what)
        case {"set": value}:
            return value
        case {"add": number}:
            return state + number
        case _:
            return state
