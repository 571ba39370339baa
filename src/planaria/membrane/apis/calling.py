"""One call of an operation: from arguments to a request, and from the answer to an outcome."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from planaria.config.secret import Secret
from planaria.membrane.apis.description import BODY, SAFE, Operation
from planaria.membrane.tool import Context, Done, Failed, Outcome
from planaria.membrane.web.leave import leave_of
from planaria.membrane.web.outbound import FetchFailed, WebRules, decode, exchange
from planaria.membrane.web.outside import outside

_RETRY = frozenset({408, 425, 429, 500, 502, 503, 504})
LONGEST_ERROR = 2_000


class Service(msgspec.Struct, frozen=True):
    """Where a service is, and how it knows us.

    Attributes:
        base_url: what paths are added to.
        header: the header with the key; `prefix` stands before it.
        private: whether its address may be in this machine's own network: somebody has written it down.
    """

    name: str
    base_url: str
    header: str = "Authorization"
    prefix: str = "Bearer "
    key: Secret | None = None
    private: bool = False


def url_of(service: Service, operation: Operation, arguments: Mapping[str, Any]) -> str:
    """Where a call goes. Arguments are quoted: none can leave its place in the path."""
    path, query = operation.path, []
    for parameter in operation.parameters:
        value = arguments.get(parameter.name)
        if value is None:
            continue
        if parameter.where == "path":
            part = quote(_plain(value), safe="")
            # A dot segment would name another path, quoted or not.
            path = path.replace(f"{{{parameter.name}}}", part if part.strip(".") else "%2E" * len(part))
        elif parameter.where == "query":
            many = value if isinstance(value, list) else [value]
            if parameter.explode:
                query += [(parameter.name, _plain(each)) for each in many]
            else:
                query.append((parameter.name, ",".join(map(_plain, many))))
    return service.base_url.rstrip("/") + path + (f"?{urlencode(query)}" if query else "")


async def call_operation(
    service: Service, operation: Operation, context: Context, arguments: Mapping[str, Any]
) -> Outcome:
    """Make the call."""
    headers = {"Accept": "application/json, */*;q=0.5"}
    for parameter in operation.parameters:
        if parameter.where == "header" and arguments.get(parameter.name) is not None:
            sent = _plain(arguments[parameter.name])
            if not sent.isascii() or not sent.isprintable():
                return Failed(f"the header {parameter.name} cannot be {sent!r}")
            headers[parameter.name] = sent
    body: bytes | None = None
    if BODY in arguments:
        body = msgspec.json.encode(arguments[BODY])
        headers["Content-Type"] = "application/json"
    if context.effect and operation.method not in SAFE:
        headers["Idempotency-Key"] = context.effect
    if service.key is not None:
        headers[service.header] = service.prefix + service.key.reveal()
    rules = context.find(WebRules) or WebRules()
    if service.private:
        rules = msgspec.structs.replace(rules, allow_private=True)
    url = url_of(service, operation, arguments)
    try:
        page = await exchange(operation.method.upper(), url, rules, headers, body, leave_of(context))
    except FetchFailed as error:
        return Failed(error.message, retry=error.retry)
    text = decode(page)
    if page.status >= 400:
        said = outside(text[:LONGEST_ERROR] or "(nothing)", url)
        return Failed(f"{service.name} answered {page.status}:\n{said}", retry=page.status in _RETRY)
    value: Any = text
    if page.media_type.endswith("json") and not page.truncated:
        try:
            value = msgspec.json.decode(page.body)
        except msgspec.DecodeError:
            pass  # it says JSON and is none: the text stands
    note = "\n[cut here]" if page.truncated else ""
    return Done({"status": page.status, "answer": value}, text=outside((text or "(nothing)") + note, url))


def _plain(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return value
        case _:
            return msgspec.json.encode(value).decode()
