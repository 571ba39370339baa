"""The garden's second factor: codes of an authenticator app (TOTP, RFC 6238), for approvals that need one.

Started by the node under the name `second_factor`. Its secret is sealed among the garden's secrets and shown once, when
it is made; it counts from the moment a first code was given (`confirm`). A code is good once, also over restarts: that
it was used is in the journal before it is taken. After five wrong ones in five minutes none is looked at for a while.
Emits in the stream `totp`: `totp.enrolled`, `totp.used`, `totp.refused`, `totp.removed`.
"""

import hmac
from collections.abc import Coroutine
from importlib import import_module
from typing import Any, ClassVar, Protocol

import msgspec

from planaria.config.secret import Secret
from planaria.cortex.errors import EventRefused, JournalUnavailable, SealError
from planaria.cortex.event import Event, repeatable_id
from planaria.cortex.event_type import EventMismatch, EventType
from planaria.cortex.folded import Folded
from planaria.cortex.journal import Journal
from planaria.membrane.events import (
    SecondFactorEnrolled,
    SecondFactorRefused,
    SecondFactorRemoved,
    SecondFactorUsed,
)
from planaria.otp import CallError, Deferred, GenServer, call, wall_time

SESSION = "totp"
NAME = "second_factor"
SNAPSHOT = "second_factor"
IN_USE, WAITING = "totp:garden", "totp:garden:waiting"
"""Names of the secrets: of the authenticator in use, and of one that was shown and has given no code yet."""
STEP = 30
"""Seconds a code is shown; the ones before and after it are taken, too, as clocks differ."""
MOST_WRONG = 5
WITHIN = 300.0
"""Seconds in which so many wrong codes are looked at."""


class SecretBox(Protocol):
    """Where secrets are kept; `cortex.secrets.Secrets` is one."""

    async def put(self, name: str, secret: Secret) -> None:
        """Keep one."""
        ...

    async def get(self, name: str) -> Secret | None:
        """One of them."""
        ...

    async def drop(self, name: str) -> None:
        """Let one go."""
        ...


class CodeRefused(ValueError):
    """A code does not count; says why and what can be done."""


class Enrolment(msgspec.Struct, frozen=True):
    """What an authenticator app is given, once: the secret, and the same as a URI for a QR code."""

    secret: str
    uri: str


class SecondFactorView(msgspec.Struct, frozen=True):
    """Whether there is an authenticator, since when (unix seconds), and until when no code is looked at."""

    enrolled: bool
    since: float = 0.0
    locked_until: float = 0.0


class Book(Folded):
    """What the journal knows of the second factor. `number` counts authenticators; `last` is the last step used."""

    number: int = 0
    enrolled: bool = False
    since: float = 0.0
    last: int = 0
    wrong: list[float] = msgspec.field(default_factory=list)

    def apply(self, event: Event) -> None:
        """See `Folded`."""
        match event.kind:
            case SecondFactorEnrolled.kind:
                self.number, self.enrolled, self.since, self.last = self.number + 1, True, event.at, 0
            case SecondFactorRemoved.kind:
                self.enrolled = False
            case SecondFactorRefused.kind:
                self.wrong = [*self.wrong, event.at][-MOST_WRONG:]
            case SecondFactorUsed.kind:
                try:
                    self.last = max(self.last, SecondFactorUsed.of(event).step)
                except EventMismatch:
                    return
            case _:
                pass


class SecondFactor(GenServer):
    """Enrols an authenticator and takes its codes. All calls raise `CodeRefused` for a code that does not count."""

    trap_exit: ClassVar[bool] = True

    async def init(self, secrets: SecretBox, garden: str = "garden") -> None:
        """Begin with what the journal has.

        Args:
            garden: shown in the app.
        """
        self.secrets = secrets
        self.garden = garden
        self.book = await Book.load(SESSION, SNAPSHOT)

    @call
    def view(self) -> SecondFactorView:
        """How it stands."""
        return self._view()

    @call
    async def enroll(self, by: str, code: str = "") -> Enrolment | Deferred[Enrolment]:
        """Make a secret for an authenticator. It counts when its first code is confirmed; until then nothing changes.

        Args:
            code: of the authenticator in use, if there is one.
        """
        return await self._or_refuse(self._enroll(by, code))

    @call
    async def confirm(self, by: str, code: str) -> SecondFactorView | Deferred[SecondFactorView]:
        """Take an authenticator into use, by its first code."""
        return await self._or_refuse(self._confirm(by, code))

    @call
    async def remove(self, by: str, code: str) -> SecondFactorView | Deferred[SecondFactorView]:
        """Use no authenticator any more: what needs one is denied from now on."""
        return await self._or_refuse(self._remove(by, code))

    @call
    async def take(self, code: str, by: str, what: str) -> Deferred[None] | None:
        """Take a code, once.

        Args:
            what: for whoever reads the journal: what it was given for.
        """
        return await self._or_refuse(self._take(code, by, what))

    # --- in this process ---------------------------------------------------------------------------------------------

    async def _or_refuse[T](self, work: Coroutine[Any, Any, T]) -> T | Deferred[T]:
        try:
            return await work
        except (CodeRefused, SealError, JournalUnavailable, CallError) as error:
            return self.refuse(error)

    async def _enroll(self, by: str, code: str) -> Enrolment:
        if self.book.enrolled:
            await self._take(code, by, "to enrol another authenticator")
        pyotp = import_module("pyotp")
        secret: str = pyotp.random_base32()
        await self.secrets.put(WAITING, Secret(secret))
        return Enrolment(
            secret, pyotp.TOTP(secret).provisioning_uri(name=self.garden, issuer_name="Planaria")
        )

    async def _confirm(self, by: str, code: str) -> SecondFactorView:
        waiting = await self.secrets.get(WAITING)
        if waiting is None:
            raise CodeRefused("no authenticator waits to be confirmed; begin with `planaria totp enroll`")
        step = await self._step(waiting, code, by)
        await self.secrets.put(IN_USE, waiting)
        await self.secrets.drop(WAITING)
        await self._append(SecondFactorEnrolled(self.book.number + 1, by))
        await self._append(SecondFactorUsed(self.book.number, step, by, "to enrol it"))
        return self._view()

    async def _remove(self, by: str, code: str) -> SecondFactorView:
        if not self.book.enrolled:
            raise CodeRefused("there is no authenticator")
        await self._take(code, by, "to remove the authenticator")
        await self.secrets.drop(IN_USE)
        await self._append(SecondFactorRemoved(self.book.number, by))
        return self._view()

    def _view(self) -> SecondFactorView:
        return SecondFactorView(
            self.book.enrolled, self.book.since if self.book.enrolled else 0.0, self._locked()
        )

    async def _take(self, code: str, by: str, what: str) -> None:
        if not self.book.enrolled:
            raise CodeRefused(
                "there is no authenticator to give a code; enrol one with `planaria totp enroll`"
            )
        secret = await self.secrets.get(IN_USE)
        if secret is None:
            raise CodeRefused("the authenticator's secret is gone; enrol one with `planaria totp enroll`")
        step = await self._step(secret, code, by)
        if step <= self.book.last:
            await self._wrong(by, "this code was used already; wait for the next one")
        used = SecondFactorUsed(self.book.number, step, by, what)
        if not await self._append(used, repeatable_id(SESSION, str(self.book.number), str(step))):
            raise CodeRefused("this code was used already; wait for the next one")

    async def _step(self, secret: Secret, code: str, by: str) -> int:
        """The step whose code this is."""
        if (until := self._locked()) > wall_time():
            wait = max(1, round(until - wall_time()))
            raise CodeRefused(f"{MOST_WRONG} codes were wrong; none is looked at for another {wait} s")
        said = "".join(code.split())
        if not (said.isascii() and said.isdecimal() and len(said) == 6):
            raise CodeRefused("a code has six digits, such as 123456")
        totp = import_module("pyotp").TOTP(secret.reveal())
        step = int(wall_time() // STEP)
        found = 0
        for each in (step - 1, step, step + 1):
            if hmac.compare_digest(str(totp.generate_otp(each)), said):
                found = each
        if not found:
            await self._wrong(by, "the code is wrong")
        return found

    async def _wrong(self, by: str, why: str) -> None:
        await self._append(SecondFactorRefused(by, why))
        raise CodeRefused(why)

    def _locked(self) -> float:
        """Until when no code is looked at, in unix seconds; 0.0 if one is."""
        recent = [at for at in self.book.wrong if at > wall_time() - WITHIN]
        return recent[0] + WITHIN if len(recent) >= MOST_WRONG else 0.0

    async def _append(self, what: EventType, id: str = "") -> bool:
        """Write an event and take it in; False if it is there already."""
        try:
            events = await Journal.append("journal", [what.new(session=SESSION, id=id)])
        except EventRefused as error:
            if error.duplicate_of is None:
                raise
            return False
        for event in events:
            self.book.take(event)
        return True

    def handle_info(self, message: Any) -> None:
        """Nothing is expected but the exits of those it is linked to."""
