"""The machinery of isolation, which costs more to import than the kernel: loaded when something is first isolated."""

from typing import TYPE_CHECKING

from planaria.otp.kernel.lazy_module import LazyModule

if TYPE_CHECKING:
    from planaria.otp.isolation import proxy, run, thread
else:
    proxy = LazyModule("planaria.otp.isolation.proxy")
    run = LazyModule("planaria.otp.isolation.run")
    thread = LazyModule("planaria.otp.isolation.thread")

__all__ = ["proxy", "run", "thread"]
