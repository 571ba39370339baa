"""Who may look: one-time login links and browser sessions, kept as hashes.

A login token is printed as a link at start, works once, and gives the browser a session cookie. Both are 32
random bytes; only their SHA-256 is kept, so the file in `.planaria/` lets nobody in. The functions here are
pure; `dashboard.py` is the process that owns a `Keyring` and saves it.

Source: session handling as in the OWASP session management guide. Differs: no password, no user names; whoever
can read the terminal is the owner. Does badly: it does not tell people apart.
"""

import hashlib
import hmac
import os
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

import msgspec
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

LOGIN_LIFE = 24 * 3600.0
"""Seconds a login link that nobody used stays good."""
SESSION_LIFE = 30 * 24 * 3600.0
"""Seconds a browser stays logged in."""
MAX_LOGINS = 8
MAX_SESSIONS = 32

OPEN_PATHS = ("/login", "/static/")


class Key(msgspec.Struct, frozen=True):
    """The hash (SHA-256, hex) of a secret and when it was made, in Unix seconds."""

    hash: str
    made: float


class Keyring(msgspec.Struct, frozen=True):
    """Every secret that opens the dashboard, oldest first."""

    logins: tuple[Key, ...] = ()
    sessions: tuple[Key, ...] = ()


class Damaged(Exception):
    """The file of keys cannot be read; the message says why."""


class Door(Protocol):
    """What the web pages need to know about who is allowed in."""

    async def redeem(self, token: str) -> str | None:
        """A new session for an unused login token, None for any other text."""
        ...

    async def knows(self, session: str) -> bool:
        """Whether this session is good."""
        ...

    async def forget(self, session: str) -> None:
        """End this session."""
        ...


def issue(ring: Keyring, now: float) -> tuple[Keyring, str]:
    """A keyring with one more login token, and the token itself, which is kept nowhere."""
    token = secrets.token_urlsafe(32)
    logins = (*_alive(ring.logins, LOGIN_LIFE, now), Key(_hash(token), now))
    return Keyring(logins[-MAX_LOGINS:], _alive(ring.sessions, SESSION_LIFE, now)), token


def redeem(ring: Keyring, token: str, now: float) -> tuple[Keyring, str | None]:
    """Trade a login token for a session. The token is used up; a second try gets None."""
    logins = _alive(ring.logins, LOGIN_LIFE, now)
    used = _find(logins, token)
    if used is None:
        return ring, None
    session = secrets.token_urlsafe(32)
    sessions = (*_alive(ring.sessions, SESSION_LIFE, now), Key(_hash(session), now))
    left = tuple(key for key in logins if key is not used)
    return Keyring(left, sessions[-MAX_SESSIONS:]), session


def knows(ring: Keyring, session: str, now: float) -> bool:
    """Whether the session is on the ring and not too old."""
    return _find(_alive(ring.sessions, SESSION_LIFE, now), session) is not None


def forget(ring: Keyring, session: str) -> Keyring:
    """The ring without this session."""
    gone = _find(ring.sessions, session)
    return Keyring(ring.logins, tuple(key for key in ring.sessions if key is not gone))


def load(path: Path) -> Keyring:
    """The ring kept at `path`, or an empty one if there is none.

    Raises:
        Damaged: something is there, but no ring can be read from it.
    """
    if not path.exists():
        return Keyring()
    if not path.is_file():  # a pipe would keep the reader for ever
        raise Damaged("it is no file")
    try:
        return msgspec.json.decode(path.read_bytes(), type=Keyring)
    except OSError as error:
        raise Damaged(error.strerror or str(error)) from error
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise Damaged(str(error)) from error


def set_aside(path: Path) -> Path:
    """Move what is at `path` out of the way; where it is now. An earlier one set aside is overwritten."""
    aside = path.with_name(path.name + ".damaged")
    os.replace(path, aside)
    return aside


def save(path: Path, ring: Keyring) -> None:
    """Write the ring so that only the owner can read it, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".new")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(handle, "wb") as file:
        file.write(msgspec.json.encode(ring))
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, path)


def cookie_name(port: int) -> str:
    """The session cookie's name. Cookies ignore ports, so two nodes on one machine need two names."""
    return f"planaria-{port}"


class SessionGate:
    """ASGI middleware: without a good session only the login page and static files are served.

    Args:
        app: what is behind the gate.
        door: knows the sessions.
        locked: answers a request that has no good session.
        pass_: whether a request may go in without one, by a token of its own.
    """

    def __init__(
        self,
        app: ASGIApp,
        door: Door,
        locked: Callable[[Scope, Receive, Send], Awaitable[None]],
        pass_: Callable[[Request], bool] = lambda request: False,
    ) -> None:
        self.app = app
        self.door = door
        self.locked = locked
        self.pass_ = pass_

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if not path.startswith(OPEN_PATHS):
            request = Request(scope)
            session = request.cookies.get(cookie_name(request.url.port or 80))
            known = session is not None and await self.door.knows(session)
            if not known and not self.pass_(request):
                await self.locked(scope, receive, send)
                return
        await self.app(scope, receive, send)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _find(keys: tuple[Key, ...], secret: str) -> Key | None:
    """The key made from `secret`. Looks at all of them, in constant time each."""
    wanted = _hash(secret)
    found = None
    for key in keys:
        if hmac.compare_digest(key.hash, wanted):
            found = key
    return found


def _alive(keys: tuple[Key, ...], life: float, now: float) -> tuple[Key, ...]:
    return tuple(key for key in keys if now - key.made < life)
