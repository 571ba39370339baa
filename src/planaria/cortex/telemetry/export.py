"""What there is to know of an exporter without importing one, and how the node gets one.

An exporter needs an extra (`otel`), which is imported here and only when the settings name an endpoint: a node without
one neither has its libraries nor pays for them.
"""

import importlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import msgspec

from planaria.config.errors import SettingsError
from planaria.config.settings import FILE_NAME, TelemetrySettings
from planaria.cortex.redact import Redactor
from planaria.otp import ChildSpec, Node, child
from planaria.otp.kernel.table import read_table

NAME = "otlp"
_EXPORTER = "planaria.cortex.telemetry.otlp"
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e]*")
"""What HTTP can send as a header's name and value; anything else would fail with each request, and show the secret."""


class ExportOptions(msgspec.Struct, frozen=True):
    """How an exporter behaves towards its endpoint.

    Args:
        limit: spans that may wait; the newest are dropped beyond.
        batch: spans in one request, at most.
        delay: seconds to collect spans for a request.
        timeout: seconds a connection may take, and then the whole answer.
        pause, longest_pause: seconds before a failed batch is sent again; doubled each time.
        tries: times a batch is sent before it is given up.
        flush: seconds an orderly stop may take to send what waits.
    """

    limit: int = 20_000
    batch: int = 512
    delay: float = 1.0
    timeout: float = 5.0
    pause: float = 1.0
    longest_pause: float = 30.0
    tries: int = 5
    flush: float = 3.0


class ExportFigures:
    """What an exporter has done since it started. Kept in a table, so that reading waits for nobody.

    Attributes:
        exported: spans the endpoint has taken.
        dropped_full: spans there was no room for.
        dropped_refused: spans the endpoint did not want.
        dropped_given_up: spans of batches that failed too often.
        dropped_at_stop: spans that were left when the time to flush was over.
        failures: requests that failed.
        waiting: spans that wait now.
        trouble: why the last request failed; empty while all is well.
    """

    def __init__(self) -> None:
        self.exported = 0
        self.dropped_full = 0
        self.dropped_refused = 0
        self.dropped_given_up = 0
        self.dropped_at_stop = 0
        self.failures = 0
        self.waiting = 0
        self.trouble = ""

    @property
    def dropped(self) -> int:
        """All that were lost."""
        return self.dropped_full + self.dropped_refused + self.dropped_given_up + self.dropped_at_stop


def export_figures(node: Node) -> ExportFigures | None:
    """Those of the node's exporter; None without one, or while it is started again."""
    process = node.whereis(NAME)
    return None if process is None else read_table(NAME, process, ExportFigures)


def exporter(
    settings: TelemetrySettings,
    garden: Path,
    environ: Mapping[str, str],
    node_name: str,
    redactor: Redactor,
    options: ExportOptions = ExportOptions(),  # noqa: B008 - frozen
) -> list[ChildSpec]:
    """The child that exports spans; none if the settings name no endpoint.

    Raises:
        SettingsError: the extra is not installed, or the variable of the headers is not set or holds none that can
            be sent.
    """
    if settings.otlp_endpoint is None:
        return []
    headers = _headers(settings.otlp_headers_env, garden, environ)
    try:
        module: Any = importlib.import_module(_EXPORTER)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("opentelemetry", "google"):
            raise
        mend = "install it: pip install 'planaria[otel]'"
        problem = "spans are to be exported, and OpenTelemetry is not installed"
        raise SettingsError(garden / FILE_NAME, problem, mend, key="telemetry.otlp_endpoint") from error
    return [child(module.OtlpExporter, settings, headers, node_name, redactor, options, name=NAME)]


def _headers(variable: str | None, garden: Path, environ: Mapping[str, str]) -> dict[str, str]:
    if variable is None:
        return {}
    text = environ.get(variable, "")
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    headers = {name.strip().lower(): unquote(value.strip()) for name, _, value in pairs}
    sendable = all(_NAME.fullmatch(name) and _VALUE.fullmatch(value) for name, value in headers.items())
    if not pairs or not all(equals for _, equals, _ in pairs) or not sendable:
        # The value is a secret and stays out of the message.
        problem = f"the variable {variable} is {'not set' if not text else 'no list of headers'}"
        mend = "set it to name=value,name=value with URL-encoded values, in ASCII and without line ends"
        raise SettingsError(garden / FILE_NAME, problem, mend, key="telemetry.otlp_headers_env")
    return headers
