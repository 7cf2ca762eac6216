"""What every request to Azure Resource Manager goes through: errors in words, bounded retries, the token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from azure.core.exceptions import AzureError, HttpResponseError, ServiceResponseTimeoutError
from azure.core.pipeline import Pipeline, PipelineRequest, PipelineResponse
from azure.core.pipeline.policies import (
    ContentDecodePolicy,
    HTTPPolicy,
    RequestIdPolicy,
    RetryPolicy,
    UserAgentPolicy,
)
from azure.core.rest import HttpResponse
from azure.mgmt.core.policies import ARMChallengeAuthenticationPolicy
from requests.exceptions import SSLError

from fwdctl.azure.errors import LOOPBACK, ArmFailure, connection_failure
from fwdctl.azure.transport import Transport
from fwdctl.errors import FwdctlError

if TYPE_CHECKING:
    from fwdctl.azure.credential import Login
    from fwdctl.runtime import Runtime

RETRIES = 3
LONGEST_RETRY_AFTER = 30.0
"""Seconds; a longer wait is the user's decision."""
REPEATED = frozenset({429, 500, 502, 503, 504})


def pipeline(login: Login, runtime: Runtime) -> Pipeline[Any, Any]:
    """The one pipeline of all clients. It follows no redirects and registers no resource providers."""
    return Pipeline(
        Transport(runtime),
        [
            RequestIdPolicy(),  # which pollers rely on
            UserAgentPolicy(base_user_agent="fwdctl", user_agent_use_env=False),
            ContentDecodePolicy(),
            _ErrorsInWords(login),
            _BoundedRetries(retry_total=RETRIES, retry_backoff_factor=0.4),
            _Authentication(login),
        ],
    )


class _ErrorsInWords(HTTPPolicy[Any, Any]):
    """Turns error answers into ArmFailure and lost connections into FwdctlError, for every operation."""

    def __init__(self, login: Login) -> None:
        super().__init__()
        self._login = login

    def send(self, request: PipelineRequest[Any]) -> PipelineResponse[Any, Any]:
        try:
            response = self.next.send(request)
        except AzureError as error:
            raise connection_failure(error, self._login.endpoint) from error
        answer = response.http_response
        if answer.status_code >= 300:  # noqa: PLR2004 - HTTP's own boundary
            if isinstance(answer, HttpResponse):  # which may be a stream; those of older operations are not
                answer.read()
            raise ArmFailure(HttpResponseError(response=answer), self._login.subscription_id)
        return response


class _BoundedRetries(RetryPolicy[Any, Any]):
    """Repeats 429, 5xx and lost connections, whatever the method: ours may all be repeated."""

    def configure_retries(self, options: dict[str, Any]) -> dict[str, Any]:
        return {**super().configure_retries(options), "methods": {"GET", "HEAD", "PUT", "POST", "DELETE"}}

    def is_retry(self, settings: dict[str, Any], response: PipelineResponse[Any, Any]) -> bool:  # noqa: ARG002
        wait = self.get_retry_after(response) or 0.0
        return response.http_response.status_code in REPEATED and wait <= LONGEST_RETRY_AFTER

    def increment(
        self, settings: dict[str, Any], response: Any = None, error: Exception | None = None
    ) -> bool:
        untrusted = isinstance(getattr(error, "inner_exception", None), SSLError)
        if untrusted or isinstance(error, ServiceResponseTimeoutError):
            return False
        return super().increment(settings, response, error)


class _Authentication(ARMChallengeAuthenticationPolicy):
    """Gives the token to ARM's own host only, and over TLS unless that is this machine."""

    def __init__(self, login: Login) -> None:
        super().__init__(login)  # type: ignore[arg-type]  # needs no closing
        self._endpoint = urlsplit(login.endpoint)

    def on_request(self, request: PipelineRequest[Any]) -> None:
        """Add the token.

        Raises:
            FwdctlError: `foreign_polling_address`; no login.
        """
        url, own = urlsplit(request.http_request.url), self._endpoint
        name, mine = url.hostname or "", own.hostname or ""
        if url.scheme != own.scheme or not (name == mine or name.endswith(f".{mine}")):
            raise FwdctlError(
                "foreign_polling_address",
                f"Azure's answer refers to {name}, which is not {mine}; not followed.",
            )
        if mine in LOOPBACK:
            request.context.options["enforce_https"] = False
        super().on_request(request)
