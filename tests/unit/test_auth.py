from __future__ import annotations

import base64
import hmac
import json
import stat
import time
from typing import TYPE_CHECKING

import pytest

from fwdlab.arm import clock as lab_clock
from fwdlab.arm.auth import Authority, decode_token, encode_token
from fwdlab.arm.errors import ArmError
from fwdlab.clients.credentials import Credentials

if TYPE_CHECKING:
    from pathlib import Path

BASE = "https://127.0.0.1:4043"


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def authority(clock: Clock) -> Authority:
    return Authority(Credentials(), BASE, clock)


def bearer(authority: Authority, audience: str = BASE) -> str:
    return f"Bearer {authority.issue(audience)[0]}"


KEY, OTHER_KEY = b"k" * 32, b"o" * 32


def unpadded(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def signed(head: str, body: str, key: bytes = KEY, digest: str = "sha256") -> str:
    text = f"{unpadded(head)}.{unpadded(body)}"
    signature = hmac.digest(key, text.encode(), digest)
    return f"{text}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


def test_tokens_are_jwts_that_only_the_key_verifies() -> None:
    token = encode_token({"a": 1}, KEY)
    assert decode_token(token, KEY) == {"a": 1}
    assert decode_token(token, OTHER_KEY) is None
    head, body, signature = token.split(".")
    forged = unpadded('{"a":2}')
    assert decode_token(f"{head}.{forged}.{signature}", KEY) is None
    assert json.loads(base64.urlsafe_b64decode(head + "==")) == {"alg": "HS256", "typ": "JWT"}
    assert "=" not in token
    assert body


def test_tokens_that_earlier_labs_signed_by_hand_are_read() -> None:
    assert decode_token(signed('{"alg":"HS256","typ":"JWT"}', '{"a":1}'), KEY) == {"a": 1}


def test_times_and_audience_are_left_to_the_authority() -> None:
    claims = {"aud": "https://graph.microsoft.com", "iat": 2**40, "nbf": 2**40, "exp": 1}
    assert decode_token(encode_token(claims, KEY), KEY) == claims


@pytest.mark.parametrize(
    "token",
    [
        "",
        "a",
        "a.b",
        "a.b.c",
        "...",
        "é.é.é",
        unpadded('{"alg":"none"}') + "." + unpadded('{"a":1}') + ".",
        signed('{"alg":"none"}', '{"a":1}'),
        signed('{"alg":"HS512"}', '{"a":1}', digest="sha512"),
        signed('{"alg":"HS256"}', "[1]"),
        signed('{"alg":"HS256"}', "{"),
        signed("[]", '{"a":1}'),
    ],
)
def test_rubbish_is_no_token(token: str) -> None:
    assert decode_token(token, KEY) is None


@pytest.mark.parametrize(
    "audience",
    [BASE, f"{BASE}/", "https://management.azure.com/", "https://management.core.windows.net/"],
)
def test_az_and_azd_audiences_are_accepted(authority: Authority, audience: str) -> None:
    authority.check(bearer(authority, audience))


@pytest.mark.parametrize(
    ("header", "code"),
    [
        (None, "AuthenticationFailed"),
        ("", "AuthenticationFailed"),
        ("Basic abc", "AuthenticationFailed"),
        ("Bearer x.y.z", "InvalidAuthenticationToken"),
    ],
)
def test_requests_without_a_good_token_are_refused(
    authority: Authority, header: str | None, code: str
) -> None:
    with pytest.raises(ArmError) as caught:
        authority.check(header)
    assert (caught.value.status, caught.value.code) == (401, code)
    assert "Bearer" in caught.value.headers["WWW-Authenticate"]


def test_a_token_for_graph_does_not_open_arm(authority: Authority) -> None:
    with pytest.raises(ArmError, match="InvalidAuthenticationTokenAudience"):
        authority.check(bearer(authority, "https://graph.microsoft.com"))


def test_an_old_token_gets_a_claims_challenge(authority: Authority, clock: Clock) -> None:
    header = bearer(authority)
    clock.now += authority.lifetime
    with pytest.raises(ArmError) as caught:
        authority.check(header)
    assert caught.value.code == "ExpiredAuthenticationToken"
    assert 'error="insufficient_claims"' in caught.value.headers["WWW-Authenticate"]


def test_a_token_of_another_lab_gets_a_claims_challenge_that_can_be_read(authority: Authority) -> None:
    stranger = Authority(Credentials(), BASE, lambda: 1_800_000_000.0)
    with pytest.raises(ArmError) as caught:
        authority.check(bearer(stranger))
    challenge = caught.value.headers["WWW-Authenticate"]
    claims = json.loads(base64.b64decode(challenge.split('claims="')[1].rstrip('"')))
    assert claims["access_token"]["nbf"]["essential"] is True


def test_az_logs_in_with_its_secret_only(authority: Authority) -> None:
    form = {
        "grant_type": "client_credentials",
        "client_id": authority.credentials.client_id,
        "client_secret": authority.credentials.client_secret,
        "scope": f"{BASE}/.default openid",
    }
    status, body = authority.client_token(form)
    assert status == 200
    authority.check(f"Bearer {body['access_token']}")
    known = authority.credentials
    assert authority.check(f"Bearer {body['access_token']}") == known.tenant_id
    others = {"client_id": known.other_client_id, "client_secret": known.other_client_secret}
    status, body = authority.client_token({**form, **others})
    assert (status, authority.check(f"Bearer {body['access_token']}")) == (200, known.other_tenant_id)
    assert authority.client_token({**form, "client_id": known.other_client_id})[0] == 401
    assert authority.client_token({**form, "client_secret": "x"})[0] == 401
    assert authority.client_token({**form, "client_id": "x"})[0] == 400
    assert authority.client_token({**form, "grant_type": "password"})[1]["error"] == "unsupported_grant_type"


def test_azd_gets_the_claims_that_it_needs(authority: Authority) -> None:
    key = f"Bearer {authority.credentials.azd_key}"
    status, body = authority.azd_token(key, {"scopes": ["https://management.azure.com//.default"]})
    assert (status, body["status"]) == (200, "success")
    assert body["expiresOn"].endswith("Z")
    claims = decode_token(body["token"], bytes.fromhex(authority.credentials.signing_key))
    assert claims is not None
    assert claims["aud"] == "https://management.azure.com/"
    assert {"oid", "tid", "preferred_username", "unique_name"} <= claims.keys()
    assert all(isinstance(claims[name], int) for name in ("iat", "nbf", "exp"))
    authority.check(f"Bearer {body['token']}")


def test_azd_needs_its_key_and_scopes(authority: Authority) -> None:
    key = f"Bearer {authority.credentials.azd_key}"
    assert authority.azd_token("Bearer wrong", {"scopes": ["x"]})[0] == 401
    assert authority.azd_token(None, {"scopes": ["x"]})[0] == 401
    for body in (None, {}, {"scopes": []}, {"scopes": [1]}, []):
        assert authority.azd_token(key, body)[0] == 400


def test_the_control_token_is_another_secret(authority: Authority) -> None:
    assert authority.is_control(f"Bearer {authority.credentials.control_token}")
    assert not authority.is_control(bearer(authority))
    assert not authority.is_control(None)


def test_credentials_are_kept_and_private(tmp_path: Path) -> None:
    path = tmp_path / "lab" / "credentials.json"
    made = Credentials.load_or_create(path)
    assert Credentials.load_or_create(path) == made
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert made.client_secret not in repr(made)
    path.write_text("{", encoding="utf-8")
    assert Credentials.load_or_create(path) != made


def test_terraform_takes_the_endpoint_for_a_cloud_of_azures() -> None:
    """What azurerm demands of `/metadata/endpoints`; any other identity provider it takes for Azure Stack."""
    document = Authority(Credentials(), "https://127.0.0.1:4043").cloud_metadata()
    assert document["name"]
    assert (document["authentication"]["identityProvider"], document["authentication"]["tenant"]) == (
        "AAD",
        "common",
    )
    assert (
        document["authentication"]["audiences"] == [document["resourceManager"]] == ["https://127.0.0.1:4043"]
    )
    assert document["microsoftGraphResourceId"]
    assert {"storage", "keyVaultDns"} <= document["suffixes"].keys()


@pytest.mark.parametrize("jump", [-30 * 86400.0, 30 * 86400.0])
def test_the_machines_clock_may_jump(monkeypatch: pytest.MonkeyPatch, jump: float) -> None:
    authority = Authority(Credentials(), BASE)
    header = bearer(authority)
    began, wall = lab_clock.now(), time.time()
    monkeypatch.setattr(time, "time", lambda: wall + jump)
    assert authority.check(header) == authority.check(bearer(authority))
    assert 0 <= (lab_clock.now() - began).total_seconds() < 60
    assert abs(lab_clock.seconds() - wall) < 60
