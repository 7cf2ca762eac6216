"""What ARM's errors mean to the user, and what mends them."""

from __future__ import annotations

import re
from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from fwdctl.errors import ExitCode, FwdctlError


class ArmFailure(FwdctlError):  # noqa: N818 - an error already by its base
    """ARM answered with an error.

    Attributes:
        status: HTTP status.
        arm_code: ARM's own code, e.g. `ResourceNotFound`.
        arm_message: ARM's own words.
    """

    def __init__(
        self,
        status: int,
        arm: tuple[str, str],
        code: str,
        message: str,
        suggestion: str = "",
        *,
        exit_code: ExitCode = ExitCode.UNEXPECTED,
    ) -> None:  # (status, (ARM's code, its words), and what FwdctlError takes)
        super().__init__(code, message, suggestion, exit_code=exit_code)
        self.status = status
        self.arm_code, self.arm_message = arm


def arm_failure(
    status: int, body: Any, *, path: str, subscription: str, retry_after: float | None = None
) -> ArmFailure:
    """Explain an error answer.

    Args:
        status: HTTP status.
        body: decoded JSON or None.
        path: of the request.
        subscription: its id, for messages.
        retry_after: seconds that ARM asked to wait, if it did.
    """
    error = body.get("error", body) if isinstance(body, dict) else {}
    error = error if isinstance(error, dict) else {}
    cause = error
    while cause.get("details"):  # the errors around it only say that there is one
        cause = cause["details"][0]
    arm_code = str(error.get("code") or f"HTTP{status}")
    words = " ".join(str(cause.get("message") or "no explanation given").split())
    group, name = _names(path)
    _, code, text, suggestion, exit_code = next(m for m in _MEANINGS if m[0](status, arm_code.lower()))
    facts = {
        "group": group,
        "name": name,
        "words": words.rstrip("."),
        "code": str(cause.get("code") or arm_code),
        "status": status,
        "subscription": subscription,
        "when": f"in {retry_after:.0f} s" if retry_after else "in a minute",
    }
    return ArmFailure(
        status,
        (arm_code, words),
        code,
        text.format_map(facts),
        suggestion.format_map(facts),
        exit_code=exit_code,
    )


_Meaning = tuple[Callable[[int, str], bool], str, str, str, ExitCode]
_MEANINGS: tuple[_Meaning, ...] = (
    (
        lambda _, code: code == "resourcegroupnotfound",
        "resource_group_not_found",
        "Resource group '{group}' was not found in subscription {subscription}.",
        "Check -g, or choose another environment with `azd env select`.",
        ExitCode.NOT_FOUND,
    ),
    (
        lambda _, code: code in {"subscriptionnotfound", "invalidsubscriptionid"},
        "subscription_not_found",
        "Subscription {subscription} was not found.",
        "Check AZURE_SUBSCRIPTION_ID and `az account list`.",
        ExitCode.NOT_FOUND,
    ),
    (
        lambda status, _: status == HTTPStatus.NOT_FOUND,
        "resource_not_found",
        "'{name}' was not found in resource group '{group}' ({code}).",
        "Run `azd provision --no-state` if it should be there.",
        ExitCode.NOT_FOUND,
    ),
    (
        lambda status, _: status == HTTPStatus.UNAUTHORIZED,
        "login_refused",
        "Azure refused the login: {words} ({code}).",
        "Run `az login` (with --tenant, if the subscription is in another one) or `azd auth login`.",
        ExitCode.NOT_FOUND,
    ),
    (
        lambda status, _: status == HTTPStatus.FORBIDDEN,
        "not_authorized",
        "No permission for '{name}' in resource group '{group}': {words} ({code}).",
        "Ask for the role Contributor on the resource group, or log in as somebody who has it.",
        ExitCode.NOT_FOUND,
    ),
    (
        lambda status, _: status == HTTPStatus.TOO_MANY_REQUESTS,
        "arm_throttled",
        "Azure limits the number of requests: {words}.",
        "Try again {when}.",
        ExitCode.INCONCLUSIVE,
    ),
    (
        lambda status, _: status >= HTTPStatus.INTERNAL_SERVER_ERROR,
        "arm_unavailable",
        "Azure Resource Manager fails: {words} ({code}, HTTP {status}).",
        "Try again; see https://status.azure.com if it stays.",
        ExitCode.INCONCLUSIVE,
    ),
    (lambda _status, _code: True, "arm_refused", "Azure refused: {words} ({code}).", "", ExitCode.UNEXPECTED),
)
"""First match wins; the last one always does."""


def _names(path: str) -> tuple[str, str]:
    """Resource group and resource name of a path."""
    group = re.search(r"/resourcegroups/([^/]+)", path, re.IGNORECASE)
    name = re.search(r"/providers/[^/]+/[^/]+/([^/]+)", path, re.IGNORECASE)
    return (group[1] if group else "-", name[1] if name else (group[1] if group else path))


def connection_failure(error: Exception, endpoint: str) -> FwdctlError:
    """No answer from ARM: TLS, refused, timed out.

    Args:
        error: of `requests`.
        endpoint: ARM's address.
    """
    from requests.exceptions import SSLError, Timeout

    host = urlsplit(endpoint).netloc
    if isinstance(error, SSLError):
        return FwdctlError(
            "arm_tls_untrusted",
            f"The certificate of {host} is not trusted: {_short(error)}.",
            "Set REQUESTS_CA_BUNDLE to a bundle that has your proxy's or the lab's authority.",
            exit_code=ExitCode.INCONCLUSIVE,
        )
    if urlsplit(endpoint).hostname in {"127.0.0.1", "localhost", "::1"}:
        return FwdctlError(
            "arm_unreachable",
            f"Nothing answers at {host}, the Azure endpoint of the active cloud.",
            "If that is the lab, run `fwdctl lab up`, or leave it with `fwdctl_lab_off`; "
            "else unset AZURE_CONFIG_DIR.",
            exit_code=ExitCode.NOT_FOUND,
        )
    slow = "did not answer in time" if isinstance(error, Timeout) else "cannot be reached"
    return FwdctlError(
        "arm_unreachable",
        f"Azure Resource Manager at {host} {slow}: {_short(error)}.",
        "Check the network and HTTPS_PROXY.",
        exit_code=ExitCode.INCONCLUSIVE,
    )


def _short(error: Exception) -> str:
    """The innermost cause without the library's object addresses."""
    text = " ".join(str(error).split())
    reason = re.search(r"(\[[^\]]*\][^'\")]*|certificate verify failed[^'\")]*)", text)
    return (reason[0] if reason else text).strip().rstrip(".")
