"""Reads a small HTML form from a request. Files are never uploaded here, so urlencoded is all it takes."""

from urllib.parse import parse_qsl

from starlette.exceptions import HTTPException
from starlette.requests import Request

LARGEST = 128 * 1024
"""Bytes of a form."""
MOST_FIELDS = 20


async def read_form(request: Request) -> dict[str, str]:
    """The fields of the form; of a field given twice the last.

    Raises:
        HTTPException: 413 if it is too large, 415 if it is no urlencoded form, 400 if it is malformed.
    """
    if (
        request.headers.get("content-type", "").partition(";")[0].strip()
        != "application/x-www-form-urlencoded"
    ):
        raise HTTPException(415, "A form is expected, sent as application/x-www-form-urlencoded.")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST:
            raise HTTPException(413, f"That is more than {LARGEST} bytes.")
    try:
        return dict(
            parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="strict")
        )
    except ValueError as error:
        raise HTTPException(400, f"The form cannot be read: {error}") from error
