"""The ARM client: retries, polling, errors in words; what leaves the process and what must not."""

from __future__ import annotations

import base64
import io
import ssl
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from fwdctl.azure.arm import Arm
from fwdctl.azure.containers import Containers, parse
from fwdctl.azure.credential import Login, log_in
from fwdctl.azure.errors import ArmFailure, connection_failure
from fwdctl.azure.networks import Networks
from fwdctl.errors import FwdctlError
from fwdctl.runtime import Runtime
from support.fake_arm import CONTAINERS, GROUP, NETWORK, FakeArm, container_group, fake_arm
from support.fake_program import write_program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BOX = f"{CONTAINERS}/box"


@pytest.fixture
def arm() -> Iterator[FakeArm]:
    with fake_arm() as fake:
        yield fake


def test_a_document_and_the_token(arm: FakeArm) -> None:
    arm.on("GET", BOX, container_group("box", "Stopped"))
    group = Containers(arm.client(), "rg-dev").get("box")
    assert (group.state, group.container, group.running) == ("Stopped", "jump", False)
    assert arm.tokens == ["Bearer secret-token"]


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_patience_with_a_busy_service(arm: FakeArm, status: int) -> None:
    busy = (status, {"error": {"code": "Busy", "message": "later"}}, {"Retry-After": "7"})
    arm.on("GET", BOX, busy, container_group("box"))
    pauses: list[float] = []
    assert arm.client(sleep=pauses.append).get(BOX, "v")["name"] == "box"
    assert pauses == [7.0]


def test_patience_ends(arm: FakeArm) -> None:
    arm.fail("GET", BOX, 503, "ServerBusy")
    with pytest.raises(ArmFailure) as error:
        arm.client().get(BOX, "v")
    assert (error.value.code, error.value.exit_code, len(arm.calls)) == ("arm_unavailable", 5, 4)


def test_a_long_wait_is_the_users_decision(arm: FakeArm) -> None:
    arm.fail("GET", BOX, 429, "TooManyRequests", Retry_After="600")
    with pytest.raises(ArmFailure) as error:
        arm.client().get(BOX, "v")
    assert (error.value.suggestion, len(arm.calls)) == ("Try again in 600 s.", 1)


@pytest.mark.parametrize(
    ("status", "arm_code", "code", "exit_code", "words"),
    [
        (
            404,
            "ResourceGroupNotFound",
            "resource_group_not_found",
            3,
            "'rg-dev' was not found in subscription",
        ),
        (404, "SubscriptionNotFound", "subscription_not_found", 3, "was not found"),
        (404, "ResourceNotFound", "resource_not_found", 3, "'box' was not found in resource group 'rg-dev'"),
        (401, "InvalidAuthenticationTokenTenant", "login_refused", 3, "Azure refused the login"),
        (403, "AuthorizationFailed", "not_authorized", 3, "No permission for 'box'"),
        (409, "ContainerGroupStopped", "arm_refused", 1, "Azure refused: words"),
    ],
)
def test_errors_in_words(  # noqa: PLR0917 - a table
    arm: FakeArm, status: int, arm_code: str, code: str, exit_code: int, words: str
) -> None:
    arm.fail("GET", BOX, status, arm_code, "words")
    with pytest.raises(ArmFailure) as error:
        arm.client().get(BOX, "v")
    assert (error.value.code, error.value.exit_code, error.value.arm_code) == (code, exit_code, arm_code)
    assert words in error.value.message
    assert "\n" not in error.value.message


def test_an_answer_that_is_not_json(arm: FakeArm) -> None:
    arm.on("GET", BOX, (400, None, {}))
    with pytest.raises(ArmFailure) as error:
        arm.client().get(BOX, "v")
    assert error.value.arm_code == "HTTP400"


def test_a_claims_challenge_is_answered_once(arm: FakeArm) -> None:
    claims = '{"access_token":{"nbf":{"essential":true,"value":"1"}}}'
    text = base64.b64encode(claims.encode()).decode().rstrip("=")
    header = {"WWW-Authenticate": f'Bearer realm="", error="insufficient_claims", claims="{text}"'}
    arm.on(
        "GET", BOX, (401, {"error": {"code": "InvalidAuthenticationToken"}}, header), container_group("box")
    )
    asked: list[str | None] = []

    def token(wanted: str | None) -> tuple[str, float]:
        asked.append(wanted)
        return f"token{len(asked)}", 9e9

    arm.token = token
    arm.client().get(BOX, "v")
    assert asked == [None, claims]
    assert arm.tokens == ["Bearer token1", "Bearer token2"]


def test_all_pages(arm: FakeArm) -> None:
    arm.on("GET", CONTAINERS, {"value": [container_group("a")], "nextLink": f"{arm.url}/page2?x=1"})
    arm.on("GET", "/page2", {"value": [container_group("b")]})
    assert [group.name for group in Containers(arm.client(), "rg-dev").list()] == ["a", "b"]


def test_a_token_is_never_sent_to_another_host(arm: FakeArm) -> None:
    arm.on("GET", CONTAINERS, {"value": [], "nextLink": "http://127.0.0.2/page2"})
    with pytest.raises(FwdctlError, match=r"127\.0\.0\.2"):
        Containers(arm.client(), "rg-dev").list()


@pytest.mark.parametrize("header", ["Azure-AsyncOperation", "Location"])
def test_polling_is_fast_and_ends(arm: FakeArm, header: str) -> None:
    begun = {header: f"{arm.url}/operation"}
    arm.on("POST", f"{BOX}/start", (202 if header == "Location" else 204, None, begun))
    going, done = ((200, {"status": "Pending"}, {}), {"status": "Succeeded"})
    if header == "Location":
        going, done = (202, None, {}), {"done": True}
    arm.on("GET", "/operation", going, going, going, done)
    pauses: list[float] = []
    client = arm.client(sleep=pauses.append)
    containers = Containers(client, "rg-dev")
    containers.finish_start(containers.begin_start("box"))
    assert [round(pause, 2) for pause in pauses] == [0.2, 0.3, 0.45]


def test_polling_honours_retry_after(arm: FakeArm) -> None:
    arm.on("POST", f"{BOX}/start", (204, None, {"Azure-AsyncOperation": f"{arm.url}/operation"}))
    arm.on("GET", "/operation", (200, {"status": "Pending"}, {"Retry-After": "5"}), {"status": "Succeeded"})
    pauses: list[float] = []
    containers = Containers(arm.client(sleep=pauses.append), "rg-dev")
    containers.finish_start(containers.begin_start("box"))
    assert sum(pauses) == 5.0


def test_a_failed_operation(arm: FakeArm) -> None:
    arm.on("POST", f"{BOX}/start", (204, None, {"Azure-AsyncOperation": f"{arm.url}/operation"}))
    failure = {"status": "Failed", "error": {"code": "InaccessibleImage", "message": "cannot pull"}}
    arm.on("GET", "/operation", failure)
    containers = Containers(arm.client(), "rg-dev")
    with pytest.raises(ArmFailure, match="cannot pull") as error:
        containers.finish_start(containers.begin_start("box"))
    assert error.value.arm_code == "InaccessibleImage"


def test_an_operation_without_end(arm: FakeArm) -> None:
    arm.on("POST", f"{BOX}/start", (204, None, {"Azure-AsyncOperation": f"{arm.url}/operation"}))
    arm.on("GET", "/operation", {"status": "Pending"})
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    containers = Containers(arm.client(sleep=sleep, clock=lambda: now[0]), "rg-dev")
    with pytest.raises(FwdctlError) as error:
        containers.finish_start(containers.begin_start("box"))
    assert (error.value.code, error.value.exit_code) == ("operation_timed_out", 5)


def test_a_long_retry_after_is_bounded_by_the_limit_and_interruptible(arm: FakeArm) -> None:
    arm.on("POST", f"{BOX}/start", (202, None, {"Location": f"{arm.url}/operation"}))
    arm.on("GET", "/operation", (202, None, {"Retry-After": "600"}))
    now, ticks = [0.0], [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    client = arm.client(sleep=sleep, clock=lambda: now[0])
    begun = client.request("POST", f"{BOX}/start", "v")
    with pytest.raises(FwdctlError) as error:
        client.wait(begun, timeout=30.0, tick=lambda: ticks.append(now[0]))
    assert (error.value.code, now[0]) == ("operation_timed_out", 30.0)
    assert max(later - earlier for earlier, later in pairwise(ticks)) <= 0.5


def test_rule_health(arm: FakeArm) -> None:
    rule = f"{NETWORK}/loadBalancers/lb/loadBalancingRules/web/health"
    arm.on("POST", rule, (202, None, {"Location": f"{arm.url}/result"}))
    arm.on(
        "GET",
        "/result",
        {"up": 0, "loadBalancerBackendAddresses": [{"ipAddress": "10.0.1.6", "state": "Down"}]},
    )
    assert Networks(arm.client(), "rg-dev").rule_health("lb", "web")[0]["ipAddress"] == "10.0.1.6"


def test_nothing_listens() -> None:
    login = Login("az", "s", "t", "http://127.0.0.1:1", lambda _: ("t", 9e9))
    with pytest.raises(FwdctlError) as error:
        Arm(login, Runtime(environ={}, sleep=lambda _: None)).get(GROUP, "v")
    assert (error.value.code, error.value.exit_code) == ("arm_unreachable", 3)
    assert "fwdctl lab up" in error.value.suggestion


def test_tls_and_distant_failures_name_the_mend() -> None:
    from requests.exceptions import ConnectionError as Unreachable
    from requests.exceptions import SSLError

    tls = connection_failure(
        SSLError(ssl.SSLCertVerificationError(1, "certificate verify failed")), "https://x"
    )
    assert (tls.code, "REQUESTS_CA_BUNDLE" in tls.suggestion) == ("arm_tls_untrusted", True)
    away = connection_failure(
        Unreachable("[Errno -2] Name or service not known"), "https://management.azure.com"
    )
    assert (away.code, away.exit_code) == ("arm_unreachable", 5)


def test_debug_shows_requests_and_no_token(arm: FakeArm) -> None:
    arm.on("GET", BOX, container_group("box"))
    stderr = io.StringIO()
    arm.client(debug=True, stderr=stderr).get(BOX, "v")
    assert f"GET {BOX} 200" in stderr.getvalue()
    assert "secret-token" not in stderr.getvalue()


def test_a_group_without_a_view_or_containers() -> None:
    assert parse({"name": "x", "properties": {}}).state == ""


def test_a_failed_group_says_why() -> None:
    events = [{"type": "Warning", "message": "Failed to\n pull image"}]
    group = parse(container_group("box", instanceView={"state": "Failed", "events": events}))
    assert (group.state, group.reason) == ("Failed", "Failed to pull image")


def test_nobody_is_logged_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from fwdctl.azure import credential

    def nobody(runtime: Runtime, wanted: str | None) -> Login:
        raise credential._NoAzLoginError("Please run 'az login' to setup account.")

    monkeypatch.setattr(credential, "_az_login", nobody)
    with pytest.raises(FwdctlError) as error:
        log_in(Runtime(environ={"PATH": str(tmp_path)}), "sub")
    assert (error.value.code, error.value.exit_code) == ("not_logged_in", 3)
    assert "az login" in error.value.suggestion
    assert "azd auth login" in error.value.suggestion


AZD = """
import pathlib, sys
asked = " ".join(sys.argv[1:])
if asked == "config get cloud.name":
    print('"AzureUSGovernment"')
elif asked.startswith("auth token"):
    pathlib.Path(__file__).with_name("asked").write_text(asked)
    print('{"token":"azd-token","expiresOn":"2099-01-01T00:00:00Z"}')
else:
    sys.exit(1)
"""


def test_azds_login_where_az_has_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from fwdctl.azure import credential

    def nobody(runtime: Runtime, wanted: str | None) -> Login:
        raise credential._NoAzLoginError

    monkeypatch.setattr(credential, "_az_login", nobody)
    write_program(tmp_path, "azd", AZD)
    environ = {"PATH": str(tmp_path), "AZURE_SUBSCRIPTION_ID": "sub", "AZURE_TENANT_ID": "ten"}
    login = log_in(Runtime(environ=environ))
    assert (login.source, login.subscription_id, login.token()) == ("azd", "sub", "azd-token")
    assert login.endpoint == "https://management.usgovcloudapi.net"
    asked = (tmp_path / "asked").read_text()
    assert "--tenant-id ten" in asked
    assert "--scope https://management.usgovcloudapi.net/.default" in asked


def test_a_token_is_fetched_once_and_again_before_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    ends = iter([1e3, 2e3])
    login = Login("az", "s", "t", "https://x", lambda _: ("t", next(ends)))
    monkeypatch.setattr("time.time", lambda: 500.0)
    login.token()
    login.token()
    monkeypatch.setattr("time.time", lambda: 900.0)
    login.token()
    assert next(ends, None) is None
