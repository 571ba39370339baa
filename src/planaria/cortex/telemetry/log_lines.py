"""How a log record becomes a line: one JSON object, or words for people. Secrets are masked in both."""

import logging
import re
from datetime import UTC, datetime
from typing import Any

import msgspec

from planaria.cortex.redact import Json, Redactor

FIELDS = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "planaria"}
# What a terminal would obey, or show as another line or in another order.
_ORDERS = "\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069"
_CONTROL = re.compile(rf"[\x00-\x1f{_ORDERS}]")
_CONTROL_IN_LINES = re.compile(rf"[\x00-\x08\x0b-\x1f{_ORDERS}]")


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, process, trace_id, what was given as `extra`, error.

    What is given under one of these names gets a `_` behind it.
    """

    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self.redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: value for name, value in _where(record).items() if value}
        if error := _error(self, record):
            line["error"] = error
        for name, value in _given(record).items():
            line[f"{name}_" if name in line else name] = value
        masked = self.redactor.value(line)
        try:
            text = msgspec.json.encode(masked).decode()
        except UnicodeEncodeError:  # half a surrogate pair, as from the name of a file
            assert isinstance(masked, dict)
            text = msgspec.json.encode({_unicode(n): _unicode(v) for n, v in masked.items()}).decode()
        return _CONTROL.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


class HumanFormatter(logging.Formatter):
    """One line to read: time, level, message, process and trace; a traceback below it."""

    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self.redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).astimezone().strftime("%H:%M:%S.%f")[:-3]
        given = self.redactor.value(_given(record) | _where(record))
        assert isinstance(given, dict)
        said = " ".join(f"{_short(name)}={value}" for name, value in given.items() if value)
        text = f"{at} {record.levelname.lower():<7} {record.name.removeprefix('planaria.')}: {record.getMessage()}"
        text = self.redactor.text(f"{text}  [{said}]" if said else text)
        text = _CONTROL.sub(_escaped, text)
        if error := _error(self, record):
            text += "\n" + _CONTROL_IN_LINES.sub(_escaped, self.redactor.text(error))
        return text


def cannot_be_shown(record: logging.LogRecord) -> logging.LogRecord:
    """What to log instead of a record that raises when it is made a line."""
    said = record.msg if isinstance(record.msg, str) else type(record.msg).__name__
    fields = ("name", "levelno", "levelname", "created")
    kept = {name: record.__dict__[name] for name in fields}
    text = "a log record of %s cannot be shown: %s"
    return logging.makeLogRecord(
        kept | {"msg": text, "args": (record.name, said), "planaria": _where(record)}
    )


def _where(record: logging.LogRecord) -> dict[str, Json]:
    where: dict[str, Json] = getattr(record, "planaria", {})
    return where


def _given(record: logging.LogRecord) -> dict[str, Json]:
    return {name: _plain(value) for name, value in record.__dict__.items() if name not in FIELDS}


def _error(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    traceback = formatter.formatException(record.exc_info) if record.exc_info else ""
    return "\n".join(part for part in (traceback, record.stack_info) if part)


def _plain(value: object) -> Json:
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _short(attribute: str) -> str:
    """An attribute's name as people need it."""
    return attribute.removeprefix("gen_ai.").removeprefix("planaria.")


def _unicode(value: Any) -> Any:
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


def _escaped(found: re.Match[str]) -> str:
    return found.group().encode("unicode_escape").decode()
