"""What the settings of a node give its tools: services of their contexts, but for those of floors and processes."""

from collections.abc import Mapping

from planaria.config.settings import Settings
from planaria.cortex.secrets import Secrets
from planaria.membrane.sandbox.policy import SandboxPolicy, basis_of
from planaria.membrane.search.service import SearchService, service_of
from planaria.membrane.web.outbound import WebRules


def services_of(settings: Settings, environ: Mapping[str, str], secrets: Secrets) -> dict[type, object]:
    """By type, as `Context.get` finds them: where tools may fetch, what programs may use, who searches the web."""
    return {
        WebRules: WebRules(private=settings.web_access.places()),
        SandboxPolicy: basis_of(settings.sandbox),
        SearchService: service_of(settings, environ, secrets),
    }
