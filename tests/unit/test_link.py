"""`fwdctl link` against a service that answers as Azure does."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from fwdctl.cli.completion import complete_connections, complete_services
from support import left_behind
from support.fake_arm import GROUP, NETWORK, FakeArm
from support.frame import make_runtime, run
from support.link_services import ALIAS, ENVIRON, FAR, OWN, SERVICE, THEIRS, LinkService, connection

if TYPE_CHECKING:
    from pathlib import Path

    from fwdctl.runtime import Runtime

SALES = f"{FAR}/pep-sales"


@pytest.fixture
def runtime(tmp_path: Path, arm: FakeArm, monkeypatch: pytest.MonkeyPatch) -> Runtime:
    monkeypatch.setattr("fwdctl.azure.credential.log_in", lambda *_: arm.login())
    return make_runtime(tmp_path, ENVIRON, sleep=lambda _: None)


def service(arm: FakeArm, *later: dict[str, Any]) -> LinkService:
    there = [
        connection("pep-shop-x.1", OWN, "Approved", "Auto Approved"),
        connection("pep-sales.2", SALES, "Pending", "Sales needs \x1b[2J it"),
        connection("pep-old.3", f"{FAR}/pep-old", "Rejected", "no", privateEndpointLocation="eastus"),
    ]
    return LinkService(there, later=list(later)).serve(arm)


def test_the_list_begins_with_who_waits(runtime: Runtime, arm: FakeArm) -> None:
    service(arm)
    dated = {"id": OWN, "type": "Microsoft.Network/privateEndpoints", "createdTime": "2026-11-01T08:00:00Z"}
    arm.on("GET", f"{GROUP}/resources", {"value": [{**dated, "name": "pep-shop-x", "tags": {}}]})
    ran = run(runtime, "link", "list")
    assert ran.code == 0
    head, *rows = [line.split() for line in ran.stdout.splitlines()]
    assert head == ["STATE", "ENDPOINT", "SUBSCRIPTION", "REGION", "SINCE", "SPOKE", "MESSAGE"]
    assert [row[:4] for row in rows[:2]] == [
        ["Pending", "pep-sales", THEIRS, "northeurope"],
        ["Approved", "pep-shop-x", OWN.split("/")[2], "northeurope"],
    ]
    assert rows[1][4:6] == ["2026-11-01", "shop"]
    assert "\x1b" not in ran.stdout


def test_show_tells_how_to_connect_and_what_to_do(runtime: Runtime, arm: FakeArm) -> None:
    service(arm)
    ran = run(runtime, "link", "show", "--match", "pep-sales")
    assert ran.code == 0
    assert f"Alias: {ALIAS}" in ran.stdout
    assert "Visible to: anyone who knows the alias" in ran.stdout
    assert f"Next: fwdctl link approve --id {SALES}" in ran.stdout
    assert "pep-old" not in ran.stdout
    assert run(runtime, "link", "show", "--match", "nobody").code == 3


def test_an_approval_is_sent_for_the_endpoint_that_asked(runtime: Runtime, arm: FakeArm) -> None:
    found = service(arm)
    ran = run(runtime, "link", "approve", "--match", "pep-sales*", "-o", "json")
    assert ran.code == 0
    (sent,) = found.decisions
    assert sent["name"] == "pep-sales.2"
    assert sent["properties"]["privateEndpoint"] == {"id": SALES}
    state = sent["properties"]["privateLinkServiceConnectionState"]
    assert (state["status"], state["description"]) == ("Approved", "Approved with fwdctl.")
    data = ran.envelope["data"]
    assert (data["outcome"], data["connection"]["state"], data["probe"]) == ("approved", "Approved", None)
    assert "cannot be tested from inside" in data["untested"]


def test_approving_again_changes_nothing(runtime: Runtime, arm: FakeArm) -> None:
    found = service(arm)
    ran = run(runtime, "link", "approve", "--id", OWN, "--no-probe", "-o", "json")
    assert (ran.code, ran.envelope["data"]["outcome"]) == (0, "already approved")
    assert found.decisions == []


def test_an_own_spoke_without_a_box_is_said_to_be_untested(runtime: Runtime, arm: FakeArm) -> None:
    service(arm)
    ran = run(runtime, "link", "approve", "--id", OWN)
    assert ran.code == 0
    assert "Not tested: spoke shop has no jump box to test from." in ran.stdout


@pytest.mark.parametrize(
    ("words", "code", "exit_code"),
    [
        (("--match", "pep-s*"), "several_connections", 2),
        (("--match", "pep-old"), "connection_final", 2),
        (("--match", "nobody"), "connection_not_found", 3),
        (("--id", f"{FAR}/nobody"), "connection_not_found", 3),
        ((), "usage", 2),
        (("--match", "a", "--id", "b"), "usage", 2),
    ],
)
def test_what_is_refused_before_azure_is_asked(
    runtime: Runtime, arm: FakeArm, words: tuple[str, ...], code: str, exit_code: int
) -> None:
    found = service(arm)
    ran = run(runtime, "link", "approve", *words, "-o", "json")
    assert (ran.code, ran.envelope["errors"][0]["code"]) == (exit_code, code)
    assert found.decisions == []


def test_a_request_that_is_still_to_come_is_awaited(runtime: Runtime, arm: FakeArm) -> None:
    found = service(arm, connection("fabric.4", f"{FAR}/fabric", "Pending"))
    ran = run(runtime, "link", "approve", "--match", "fabric", "--wait", "--no-probe")
    assert ran.code == 0
    assert [each["name"] for each in found.decisions] == ["fabric.4"]
    assert "Waiting for a connection 'fabric' to pl-x" in ran.stderr


def test_waiting_has_an_end(tmp_path: Path, runtime: Runtime, arm: FakeArm) -> None:
    found = service(arm)
    clock = iter(range(0, 10_000, 7))
    impatient = make_runtime(tmp_path, ENVIRON, sleep=lambda _: None, clock=lambda: float(next(clock)))
    ran = run(impatient, "link", "approve", "--match", "fabric", "--wait", "--timeout", "20", "-o", "json")
    assert (ran.code, ran.envelope["errors"][0]["code"]) == (5, "connection_not_found")
    found.connections[1]["properties"]["provisioningState"] = "Updating"
    words = ("--match", "pep-sales", "--wait", "--timeout", "20", "--no-probe")
    impatient = make_runtime(tmp_path, ENVIRON, sleep=lambda _: None, clock=lambda: float(next(clock)))
    ran = run(impatient, "link", "approve", *words, "-o", "json")
    assert (ran.code, ran.envelope["errors"][0]["code"]) == (5, "operation_timed_out")


@pytest.mark.parametrize("verb", ["reject", "remove"])
def test_what_is_final_needs_an_answer_or_yes(
    tmp_path: Path, runtime: Runtime, arm: FakeArm, verb: str
) -> None:
    found = service(arm)
    words = ("link", verb, "--match", "pep-sales")
    ran = run(runtime, *words)
    assert ran.code == 2
    assert f"run `fwdctl link {verb} --id {SALES} --yes`" in ran.stderr
    terminal = make_runtime(tmp_path, ENVIRON, terminal=True, answer="y\n")
    assert run(terminal, *words, "--no-prompt").code == 2
    terminal = make_runtime(tmp_path, ENVIRON, terminal=True, answer="n\n")
    ran = run(terminal, *words)
    assert ran.code == 1
    assert f"{verb.capitalize()} pep-sales.2 (Pending, of subscription {THEIRS})? It cannot be" in ran.stderr
    assert (found.decisions, len(found.connections)) == ([], 3)


def test_a_rejection_tells_the_consumer_why(tmp_path: Path, runtime: Runtime, arm: FakeArm) -> None:
    found = service(arm)
    terminal = make_runtime(tmp_path, ENVIRON, terminal=True, answer="y\n")
    words = ("link", "reject", "--match", "pep-sales")
    assert run(terminal, *words, "--description", "Not yours").code == 0
    state = found.decisions[0]["properties"]["privateLinkServiceConnectionState"]
    assert (state["status"], state["description"]) == ("Rejected", "Not yours")
    ran = run(runtime, *words, "-o", "json")
    assert (ran.code, ran.envelope["data"]["outcome"]) == (0, "already rejected")
    assert len(found.decisions) == 1


def test_a_removal_is_done_once(tmp_path: Path, runtime: Runtime, arm: FakeArm) -> None:
    found = service(arm)
    ran = run(runtime, "link", "remove", "--id", SALES, "--yes", "-o", "json")
    data = ran.envelope["data"]
    assert (ran.code, data["outcome"], data["connection"]["state"]) == (0, "removed", "Removed")
    assert len(found.connections) == 2
    ran = run(make_runtime(tmp_path, ENVIRON), "link", "remove", "--id", SALES, "--yes", "-o", "json")
    assert (ran.code, ran.envelope["data"]["outcome"]) == (0, "already removed")
    assert run(make_runtime(tmp_path, ENVIRON), "link", "remove", "--match", "pep-sales", "--yes").code == 3


def test_azures_refusal_is_passed_on(runtime: Runtime, arm: FakeArm) -> None:
    service(arm)
    arm.fail("PUT", f"{SERVICE}/privateEndpointConnections/pep-sales.2", 403, "AuthorizationFailed", "why")
    ran = run(runtime, "link", "approve", "--match", "pep-sales", "-o", "json")
    assert (ran.code, ran.envelope["errors"][0]["code"]) == (3, "not_authorized")


def test_several_services_have_to_be_named(tmp_path: Path, runtime: Runtime, arm: FakeArm) -> None:
    found = service(arm)
    listed = {"value": [found.document(), found.document("pl-y")]}
    arm.on("GET", f"{NETWORK}/privateLinkServices", listed)
    ran = run(runtime, "link", "list", "-g", "rg-dev")
    assert ran.stdout.startswith("SERVICE")
    assert "Which networks the endpoints are in is not known" in ran.stderr
    arm.any_call = True
    assert run(make_runtime(tmp_path, ENVIRON), "link", "show", "-g", "rg-dev").code == 2
    assert run(make_runtime(tmp_path, ENVIRON), "link", "show", "-g", "rg-dev", "--service", "pl-x").code == 0
    arm.on("GET", f"{NETWORK}/privateLinkServices", {"value": []})
    ran = run(make_runtime(tmp_path, ENVIRON), "link", "show", "-g", "rg-dev", "-o", "json")
    assert (ran.code, ran.envelope["errors"][0]["code"]) == (3, "no_link_service")


def test_what_a_removed_spoke_left_is_marked(tmp_path: Path, runtime: Runtime, arm: FakeArm) -> None:
    left_behind.left_behind(arm)
    arm.fail("GET", f"{GROUP.replace('rg-dev', 'rg-theirs')}/resources", 403, "AuthorizationFailed")
    ran = run(make_runtime(tmp_path, left_behind.ENVIRON), "link", "list", "-o", "json")
    assert ran.code == 0
    spokes = [(each["spoke"], each["orphanOf"]) for each in ran.envelope["data"]["connections"]]
    assert spokes == [(None, "old"), ("new", None), (None, None)]
    assert "Left behind by removed spokes: old. See `fwdctl env orphans`." in ran.stderr


@pytest.mark.usefixtures("runtime")
def test_the_shell_is_offered_services_and_endpoints(arm: FakeArm) -> None:
    service(arm)
    root = SimpleNamespace(params={})
    context: Any = SimpleNamespace(params={"resource_group": "rg-dev"}, find_root=lambda: root)
    assert complete_services(context) == ["pl-x"]
    assert complete_connections(context) == [OWN, SALES, f"{FAR}/pep-old"]
    arm.fail("GET", f"{NETWORK}/privateLinkServices", 403, "AuthorizationFailed")
    assert complete_connections(context) == complete_services(context) == []


# -- as a consumer

SUBNET = f"{NETWORK}/virtualNetworks/vnet/subnets/s"
PE = f"{NETWORK}/privateEndpoints/pep-crm"
ASK = ("link", "request", "--alias", ALIAS, "--subnet", SUBNET, "--name", "pep-crm")


def endpoint(status: str) -> dict[str, Any]:
    state = {"status": status, "description": "words"}
    own = {"privateLinkServiceId": ALIAS, "privateLinkServiceConnectionState": state}
    properties = {
        "manualPrivateLinkServiceConnections": [{"properties": own}],
        "provisioningState": "Succeeded",
    }
    return {"id": PE, "name": "pep-crm", "properties": properties}


def test_a_request_makes_an_endpoint_where_the_network_is(runtime: Runtime, arm: FakeArm) -> None:
    sent: list[Any] = []

    def put(body: Any) -> Any:
        sent.append(body)
        return 200, endpoint("Pending"), {}

    arm.fail("GET", PE, 404, "ResourceNotFound")
    arm.on("GET", f"{NETWORK}/virtualNetworks/vnet", {"id": "x", "location": "swedencentral"})
    arm.routes["PUT", PE.lower()] = put
    ran = run(runtime, *ASK, "--message", "CRM", "-o", "json")
    assert ran.code == 0
    assert sent[0]["location"] == "swedencentral"
    data = ran.envelope["data"]
    assert (data["state"], data["made"], data["endpoint"]) == ("Pending", True, PE)
    assert f"fwdctl link approve --id {PE}" in data["next"]


@pytest.mark.parametrize(
    ("status", "code", "text"),
    [
        ("Pending", 0, "The owner of the service has to approve it"),
        ("Approved", 0, ""),
        ("Rejected", 4, f"run `az network private-endpoint delete --ids {PE}`"),
        ("Disconnected", 4, "which is final"),
    ],
)
def test_an_endpoint_that_is_there_is_shown(
    runtime: Runtime, arm: FakeArm, status: str, code: int, text: str
) -> None:
    arm.on("GET", PE, endpoint(status))
    ran = run(runtime, *ASK)
    assert ran.code == code
    assert ran.stdout.startswith(f"Private endpoint pep-crm: {status} (there already)\n")
    assert text in ran.stdout
    assert ("Next:" in ran.stdout) is bool(text)


def test_a_decision_is_awaited(tmp_path: Path, runtime: Runtime, arm: FakeArm) -> None:
    arm.on("GET", PE, endpoint("Pending"), endpoint("Pending"), endpoint("Approved"))
    assert run(runtime, *ASK, "--wait").code == 0
    arm.on("GET", PE, endpoint("Pending"))
    clock = iter(range(0, 10_000, 7))
    impatient = make_runtime(tmp_path, ENVIRON, sleep=lambda _: None, clock=lambda: float(next(clock)))
    ran = run(impatient, *ASK, "--wait", "--timeout", "20", "-o", "json")
    assert (ran.code, ran.envelope["errors"][0]["code"]) == (5, "not_decided")
