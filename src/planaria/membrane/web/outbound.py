"""One guarded HTTP request to the outside, for tools: bounded in size, time and redirects, never to our own network.

Each address on the way is asked for: a redirect leads nowhere its caller could not have gone by itself.

The host is resolved here, each address is checked, and the connection goes to a checked address (so a name that
resolves differently the second time gains nothing); certificates are still checked against the name. Redirects are
followed by hand and checked alike. The environment's proxies are not used, since they would connect unchecked.
Does badly: one connection per request, no cookies, HTTP/1.1 only.
"""

import codecs
import ipaddress
import re
import socket
import zlib
from collections.abc import Callable, Mapping
from urllib.parse import quote, urljoin

import httpx2
import msgspec

from planaria.membrane.scopes.addresses import Address, is_forbidden, is_public, unwrapped
from planaria.otp import run_blocking, timeout

AGENT = "planaria"
LONGEST_URL = 2_000
"""Characters of an address a redirect leads to."""
_IN_URLS = "%:/?#[]@!$&'()*+,;=-._~"
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class WebRules(msgspec.Struct, frozen=True):
    """What tools may fetch. A service of the context; these defaults hold without one.

    Attributes:
        allow_private: also loopback and private addresses. They are where routers and databases answer without a
            password, and a page can talk a model into asking them. Never where credentials are given out.
        private: hosts and ports that a person has named, which may be in this machine's network: the name or
            address as it stands in the URL. Loopback only if it says so itself.
        max_bytes: of a body, after decompression.
        seconds: for the whole request, redirects included.
        max_redirects: a longer chain is refused.
    """

    allow_private: bool = False
    private: frozenset[tuple[str, int]] = frozenset()
    max_bytes: int = 2_000_000
    seconds: float = 20.0
    max_redirects: int = 5


class Page(msgspec.Struct, frozen=True):
    """An answer: the last one of a chain of redirects.

    Attributes:
        url: where it came from in the end.
        headers: names in small letters.
        body: decompressed, cut at the limit.
        truncated: whether it was cut.
    """

    url: str
    status: int
    headers: dict[str, str]
    body: bytes
    truncated: bool = False

    @property
    def media_type(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


class FetchFailed(Exception):
    """A request that was refused or brought nothing. `retry`: whether it may work later."""

    def __init__(self, message: str, retry: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.retry = retry


type Leave = Callable[[str], str]
"""Whether a URL may be asked: empty if so, else why not."""


def _any(url: str) -> str:
    return ""


async def fetch(
    url: str, rules: WebRules, headers: Mapping[str, str] | None = None, leave: Leave = _any
) -> Page:
    """GET a URL.

    Args:
        leave: asked before a redirect is followed; the first address is the caller's own.
    Raises:
        FetchFailed: with a message for a model or a workflow's author.
    """
    return await exchange("GET", url, rules, headers, leave=leave)


async def exchange(
    method: str,
    url: str,
    rules: WebRules,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    leave: Leave = _any,
) -> Page:
    """One request and its answer. Redirects of a GET or HEAD are followed; another method's are the answer.

    Args:
        headers: another host than the first is sent only those that say what can be read.
    Raises:
        FetchFailed: as `fetch`. Of a request with a body nobody knows then whether it took effect.
    """
    try:
        async with timeout(rules.seconds):
            return await _follow(method, url, rules, dict(headers or {}), body, leave)
    except TimeoutError as error:
        raise FetchFailed(f"{url} did not answer within {rules.seconds:g} s", retry=True) from error


async def _follow(
    method: str, url: str, rules: WebRules, headers: dict[str, str], body: bytes | None, leave: Leave
) -> Page:
    seen = url
    first = _origin(url)
    async with httpx2.AsyncClient(trust_env=False, timeout=rules.seconds, follow_redirects=False) as client:
        for _ in range(rules.max_redirects + 1):
            if url != seen and (refusal := leave(url)):
                raise FetchFailed(f"{seen} leads to {url}: {refusal}")
            given = headers if _origin(url) == first else _without_secrets(headers)
            page = await _get(client, method, url, rules, given, body)
            target = page.headers.get("location")
            if page.status not in _REDIRECTS or not target or method not in ("GET", "HEAD"):
                return page
            url = _plain(urljoin(url, target))
    raise FetchFailed(f"{seen} redirects more than {rules.max_redirects} times, lastly to {url}")


def _plain(url: str) -> str:
    """An address as it is told to a model, which a stranger has written: without words, and not long."""
    if len(url) > LONGEST_URL:
        raise FetchFailed(f"a redirect leads to an address of {len(url)} characters")
    return quote(url, safe=_IN_URLS)


def _origin(url: str) -> tuple[str, str, int | None]:
    target = _checked(url)
    return target.scheme, target.host, target.port


def _without_secrets(headers: Mapping[str, str]) -> dict[str, str]:
    """What a second host is sent: nothing that was meant for the first alone."""
    return {
        name: value
        for name, value in headers.items()
        if name.lower() in ("accept", "accept-language", "user-agent", "if-none-match", "if-modified-since")
    }


async def _get(
    client: httpx2.AsyncClient,
    method: str,
    url: str,
    rules: WebRules,
    headers: Mapping[str, str],
    body: bytes | None,
) -> Page:
    target = _checked(url)
    address = await _resolved(target, rules)
    host = f"[{address}]" if address.version == 6 else str(address)
    port = f":{target.port}" if target.port else ""
    request = client.build_request(
        method,
        target.copy_with(host=host, fragment=None),
        content=body,
        headers={
            "User-Agent": AGENT,
            "Accept-Encoding": "gzip",
            **headers,
            "Host": f"{target.raw_host.decode('ascii')}{port}",
        },
        extensions={**client_timeout(rules), "sni_hostname": target.raw_host.decode("ascii")},
    )
    try:
        response = await client.send(request, stream=True)
        try:
            return await _read(url, response, rules)
        finally:
            await response.aclose()
    except httpx2.TimeoutException as error:
        raise FetchFailed(f"{url} did not answer in time", retry=True) from error
    except httpx2.ConnectError as error:
        certificate = "CERTIFICATE" in str(error).upper()
        said = "presents a certificate that is not valid" if certificate else "cannot be reached"
        raise FetchFailed(f"{url} {said}: {error}", retry=not certificate) from error
    except httpx2.TransportError as error:
        raise FetchFailed(f"{url} broke off or does not speak HTTP: {error}", retry=True) from error


def client_timeout(rules: WebRules) -> dict[str, object]:
    """The transport's own time-outs, a backstop behind the one for the whole."""
    return {"timeout": dict.fromkeys(("connect", "read", "write", "pool"), rules.seconds)}


def _checked(url: str) -> httpx2.URL:
    try:
        target = httpx2.URL(url)
    except (httpx2.InvalidURL, TypeError, UnicodeError) as error:
        raise FetchFailed(f"{url!r} is no URL: {error}") from error
    if target.scheme not in ("http", "https"):
        raise FetchFailed(f"{url!r} is not an http or https address")
    if not target.host:
        raise FetchFailed(f"{url!r} names no host")
    if target.userinfo:
        raise FetchFailed(
            "an address with a user name or password in it is refused; it would end up in the journal"
        )
    return target


async def _resolved(target: httpx2.URL, rules: WebRules) -> Address:
    """An address of the host that may be connected to: all of them must be allowed, the first is taken."""
    port = target.port or (443 if target.scheme == "https" else 80)
    try:
        found = await run_blocking(_look_up, target.host, port)
    except (OSError, UnicodeError) as error:
        raise FetchFailed(f"the host {target.host!r} cannot be found: {error}", retry=True) from error
    for address in found:
        if not _may_reach(target.raw_host.decode("ascii"), port, address, rules):
            raise FetchFailed(
                f"{target.host!r} leads to {address}, which is not a public address; "
                "tools do not fetch from this machine or its network, but for hosts that a person has named"
                " in planaria.toml"
                + (
                    ""
                    if is_forbidden(address)
                    else f": [web_access] private = [{_place(target.host, port)!r}]"
                )
            )
    return found[0]


def _may_reach(host: str, port: int, address: Address, rules: WebRules) -> bool:
    """Whether a connection to this address may be made for this host."""
    if is_public(address) or (rules.allow_private and not is_forbidden(address)):
        return True
    name = host.strip("[]").lower().removesuffix(".")
    if is_forbidden(address) or (name, port) not in rules.private:
        return False
    # Whoever answers for a name must not lead to what listens on this machine alone.
    return not unwrapped(address).is_loopback or name in ("localhost", str(address))


def _place(host: str, port: int) -> str:
    """A host and port as they are written in the settings."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _look_up(host: str, port: int) -> list[Address]:
    answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(ipaddress.ip_address(str(each[4][0]).partition("%")[0]) for each in answers))


async def _read(url: str, response: httpx2.Response, rules: WebRules) -> Page:
    inflate = _Inflater(url, response.headers.get("content-encoding", ""))
    body = bytearray()
    truncated = False
    async for chunk in response.aiter_raw():
        body += inflate(chunk, rules.max_bytes + 1 - len(body))
        if len(body) > rules.max_bytes:
            del body[rules.max_bytes :]
            truncated = True
            break
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Page(url, response.status_code, headers, bytes(body), truncated)


class _Inflater:
    """Takes compressed pieces, gives at most so many bytes: a small body cannot become a large one in memory."""

    def __init__(self, url: str, encoding: str) -> None:
        self.url = url
        match encoding.strip().lower():
            case "" | "identity":
                self.decoder = None
            case "gzip" | "x-gzip" | "deflate":
                self.decoder = zlib.decompressobj(zlib.MAX_WBITS | 32)
            case other:
                raise FetchFailed(f"{url} answers in an encoding that was not asked for ({other[:40]!r})")

    def __call__(self, chunk: bytes, room: int) -> bytes:
        if self.decoder is None:
            return chunk[:room]
        try:
            return self.decoder.decompress(chunk, max(room, 1))
        except zlib.error as error:
            raise FetchFailed(f"{self.url} sends data that cannot be decompressed") from error


_CHARSET = re.compile(rb"""charset\s*=\s*["']?\s*([A-Za-z0-9_.:-]+)""", re.IGNORECASE)
_XML_ENCODING = re.compile(rb"""<\?xml[^>]{0,200}encoding\s*=\s*["']([A-Za-z0-9_.:-]+)""", re.IGNORECASE)
_CODECS = re.compile(
    r"utf_(?:8|8_sig|16|16_le|16_be|32|32_le|32_be)|ascii|latin_1|iso8859_\d+|cp\d+|koi8_[rtu]|kz1048|mac_\w+|tis_620"
    r"|ptcp154|big5(?:hkscs)?|gb2312|gbk|gb18030|hz|euc_\w+|shift_jis\w*|iso2022_\w+|johab"
)
"""Encodings of texts. Python knows others, some of which take hours for a page."""
_MARKS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))


def _codec(said: str) -> str:
    """The encoding a page says it has, if it is one of texts."""
    try:
        name = codecs.lookup(said).name.replace("-", "_")
    except LookupError:
        return "utf-8"
    if name in ("latin_1", "iso8859_1", "ascii"):
        return "cp1252"  # as browsers read it
    return name if _CODECS.fullmatch(name) else "utf-8"


def decode(page: Page) -> str:
    """The body as text: byte order mark, then the header, then what the page says of itself, then UTF-8."""
    for mark, name in _MARKS:
        if page.body.startswith(mark):
            return page.body.decode(name, "replace")
    told = _CHARSET.search(page.headers.get("content-type", "").encode())
    head = page.body[:2048]
    found = told or _XML_ENCODING.search(head) or _CHARSET.search(head)
    for name in (_codec(found.group(1).decode()) if found else "utf-8", "utf-8"):
        try:
            text = page.body.decode(name)
        except (LookupError, UnicodeDecodeError):
            continue
        return text
    return page.body.decode("utf-8" if found is None or page.truncated else "cp1252", "replace")
