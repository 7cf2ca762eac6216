"""Who we are in Azure: az's login, in this process; else azd's; else a clear error.

azure-cli-core is used as az itself uses it, so that its login, its active cloud, its token cache and
AZURE_CONFIG_DIR are honoured. It is imported inside functions only, because it costs tens of milliseconds.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from fwdctl.azd.environment import run_azd
from fwdctl.azure.documents import same
from fwdctl.azure.errors import unreachable, untrusted
from fwdctl.errors import FwdctlError, MissingError
from fwdctl.shell import quoted

if TYPE_CHECKING:
    from azure.core.credentials import AccessTokenInfo, TokenRequestOptions

    from fwdctl.runtime import Runtime

EARLY = 120.0
"""Seconds before its end from which a token is not used any more."""

AZD_CLOUDS = {
    "AzureCloud": "https://management.azure.com",
    "AzureUSGovernment": "https://management.usgovcloudapi.net",
    "AzureChinaCloud": "https://management.chinacloudapi.cn",
}
"""azd's `cloud.name` -> ARM endpoint, which is the audience too (azd, pkg/cloud/cloud.go)."""


class _Token(Protocol):
    token: str
    expires_on: float


@dataclass
class Login:
    """A login for one subscription.

    Attributes:
        endpoint: ARM's address, without a slash at the end.
        active: the subscription that az means where none is named; empty where az has no login.
    """

    subscription_id: str
    endpoint: str
    _fetch: Callable[[str | None], tuple[str, float]] = field(repr=False)
    _cached: tuple[str, float] = field(default=("", 0.0), repr=False)
    active: str = ""

    def token(self, claims: str | None = None) -> str:
        """A bearer token that is still good for a while; claims of a challenge of ARM ask for a new one.

        Raises:
            FwdctlError: the login has expired (exit code 3) or its service cannot be reached (5).
        """
        if claims is not None or self._cached[1] - EARLY < time.time():
            self._cached = self._fetch(claims)
        return self._cached[0]

    def get_token_info(self, *_scopes: str, options: TokenRequestOptions | None = None) -> AccessTokenInfo:
        """What azure-core asks a credential for; the scopes are always those of the active cloud."""
        from azure.core.credentials import AccessTokenInfo

        self.token((options or {}).get("claims"))
        token, ends = self._cached
        return AccessTokenInfo(token, int(ends))

    def az(self, *words: str) -> str:
        """A command of az about this subscription, to be typed as it stands."""
        named = () if same(self.subscription_id, self.active) else ("--subscription", self.subscription_id)
        return " ".join(map(quoted, ("az", *words, *named)))


def log_in(runtime: Runtime, subscription_id: str | None = None) -> Login:
    """Find a login for a subscription, else for AZURE_SUBSCRIPTION_ID, else for az's default.

    Raises:
        FwdctlError: nobody is logged in, or not to this subscription (exit code 3).
    """
    _require_az_folder(runtime)
    wanted = subscription_id or runtime.environ.get("AZURE_SUBSCRIPTION_ID") or None
    try:
        return _az_login(runtime, wanted)
    except _NoAzLoginError as error:
        login = _azd_login(runtime, wanted)
        if login is not None:
            return login
        raise _not_logged_in(wanted, str(error)) from error


def _require_az_folder(runtime: Runtime) -> None:
    """Refuse a folder that is gone, before az's library makes it anew and warns of its files."""
    folder = runtime.environ.get("AZURE_CONFIG_DIR")
    if folder and not Path(folder).is_dir():
        raise MissingError(
            "azure_config_missing",
            f"AZURE_CONFIG_DIR names {folder}, which does not exist.",
            "Unset it, or log in to Azure anew with `az login`.",
        )


class _NoAzLoginError(Exception):
    """az has no login for this subscription."""


def _not_logged_in(wanted: str | None, why: str) -> FwdctlError:
    where = f" for subscription {wanted}" if wanted else ""
    detail = f" ({why.strip().rstrip('.')})" if why.strip() else ""
    return MissingError(
        "not_logged_in", f"Not logged in to Azure{where}{detail}.", "Run `az login` or `azd auth login`."
    )


def _az_login(runtime: Runtime, wanted: str | None) -> Login:
    from azure.cli.core import get_default_cli
    from azure.cli.core._profile import Profile
    from azure.cli.core.auth.util import resource_to_scopes
    from knack.util import CLIError
    from requests.exceptions import RequestException

    cli = get_default_cli()
    profile = Profile(cli_ctx=cli)
    try:
        credential, subscription, tenant = profile.get_login_credentials(subscription_id=wanted)
    except CLIError as error:
        raise _NoAzLoginError(_one_line(error)) from error
    except RequestException as error:
        raise _login_unreachable(error) from error
    expected = runtime.environ.get("AZURE_TENANT_ID")
    if expected and expected.lower() != tenant.lower():
        raise MissingError(
            "tenant_mismatch",
            f"az knows subscription {subscription} in tenant {tenant}, but AZURE_TENANT_ID is {expected}.",
            f"Run `az login --tenant {expected}` or unset AZURE_TENANT_ID.",
        )
    endpoints = cli.cloud.endpoints
    scopes = resource_to_scopes(endpoints.active_directory_resource_id)
    return Login(
        subscription,
        str(endpoints.resource_manager).rstrip("/"),
        lambda claims: _az_token(credential, scopes, claims),
        active=_active(profile),
    )


def _active(profile: Any) -> str:
    from knack.util import CLIError

    try:
        return str(profile.get_subscription_id())
    except CLIError:  # logged in, and none is set
        return ""


def _az_token(credential: Any, scopes: list[str], claims: str | None) -> tuple[str, float]:
    from azure.cli.core.azclierror import AuthenticationError
    from knack.util import CLIError
    from requests.exceptions import RequestException

    try:
        token: _Token = credential.get_token(*scopes, **({"claims": claims} if claims else {}))
    except AuthenticationError as error:
        raise MissingError(
            "login_expired",
            f"Azure does not accept az's login any more: {_one_line(error)}",
            "Run `az login`.",
        ) from error
    except CLIError as error:
        raise _not_logged_in(None, _one_line(error)) from error
    except RequestException as error:
        raise _login_unreachable(error) from error
    return token.token, float(token.expires_on)


def _login_unreachable(error: Exception) -> FwdctlError:
    from requests.exceptions import SSLError

    if isinstance(error, SSLError):
        return untrusted("login_tls_untrusted", "Azure's login service", error)
    return unreachable("login_unreachable", "Azure's login service cannot be reached", error)


def _azd_login(runtime: Runtime, wanted: str | None) -> Login | None:
    """The login of azd; None where azd is missing, not logged in, or no subscription is named."""
    if wanted is None:
        return None
    cloud = ""
    with suppress(FwdctlError):  # azd has no name for its cloud unless it was told one
        cloud = run_azd(runtime, "config", "get", "cloud.name").strip().strip('"')
    endpoint = AZD_CLOUDS.get(cloud, AZD_CLOUDS["AzureCloud"])
    tenant = runtime.environ.get("AZURE_TENANT_ID", "")

    def fetch(claims: str | None) -> tuple[str, float]:
        arguments = ["--output", "json", "--no-prompt", "--scope", f"{endpoint}/.default"]
        arguments += ["--tenant-id", tenant] if tenant else []
        arguments += ["--claims", claims] if claims else []
        try:
            answer = run_azd(runtime, "auth", "token", *arguments)
        except FwdctlError as error:
            raise _not_logged_in(wanted, "`azd auth token` gives no token") from error
        try:
            document = json.loads(answer)
            ends = datetime.fromisoformat(str(document["expiresOn"]))
            return str(document["token"]), ends.timestamp()
        except (ValueError, KeyError, TypeError) as error:
            raise _not_logged_in(wanted, "`azd auth token` printed no token") from error

    login = Login(wanted, endpoint, fetch)
    try:
        login.token()
    except FwdctlError:
        return None
    return login


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
