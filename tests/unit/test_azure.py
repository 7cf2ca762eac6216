"""Azure's clients: retries, polling, errors in words, what is shown of it with --debug."""

from __future__ import annotations

import base64
import io
import ssl
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from fwdctl.azure import networks
from fwdctl.azure.clients import Clients
from fwdctl.azure.containers import Containers
from fwdctl.azure.credential import Login
from fwdctl.azure.errors import ArmFailure, connection_failure
from fwdctl.azure.networks import Networks
from fwdctl.azure.scale_sets import ScaleSet
from fwdctl.azure.versions import version_of
from fwdctl.errors import FwdctlError
from fwdctl.runtime import Runtime
from support.fake_arm import CONTAINERS, GROUP, NETWORK, FakeArm, container_group

if TYPE_CHECKING:
    from collections.abc import Callable

BOX = f"{CONTAINERS}/box"
HEALTH = f"{NETWORK}/loadBalancers/lb/loadBalancingRules/web/health"
SCALE_SET = f"{GROUP}/providers/Microsoft.Compute/virtualMachineScaleSets/vmss/virtualMachines"


def containers(clients: Clients) -> Containers:
    return Containers(clients, "rg-dev")


def test_a_group_and_the_token(arm: FakeArm) -> None:
    arm.on("GET", BOX, container_group("box", "Stopped"))
    group = containers(arm.client()).get("box")
    assert (group.state, group.container, group.running) == ("Stopped", "jump", False)
    assert (group.address, group.image, group.provisioning) == ("10.0.1.70", "image:1", "Succeeded")
    assert arm.tokens == ["Bearer secret-token"]
    assert arm.agents == ["fwdctl"]


def test_a_group_without_a_view_or_containers(arm: FakeArm) -> None:
    arm.on("GET", BOX, {"name": "box", "properties": {}})
    assert containers(arm.client()).get("box").state == ""


def test_a_failed_group_says_why(arm: FakeArm) -> None:
    events = [{"type": "Warning", "message": "Failed to\n pull image"}]
    arm.on("GET", BOX, container_group("box", instanceView={"state": "Failed", "events": events}))
    group = containers(arm.client()).get("box")
    assert (group.state, group.reason) == ("Failed", "Failed to pull image")


def test_exec(arm: FakeArm) -> None:
    asked: list[Any] = []

    def reply(body: Any) -> tuple[int, Any, dict[str, str]]:
        asked.append(body)
        return 200, {"webSocketUri": "wss://x", "password": "p"}, {}

    arm.routes["POST", f"{BOX}/containers/jump/exec".lower()] = reply
    assert containers(arm.client()).exec("box", "jump", columns=120, rows=40) == ("wss://x", "p")
    assert asked == [{"command": "/bin/sh", "terminalSize": {"rows": 40, "cols": 120}}]


def test_a_request_without_a_client(arm: FakeArm) -> None:
    arm.routes["PUT", f"{GROUP}/x".lower()] = lambda body: (201, {"was": body}, {})
    arm.on("DELETE", f"{GROUP}/x", (204, None, {}))
    clients = arm.client()
    assert clients.request("PUT", f"{GROUP}/x", {"a": 1}) == {"was": {"a": 1}}
    assert clients.request("DELETE", f"{GROUP}/x") is None


def test_importing_the_clients_for_a_probe_loads_no_network_client(arm: FakeArm) -> None:
    import subprocess
    import sys

    code = (
        "import sys; from fwdctl.azure.clients import Clients; from fwdctl.azure.credential import Login\n"
        "from fwdctl.runtime import Runtime; from fwdctl.jump import boxes, session\n"
        "login = Login('s', 'https://x', lambda _: ('t', 9e9))\n"
        "Clients(login, Runtime()).container_instances\n"
        "print([name for name in sys.modules if name.startswith(('azure.mgmt.network', 'azure.cli'))])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "[]\n"


# -- patience


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_patience_with_a_busy_service(arm: FakeArm, method: str, status: int) -> None:
    busy = (status, {"error": {"code": "Busy", "message": "later"}}, {"Retry-After": "7"})
    arm.on(method, BOX, busy, container_group("box"))
    pauses: list[float] = []
    assert arm.client(sleep=pauses.append).request(method, BOX)["name"] == "box"
    assert sum(pauses) == 7.0
    assert max(pauses) <= 0.5


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_patience_ends(arm: FakeArm, method: str) -> None:
    arm.fail(method, BOX, 503, "ServerBusy")
    with pytest.raises(ArmFailure) as error:
        arm.client().request(method, BOX)
    assert (error.value.code, error.value.exit_code, len(arm.calls)) == ("arm_unavailable", 5, 4)


def test_a_long_wait_is_the_users_decision(arm: FakeArm) -> None:
    arm.fail("GET", BOX, 429, "TooManyRequests", Retry_After="600")
    with pytest.raises(ArmFailure) as error:
        containers(arm.client()).get("box")
    assert (error.value.code, error.value.suggestion) == ("arm_throttled", "Try again in 600 s.")
    assert len(arm.calls) == 1


@pytest.mark.parametrize("status", [400, 403, 404, 409])
def test_a_refusal_is_not_repeated_though_it_says_when_to_come_again(arm: FakeArm, status: int) -> None:
    arm.fail("GET", BOX, status, "No", Retry_After="1")
    with pytest.raises(ArmFailure):
        containers(arm.client()).get("box")
    assert len(arm.calls) == 1


def test_ctrl_c_during_a_wait_ends_it_at_once(arm: FakeArm) -> None:
    arm.fail("GET", BOX, 429, "TooManyRequests", Retry_After="20")

    def interrupted(seconds: float) -> None:
        assert seconds <= 0.5
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        containers(arm.client(sleep=interrupted)).get("box")
    assert len(arm.calls) == 1


def test_a_start_is_asked_for_and_not_waited_for(arm: FakeArm) -> None:
    """Without Retry-After azure-core's poller would sleep for 30 s before it asks again."""
    arm.on("POST", f"{BOX}/start", (202, None, {"Location": f"{arm.url}/operation"}))
    arm.on("GET", "/operation", (202, None, {}))
    containers(arm.client(sleep=time.sleep)).start("box")
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("LROPoller")]
    assert arm.calls == [("POST", f"{BOX}/start")]


# -- the health of a rule, the only operation that is followed


def health(arm: FakeArm, *polls: Any, **headers: str) -> Callable[[], list[dict[str, Any]]]:
    arm.on("POST", HEALTH, (202, None, {"Location": f"{arm.url}/result", **headers}))
    arm.on("GET", "/result", *polls)
    clients = arm.client(sleep=time.sleep)
    assert clients.networks  # whose import is no part of the wait
    return lambda: Networks(clients, "rg-dev").rule_health("lb", "web")


DOWN = {"up": 0, "loadBalancerBackendAddresses": [{"ipAddress": "10.0.1.6", "state": "Down"}]}


def test_rule_health_is_polled_fast(arm: FakeArm) -> None:
    ask = health(arm, (202, None, {}), (202, None, {}), DOWN)
    began = time.monotonic()
    (entry,) = ask()
    assert (entry.address, entry.state) == ("10.0.1.6", "Down")
    assert time.monotonic() - began < 10


def test_rule_health_has_a_limit_that_no_retry_after_passes(
    arm: FakeArm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(networks, "HEALTH_TIMEOUT", 0.3)
    ask = health(arm, (202, None, {"Retry-After": "600"}))
    with pytest.raises(FwdctlError) as error:
        ask()
    assert (error.value.code, error.value.exit_code) == ("operation_timed_out", 5)


def test_rule_health_that_fails(arm: FakeArm) -> None:
    ask = health(arm, (403, {"error": {"code": "AuthorizationFailed", "message": "no"}}, {}))
    with pytest.raises(ArmFailure) as error:
        ask()
    assert error.value.code == "not_authorized"


def test_an_operation_that_fails_says_why(arm: FakeArm) -> None:
    arm.on("POST", HEALTH, (202, None, {"Azure-AsyncOperation": f"{arm.url}/operation"}))
    failure = {"status": "Failed", "error": {"code": "NoProbe", "message": "there is no probe"}}
    arm.on("GET", "/operation", failure)
    with pytest.raises(ArmFailure, match="there is no probe") as error:
        Networks(arm.client(), "rg-dev").rule_health("lb", "web")
    assert (error.value.code, error.value.arm_code) == ("arm_refused", "NoProbe")


# -- no token to another host


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
    for ask in (lambda: containers(arm.client()).get("box"), lambda: arm.client().request("GET", BOX)):
        with pytest.raises(ArmFailure) as error:
            ask()
        assert (error.value.code, error.value.exit_code, error.value.arm_code) == (code, exit_code, arm_code)
        assert words in error.value.message
        assert "\n" not in error.value.message


@pytest.mark.parametrize(
    ("status", "body", "headers", "arm_code"),
    [
        (400, None, {}, "HTTP400"),
        (400, ["x"], {}, "HTTP400"),
        (400, "no object", {}, "HTTP400"),
        (403, None, {"Content-Type": "text/html"}, "HTTP403"),
        (403, "<html>", {"Content-Type": "image/x"}, "HTTP403"),
    ],
)
def test_an_answer_that_is_not_arms(
    arm: FakeArm, status: int, body: Any, headers: dict[str, str], arm_code: str
) -> None:
    arm.on("GET", BOX, (status, body, headers))
    with pytest.raises(ArmFailure) as error:
        containers(arm.client()).get("box")
    assert error.value.arm_code == arm_code


def test_a_claims_challenge_is_answered_once(arm: FakeArm) -> None:
    claims = '{"access_token":{"nbf":{"essential":true,"value":"1"}}}'
    text = base64.b64encode(claims.encode()).decode().rstrip("=")
    header = {"WWW-Authenticate": f'Bearer realm="", error="insufficient_claims", claims="{text}"'}
    refused = (401, {"error": {"code": "InvalidAuthenticationToken"}}, header)
    arm.on("GET", BOX, refused, container_group("box"), refused)
    asked: list[str | None] = []

    def token(wanted: str | None) -> tuple[str, float]:
        asked.append(wanted)
        return f"token{len(asked)}", 9e9

    arm.token = token
    clients = arm.client()
    containers(clients).get("box")
    assert asked == [None, claims]
    assert arm.tokens == ["Bearer token1", "Bearer token2"]
    with pytest.raises(ArmFailure) as error:
        containers(clients).get("box")
    assert (error.value.code, len(arm.calls)) == ("login_refused", 4)


def test_all_pages(arm: FakeArm) -> None:
    arm.on("GET", CONTAINERS, {"value": [container_group("a")], "nextLink": f"{arm.url}/page2?x=1"})
    arm.on("GET", "/page2", {"value": [container_group("b")]})
    assert [group.name for group in containers(arm.client()).list()] == ["a", "b"]
    arm.on("GET", SCALE_SET, {"value": [{"instanceId": "1"}], "nextLink": f"{arm.url}/page3?x=1"})
    arm.on("GET", "/page3", {"value": [{"instanceId": "3"}]})
    assert ScaleSet(arm.client(), "rg-dev", "vmss").numbers() == ["1", "3"]


def test_nothing_listens() -> None:
    login = Login("s", "http://127.0.0.1:1", lambda _: ("t", 9e9))
    pauses: list[float] = []
    with pytest.raises(FwdctlError) as error:
        Clients(login, Runtime(environ={}, sleep=pauses.append)).request("POST", GROUP)
    assert (error.value.code, error.value.exit_code) == ("arm_unreachable", 3)
    assert "AZURE_CONFIG_DIR" in error.value.suggestion
    assert 0 < sum(pauses) < 5


def test_an_answer_that_does_not_come_is_waited_for_once(
    arm: FakeArm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fwdctl.azure.transport.READ_TIMEOUT", 0.2)
    release = threading.Event()

    def late(_: Any) -> tuple[int, Any, dict[str, str]]:
        release.wait(20)
        return 200, {}, {}

    arm.routes["GET", BOX.lower()] = late
    with pytest.raises(FwdctlError) as error:
        containers(arm.client()).get("box")
    release.set()
    assert (error.value.code, len(arm.calls)) == ("arm_unreachable", 1)


def test_tls_and_distant_failures_name_the_suggestion() -> None:
    from azure.core.exceptions import ServiceRequestError
    from requests.exceptions import SSLError

    cause = SSLError(ssl.SSLCertVerificationError(1, "certificate verify failed"))
    tls = connection_failure(ServiceRequestError(str(cause), error=cause), "https://x")
    assert (tls.code, "REQUESTS_CA_BUNDLE" in tls.suggestion) == ("arm_tls_untrusted", True)
    away = connection_failure(
        ServiceRequestError("[Errno -2] Name or service not known"), "https://management.azure.com"
    )
    assert (away.code, away.exit_code) == ("arm_unreachable", 5)


def test_debug_shows_requests_and_no_token(arm: FakeArm) -> None:
    arm.on("GET", BOX, container_group("box"))
    stderr = io.StringIO()
    containers(arm.client(debug=True, stderr=stderr)).get("box")
    assert f"GET {BOX} 200" in stderr.getvalue()
    assert "secret-token" not in stderr.getvalue()


ANY = f"{GROUP}/providers"


@pytest.mark.parametrize(
    ("path", "version"),
    [
        (GROUP, "2025-04-01"),
        ("/subscriptions/s/resourceGroups/resources", "2025-04-01"),
        (f"{GROUP}/resources?$filter=x", "2021-04-01"),
        ("/subscriptions/s/locations", "2022-12-01"),
        (f"{ANY}/Microsoft.Network/virtualNetworks/v/subnets/s", "2025-05-01"),
        (f"{ANY}/MICROSOFT.NETWORK/privateDNSZones/a.b/A", "2024-06-01"),
        ("/subscriptions/s/providers/Microsoft.Network/privateDnsZones", "2024-06-01"),
        (f"{ANY}/Microsoft.Compute/virtualMachineScaleSets/v/virtualMachines/1/restart", "2025-04-01"),
        (f"{ANY}/Microsoft.Compute/virtualMachineScaleSets/v/networkInterfaces", "2018-10-01"),
        (f"{ANY}/Microsoft.ContainerInstance/containerGroups/c", "2025-09-01"),
        ("/subscriptions/s/providers/Microsoft.Resources/deployments", "2025-04-01"),
        (f"{ANY}/Microsoft.Other/things/x", "2025-05-01"),
    ],
)
def test_the_type_tells_the_version(path: str, version: str) -> None:
    assert version_of(path) == version
