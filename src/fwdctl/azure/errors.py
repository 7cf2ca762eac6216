"""What ARM's errors mean to the user, and what to do about them."""

from __future__ import annotations

import re
from collections.abc import Container
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from fwdctl.errors import ExitCode, FwdctlError

if TYPE_CHECKING:
    from azure.core.exceptions import AzureError, HttpResponseError

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


_MEANINGS: tuple[tuple[Container[object], str, str, str, ExitCode], ...] = (
    (
        {"resourcegroupnotfound"},
        "resource_group_not_found",
        "Resource group '{group}' was not found in subscription {subscription}.",
        "Check -g, or choose another environment with `azd env select`.",
        ExitCode.NOT_FOUND,
    ),
    (
        {"subscriptionnotfound", "invalidsubscriptionid"},
        "subscription_not_found",
        "Subscription {subscription} was not found.",
        "Check AZURE_SUBSCRIPTION_ID and `az account list`.",
        ExitCode.NOT_FOUND,
    ),
    (
        {404},
        "resource_not_found",
        "'{name}' was not found in resource group '{group}' ({code}).",
        "Run `azd provision --no-state` if it should be there.",
        ExitCode.NOT_FOUND,
    ),
    (
        {401},
        "login_refused",
        "Azure refused the login: {words} ({code}).",
        "Run `az login` (with --tenant, if the subscription is in another one) or `azd auth login`.",
        ExitCode.NOT_FOUND,
    ),
    (
        {403},
        "not_authorized",
        "No permission for '{name}' in resource group '{group}': {words} ({code}).",
        "Ask for the role Contributor on the resource group, or log in as somebody who has it.",
        ExitCode.NOT_FOUND,
    ),
    (
        {429},
        "arm_throttled",
        "Azure limits the number of requests: {words}.",
        "Try again {when}.",
        ExitCode.INCONCLUSIVE,
    ),
    (
        range(500, 600),
        "arm_unavailable",
        "Azure Resource Manager fails: {words} ({code}, HTTP {status}).",
        "Try again; see https://status.azure.com if it stays.",
        ExitCode.INCONCLUSIVE,
    ),
    (range(1000), "arm_refused", "Azure refused: {words} ({code}).", "", ExitCode.UNEXPECTED),
)
"""ARM's codes or HTTP statuses, and what we make of them. First match wins; the last one always does."""


class ArmFailure(FwdctlError):  # noqa: N818 - an error already by its base
    """ARM answered with an error, explained.

    Attributes:
        arm_code: ARM's own code, e.g. `ResourceNotFound`.
        arm_message: ARM's own words.
    """

    def __init__(self, error: HttpResponseError, subscription: str) -> None:
        """From an error that has its response; the subscription's id is for the message."""
        answer: Any = error.response
        self.status = answer.status_code
        self.arm_code = (error.error and error.error.code) or f"HTTP{self.status}"
        cause = error.error
        while cause is not None and cause.details:  # the errors around it only say that there is one
            cause = cause.details[0]
        said = (cause and cause.message) or "no explanation given"
        self.arm_message = " ".join(said.split())
        group, name = _names(urlsplit(answer.request.url).path)
        wait = answer.headers.get("Retry-After", "")
        facts = {
            "group": group,
            "name": name,
            "words": self.arm_message.rstrip("."),
            "code": (cause and cause.code) or self.arm_code,
            "status": self.status,
            "subscription": subscription,
            "when": f"in {wait} s" if wait.isdigit() and int(wait) else "in a minute",
        }
        told = (self.arm_code.lower(), self.status)
        _, code, message, suggestion, exit_code = next(
            meaning for meaning in _MEANINGS if any(each in meaning[0] for each in told)
        )
        super().__init__(code, message.format_map(facts), suggestion.format_map(facts), exit_code=exit_code)


def _names(path: str) -> tuple[str, str]:
    """Resource group and resource name of a path."""
    group = re.search(r"/resourcegroups/([^/]+)", path, re.IGNORECASE)
    name = re.search(r"/providers/[^/]+/[^/]+/([^/]+)", path, re.IGNORECASE)
    return (group[1] if group else "-", name[1] if name else (group[1] if group else path))


def connection_failure(error: AzureError, endpoint: str) -> FwdctlError:
    """No answer from ARM at an address: TLS, refused, timed out."""
    from azure.core.exceptions import ServiceRequestTimeoutError, ServiceResponseTimeoutError
    from requests.exceptions import SSLError

    host = urlsplit(endpoint)
    if isinstance(error.inner_exception, SSLError):
        return untrusted("arm_tls_untrusted", host.netloc, error)
    if host.hostname in LOOPBACK:
        return FwdctlError(
            "arm_unreachable",
            f"Nothing answers at {host.netloc}, the Azure endpoint of the active cloud.",
            "Start what should answer there, or unset AZURE_CONFIG_DIR.",
            exit_code=ExitCode.NOT_FOUND,
        )
    late = isinstance(error, ServiceRequestTimeoutError | ServiceResponseTimeoutError)
    what = "did not answer in time" if late else "cannot be reached"
    return unreachable("arm_unreachable", f"Azure Resource Manager at {host.netloc} {what}", error)


def untrusted(code: str, host: str, error: Exception) -> FwdctlError:
    return FwdctlError(
        code,
        f"The certificate of {host} is not trusted: {_short(error)}.",
        "Set REQUESTS_CA_BUNDLE to a bundle that has your proxy's authority.",
        exit_code=ExitCode.INCONCLUSIVE,
    )


def unreachable(code: str, what: str, error: Exception) -> FwdctlError:
    message = f"{what}: {_short(error)}."
    return FwdctlError(code, message, "Check the network and HTTPS_PROXY.", exit_code=ExitCode.INCONCLUSIVE)


def _short(error: Exception) -> str:
    """The innermost cause without the library's object addresses."""
    text = " ".join(str(error).split())
    reason = re.search(r"(\[[^\]]*\][^'\")]*|certificate verify failed[^'\")]*)", text)
    return (reason[0] if reason else text).strip().rstrip(".")
