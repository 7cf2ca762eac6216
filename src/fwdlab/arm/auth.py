"""Signed tokens, their checks, and the token endpoints of az and azd."""

from __future__ import annotations

import base64
import hmac
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import jwt

from fwdlab.arm import clock
from fwdlab.arm.errors import ArmError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fwdlab.clients.credentials import Credentials, Tenant

USER_NAME = "dev@lab.invalid"
TOKEN_SECONDS = 24 * 3600
_ALGORITHM = "HS256"
_SIGNATURE_ONLY: jwt.types.Options = {
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_aud": False,
}
_PUBLIC_AUDIENCES = ("https://management.azure.com", "https://management.core.windows.net")


def encode_token(claims: Mapping[str, Any], key: bytes) -> str:
    return jwt.encode(dict(claims), key, algorithm=_ALGORITHM)


def decode_token(token: str, key: bytes) -> dict[str, Any] | None:
    """The claims of a token that this key has signed, None for any other; times are not checked."""
    try:
        return jwt.decode(token, key, algorithms=[_ALGORITHM], options=_SIGNATURE_ONLY)
    except jwt.InvalidTokenError:
        return None


class Authority:
    """Issues tokens and checks them; `base_url` is the lab's own audience, besides the public cloud's two."""

    def __init__(
        self, credentials: Credentials, base_url: str, now: Callable[[], float] = clock.seconds
    ) -> None:
        self.credentials = credentials
        self.base_url = base_url
        self.lifetime = TOKEN_SECONDS
        self.valid_from = 0
        self._clock = now
        self._key = bytes.fromhex(credentials.signing_key)
        self.audiences = (base_url, *_PUBLIC_AUDIENCES)

    def issue(self, audience: str, tenant: Tenant | None = None) -> tuple[str, int]:
        """A token and the second it ends; azd needs all of these claims (oid, tid, a user name, one aud)."""
        now = int(self._clock())
        ends = now + self.lifetime
        tenant = tenant or self.credentials.tenants[0]
        who = tenant.client_id
        claims = {
            "aud": audience,
            "iss": f"{self.base_url}/adfs",
            "iat": now,
            "nbf": now,
            "exp": ends,
            "tid": tenant.tenant_id,
            "oid": who,
            "sub": who,
            "appid": who,
            "upn": USER_NAME,
            "unique_name": USER_NAME,
            "preferred_username": USER_NAME,
            "ver": "1.0",
        }
        return encode_token(claims, self._key), ends

    def check(self, header: str | None) -> str:
        """Check the `Authorization` header of a request to ARM; the tenant that its token is of.

        Raises:
            ArmError: 401 with ARM's codes; for a token of an earlier lab with a claims challenge, on which
                MSAL and azd drop what they have cached and ask for a new one.
        """
        token = _bearer(header)
        if token is None:
            raise self._refusal(
                "AuthenticationFailed",
                "Authentication failed. The 'Authorization' header is missing.",
                "The authentication failed because of missing header.",
            )
        claims = decode_token(token, self._key)
        if claims is None:
            raise self._refusal("InvalidAuthenticationToken", "The access token is invalid.")
        if int(claims.get("exp", 0)) <= self._clock() or int(claims.get("iat", 0)) < self.valid_from:
            raise self.expired()
        audience = str(claims.get("aud", "")).rstrip("/")
        if audience not in self.audiences:
            raise self._refusal(
                "InvalidAuthenticationTokenAudience",
                f"The access token has been obtained for wrong audience or resource '{audience}'. "
                f"It should exactly match with one of the allowed audiences {','.join(self.audiences)}.",
                "The audience is wrong.",
            )
        return str(claims.get("tid", ""))

    def wrong_tenant(self, tenant: str, owner: str) -> ArmError:
        """A token of one tenant for a subscription of another one, in ARM's words."""
        return self._refusal(
            "InvalidAuthenticationTokenTenant",
            f"The access token is from the wrong issuer 'https://sts.windows.net/{tenant}/'. It must match "
            f"the tenant 'https://sts.windows.net/{owner}/' associated with this subscription.",
            "The access token is from the wrong issuer.",
        )

    def expired(self) -> ArmError:
        message = "The access token expiry UTC time is earlier than current UTC time."
        return self._refusal("ExpiredAuthenticationToken", message)

    def _refusal(self, code: str, message: str, why: str = "") -> ArmError:
        """A 401; without a reason for the challenge, clients are asked to get a new token."""
        address = f'authorization_uri="{self.base_url}/adfs'
        if why:
            challenge = f'Bearer {address}", error="invalid_token", error_description="{why}"'
        else:
            wanted = {"access_token": {"nbf": {"essential": True, "value": str(int(self._clock()))}}}
            claims = base64.b64encode(json.dumps(wanted).encode()).decode()
            challenge = (
                f'Bearer realm="", {address}/oauth2/authorize", error="insufficient_claims", '
                f'claims="{claims}"'
            )
        return ArmError(401, code, message, headers={"WWW-Authenticate": challenge})

    def client_token(self, form: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
        """Status and body for az's log-in as service principal, as Microsoft's identity platform answers."""
        if form.get("grant_type") != "client_credentials":
            text = "AADSTS70003: The lab knows the grant type client_credentials only."
            return _refused(400, "unsupported_grant_type", text, 70003)
        known = next((t for t in self.credentials.tenants if _same(form.get("client_id"), t.client_id)), None)
        if known is None:
            text = "AADSTS700016: Application was not found in the directory 'fwdctl lab'."
            return _refused(400, "unauthorized_client", text, 700016)
        if not _same(form.get("client_secret"), known.client_secret):
            text = "AADSTS7000215: Invalid client secret provided."
            return _refused(401, "invalid_client", text, 7000215)
        scope = form.get("scope") or form.get("resource", "")
        audience = _audience(scope.split(" ")[0])
        token, ends = self.issue(audience, known)
        seconds = ends - int(self._clock())
        return 200, {
            "token_type": "Bearer",
            "expires_in": seconds,
            "ext_expires_in": seconds,
            "expires_on": str(ends),
            "resource": audience,
            "access_token": token,
        }

    def azd_token(self, header: str | None, body: Any) -> tuple[int, dict[str, Any]]:
        """Status and body of azd's external token endpoint (POST, api-version 2023-07-12-preview)."""
        if not _same(_bearer(header), self.credentials.azd_key):
            message = "AZD_AUTH_KEY is not this lab's."
            return 401, {"status": "error", "code": "Unauthorized", "message": message}
        scopes = body.get("scopes") if isinstance(body, dict) else None
        if not isinstance(scopes, list) or not scopes or not isinstance(scopes[0], str):
            return 400, {"status": "error", "code": "InvalidRequest", "message": "'scopes' is missing."}
        token, ends = self.issue(_audience(scopes[0]))
        expires = datetime.fromtimestamp(ends, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return 200, {"status": "success", "token": token, "expiresOn": expires}

    def is_control(self, header: str | None) -> bool:
        return _same(_bearer(header), self.credentials.control_token)

    def openid_configuration(self) -> dict[str, Any]:
        """Discovery document of the AD FS authority, which MSAL takes without asking Microsoft about it."""
        authority = f"{self.base_url}/adfs"
        return {
            "issuer": authority,
            "authorization_endpoint": f"{authority}/oauth2/authorize",
            "token_endpoint": f"{authority}/oauth2/token",
            "device_authorization_endpoint": f"{authority}/oauth2/devicecode",
            "jwks_uri": f"{authority}/discovery/keys",
            "token_endpoint_auth_methods_supported": ["client_secret_post"],
            "response_types_supported": ["code"],
        }

    def cloud_metadata(self) -> dict[str, Any]:
        """`/metadata/endpoints`, which Terraform's azurerm reads; anything else it takes for Azure Stack."""
        base = self.base_url
        return {
            "name": "FwdLab",
            "portal": base,
            "graph": base,
            "graphAudience": base,
            "gallery": base,
            "resourceManager": base,
            "batch": base,
            "media": base,
            "sqlManagement": base,
            "vmImageAliasDoc": f"{base}/aliases.json",
            "microsoftGraphResourceId": base,
            "activeDirectoryDataLake": base,
            "authentication": {
                "loginEndpoint": f"{base}/adfs",
                "audiences": [base],
                "tenant": "common",
                "identityProvider": "AAD",
            },
            "suffixes": {
                "storage": "lab.invalid",
                "keyVaultDns": "vault.lab.invalid",
                "acrLoginServer": "azurecr.lab.invalid",
                "sqlServerHostname": "database.lab.invalid",
            },
        }


def _refused(status: int, error: str, text: str, code: int) -> tuple[int, dict[str, Any]]:
    return status, {"error": error, "error_description": text, "error_codes": [code]}


def _same(given: str | None, secret: str) -> bool:
    return hmac.compare_digest((given or "").encode(), secret.encode())


def _bearer(header: str | None) -> str | None:
    scheme, _, token = (header or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


def _audience(scope: str) -> str:
    """`https://management.azure.com//.default` is for `https://management.azure.com/`."""
    return scope.removesuffix(".default").rstrip("/") + "/" if scope.endswith(".default") else scope
