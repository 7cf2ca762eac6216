from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from support.fake_arm import CONTAINERS, GROUP, NETWORK, FakeArm, container_group
from support.frame import make_runtime, project, run
from support.left_behind import (
    ALL,
    BOX,
    CONNECTION,
    ENDPOINT,
    ENVIRON,
    LINK,
    RULES,
    SERVICE,
    TOKEN,
    VNET,
    ZONE,
    deletable,
    documents,
    endpoint,
    entry,
    left_behind,
    security_group,
    vnet,
)

if TYPE_CHECKING:
    from pathlib import Path

    from fwdctl.runtime import Runtime

HUB, NEW = f"{CONTAINERS}/ci-hub-{TOKEN}", f"{CONTAINERS}/ci-new-{TOKEN}"


@pytest.fixture
def runtime(tmp_path: Path, arm: FakeArm, monkeypatch: pytest.MonkeyPatch) -> Runtime:
    monkeypatch.setattr("fwdctl.azure.credential.log_in", lambda *_: arm.login())
    return make_runtime(tmp_path, ENVIRON, sleep=lambda _: None)


def found(runtime: Runtime) -> list[str]:
    ran = run(runtime, "env", "orphans", "-o", "json")
    assert ran.code == 0
    return [orphan["id"] for orphan in ran.envelope["data"]["orphans"]]


def test_orphans_are_listed_in_the_order_in_which_they_may_go(runtime: Runtime, arm: FakeArm) -> None:
    left_behind(arm)
    ran = run(runtime, "env", "orphans")
    assert ran.code == 0
    assert [line.split("  ")[0] for line in ran.stdout.splitlines()] == [
        "KIND",
        "endpoint connection",
        "private endpoint",
        "jump box",
        "zone link",
        "DNS zone",
        "network",
        "security group",
    ]
    assert f"old.corp.internal/vnet-old-{TOKEN}" in ran.stdout
    assert not [call for call in arm.calls if call[0] != "GET"]


def test_the_ids_are_those_of_the_spoke_that_is_gone(runtime: Runtime, arm: FakeArm) -> None:
    left_behind(arm)
    assert found(runtime) == list(ALL)


def theirs(kind: str, name: str) -> str:
    return f"{NETWORK}/{kind}/{name}"


OWN = {
    "no-tag": (entry(f"{CONTAINERS}/ci-mine-{TOKEN}", None), None),
    "another-environment": (entry(f"{CONTAINERS}/ci-mine-{TOKEN}", {"azd-env-name": "prod"}), None),
    "another-name": (entry(f"{CONTAINERS}/worker-{TOKEN}"), None),
    "box-without-network": (entry(f"{CONTAINERS}/ci-mine-{TOKEN}"), container_group(f"ci-mine-{TOKEN}")),
    "box-in-another-network": (
        entry(f"{CONTAINERS}/ci-mine-{TOKEN}"),
        container_group(f"ci-mine-{TOKEN}", subnetIds=[{"id": f"{VNET}/subnets/jump"}]),
    ),
    "endpoint-of-another-service": (
        entry(theirs("privateEndpoints", f"pep-mine-{TOKEN}")),
        endpoint(f"{GROUP}/providers/Microsoft.Storage/storageAccounts/x", VNET.replace("old", "mine")),
    ),
    "endpoint-in-another-network": (entry(theirs("privateEndpoints", f"pep-mine-{TOKEN}")), endpoint()),
    "network-of-another-shape": (entry(theirs("virtualNetworks", f"vnet-mine-{TOKEN}")), vnet("default")),
    "peered-network": (
        entry(theirs("virtualNetworks", f"vnet-mine-{TOKEN}")),
        vnet("cp", "apps", "jump", "linked", virtualNetworkPeerings=[{"name": "to-hub"}]),
    ),
    "security-group-of-another-network": (
        entry(theirs("networkSecurityGroups", f"nsg-vnet-mine-{TOKEN}")),
        security_group(VNET),
    ),
    "security-group-of-a-machine": (
        entry(theirs("networkSecurityGroups", f"nsg-vnet-mine-{TOKEN}")),
        security_group(VNET.replace("old", "mine"), networkInterfaces=[{"id": "nic"}]),
    ),
    "zone-without-links": (entry(theirs("privateDnsZones", "mine.internal")), None),
    "another-type": (entry(f"{GROUP}/providers/Microsoft.Web/sites/ci-mine-{TOKEN}"), None),
}


@pytest.mark.parametrize("name", OWN)
def test_what_is_the_users_own_is_no_orphan(runtime: Runtime, arm: FakeArm, name: str) -> None:
    listed, document = OWN[name]
    left_behind(arm, listed)
    if document is not None:
        arm.on("GET", listed["id"], document)
    assert found(runtime) == list(ALL)


def test_a_zone_that_another_network_uses_is_kept(runtime: Runtime, arm: FakeArm) -> None:
    left_behind(arm, entry(f"{ZONE}/virtualNetworkLinks/mine", None))
    assert ZONE not in found(runtime)


def test_a_renamed_spokes_link_in_a_zone_that_is_kept_is_one(runtime: Runtime, arm: FakeArm) -> None:
    link = theirs("privateDnsZones", f"corp.internal/virtualNetworkLinks/vnet-old-{TOKEN}")
    left_behind(arm, entry(link), without=(LINK, ZONE))
    arm.on("GET", link, {"properties": {"virtualNetwork": {"id": VNET}}})
    assert found(runtime) == [CONNECTION, ENDPOINT, BOX, link, VNET, RULES]


def test_what_ended_meanwhile_is_left_out(runtime: Runtime, arm: FakeArm) -> None:
    left_behind(arm)
    arm.fail("GET", BOX, 404, "ResourceNotFound")
    assert found(runtime) == [CONNECTION, ENDPOINT, LINK, ZONE, VNET, RULES]


def test_without_a_topology_nothing_is_an_orphan(runtime: Runtime, arm: FakeArm) -> None:
    del runtime.environ["FWD_TOPOLOGY"]  # type: ignore[attr-defined]
    runtime.environ["HUB_JUMP_NAME"] = f"ci-hub-{TOKEN}"  # type: ignore[index]
    arm.on("GET", CONTAINERS, {"value": []})
    for kind in ("privateLinkServices", "loadBalancers", "privateDnsZones", "privateEndpoints"):
        arm.on(
            "GET", f"{NETWORK}/{kind}", {"value": [{"id": "x", "name": "x"}] if "Services" in kind else []}
        )
    ran = run(runtime, "env", "orphans", "-o", "json")
    assert (ran.code, ran.envelope["errors"][0]["code"]) == (3, "topology_missing")
    arm.unexpected.clear()  # how discovery asks is not the point


def test_removal_needs_an_answer_or_yes(tmp_path: Path, runtime: Runtime, arm: FakeArm) -> None:
    left_behind(arm)
    ran = run(runtime, "env", "orphans", "--remove")
    assert ran.code == 2
    assert f"ci-old-{TOKEN}" in ran.stderr
    assert "run `fwdctl env orphans --remove --yes`" in ran.stderr
    terminal = make_runtime(tmp_path, ENVIRON, terminal=True, answer="y\n")
    assert run(terminal, "env", "orphans", "--remove", "--no-prompt").code == 2
    assert not [call for call in arm.calls if call[0] == "DELETE"]


@pytest.mark.parametrize("answer", ["\n", "n\n", ""])
def test_no_is_no(tmp_path: Path, runtime: Runtime, arm: FakeArm, answer: str) -> None:
    left_behind(arm)
    terminal = make_runtime(tmp_path, ENVIRON, terminal=True, answer=answer)
    ran = run(terminal, "env", "orphans", "--remove")
    assert ran.code == 1
    assert "Delete these 7 resources? [y/N] " in ran.stderr
    assert "Nothing was deleted." in ran.stderr


@pytest.mark.parametrize("how", ["yes", "answer"])
def test_each_is_deleted_in_order_and_looked_for_afterwards(
    tmp_path: Path, runtime: Runtime, arm: FakeArm, how: str
) -> None:
    left_behind(arm)
    gone = deletable(arm)
    if how == "answer":
        runtime = make_runtime(tmp_path, ENVIRON, terminal=True, answer="y\n", sleep=lambda _: None)
    words = ["--yes"] if how == "yes" else []
    ran = run(runtime, "env", "orphans", "--remove", *words, "-o", "json")
    assert ran.code == 0
    assert gone == list(ALL)
    assert all(orphan["deleted"] for orphan in ran.envelope["data"]["orphans"])
    for resource in ALL:
        last = max(index for index, call in enumerate(arm.calls) if call == ("DELETE", resource))
        assert arm.calls[last + 1 : last + 3] == [("GET", resource)] * 2


def test_after_a_refusal_nothing_more_of_that_spoke_is_deleted(runtime: Runtime, arm: FakeArm) -> None:
    left_behind(arm)
    gone = deletable(arm)
    arm.fail("DELETE", BOX, 403, "AuthorizationFailed", "why")
    ran = run(runtime, "env", "orphans", "--remove", "--yes", "-o", "json")
    assert ran.code == 1
    assert gone == [CONNECTION, ENDPOINT]
    assert [error["code"] for error in ran.envelope["errors"]] == ["not_authorized", *["orphan_skipped"] * 4]
    assert [each["deleted"] for each in ran.envelope["data"]["orphans"]] == [True] * 2 + [False] * 5


def test_a_network_that_azure_still_takes_for_used_is_asked_for_again(runtime: Runtime, arm: FakeArm) -> None:
    left_behind(arm)
    gone = deletable(arm)
    delete = arm.routes["DELETE", VNET.lower()]
    replies: list[Any] = [
        (400, {"error": {"code": "InUseSubnetCannotBeDeleted", "message": "still"}}, {})
    ] * 2
    arm.routes["DELETE", VNET.lower()] = lambda body: replies.pop() if replies else delete(body)  # type: ignore[operator]
    assert run(runtime, "env", "orphans", "--remove", "--yes").code == 0
    assert gone == list(ALL)


def test_what_came_meanwhile_is_not_deleted(runtime: Runtime, arm: FakeArm) -> None:
    """Only what was shown: the second look finds more."""
    left_behind(arm, without=(BOX,))
    gone = deletable(arm)
    first = arm.routes["GET", f"{GROUP}/resources".lower()]
    assert isinstance(first, list)
    more = {"value": [*first[0][1]["value"], entry(BOX)]}
    arm.on("GET", f"{GROUP}/resources", first[0], (200, more, {}))
    assert run(runtime, "env", "orphans", "--remove", "--yes").code == 0
    assert gone == [resource for resource in ALL if resource != BOX]


def boxes(arm: FakeArm, state: str = "Stopped") -> None:
    for group in (HUB, NEW):
        arm.on("GET", group, container_group(group.rpartition("/")[2], state))


def test_status_tells_of_them_and_stop_all_stops_the_box(runtime: Runtime, arm: FakeArm) -> None:
    left_behind(arm)
    boxes(arm)
    arm.on("POST", f"{BOX}/stop", (204, None, {}))
    ran = run(runtime, "jump", "status")
    assert ran.code == 0
    assert f"jump box ci-old-{TOKEN} (Running, costs by the second)" in ran.stderr
    assert f"private endpoint pep-old-{TOKEN} (Approved, costs by the hour)" in ran.stderr
    assert "See `fwdctl env orphans`." in ran.stderr
    ran = run(runtime, "jump", "stop", "all")
    assert ran.code == 0
    assert ("POST", f"{BOX}/stop") in arm.calls


def test_the_word_for_one_box_leaves_orphans_alone(runtime: Runtime, arm: FakeArm) -> None:
    boxes(arm)
    assert run(runtime, "jump", "stop", "hub").code == 0
    assert run(runtime, "jump", "status", "hub").code == 0
    assert ("GET", f"{GROUP}/resources") not in arm.calls


def test_not_to_know_is_a_warning(runtime: Runtime, arm: FakeArm) -> None:
    boxes(arm)
    arm.fail("GET", f"{GROUP}/resources", 403, "AuthorizationFailed")
    for words in (("jump", "status"), ("jump", "stop", "all"), ("hook", "postprovision")):
        ran = run(runtime, *words)
        assert ran.code == 0
        assert "(!) Warning: Whether removed spokes left" in ran.stderr


def test_the_hook_stops_the_box_and_tells_of_the_rest(runtime: Runtime, arm: FakeArm) -> None:
    left_behind(arm)
    boxes(arm)
    name = f"ci-old-{TOKEN}"
    running, stopped = documents()[BOX], documents()[BOX]
    stopped["properties"]["instanceView"]["state"] = "Stopped"
    arm.on("GET", BOX, running, running, stopped)
    arm.on("POST", f"{BOX}/stop", (204, None, {}))
    ran = run(runtime, "hook", "postprovision", "-o", "json")
    assert ran.code == 0
    assert "(✓) Done: Jump box old stopped" in ran.stderr
    assert f"jump box {name} (Stopped, costs nothing)" in ran.stderr
    assert {"kind": "network", "name": f"vnet-old-{TOKEN}"} in ran.envelope["data"]["orphans"]


def test_the_environment_that_was_named_is_named_again(runtime: Runtime, arm: FakeArm) -> None:
    values = "".join(
        f'{key}="{value}"\n'.replace('{"', '{\\"') for key, value in ENVIRON.items() if key != "FWD_TOPOLOGY"
    )
    topology = ENVIRON["FWD_TOPOLOGY"].replace('"', '\\"')
    project(runtime.cwd, f'{values}FWD_TOPOLOGY="{topology}"\n', name="other")
    left_behind(arm)
    boxes(arm)
    ran = run(runtime, "env", "orphans", "--remove", "-e", "other")
    assert "run `fwdctl env orphans --remove --yes -e other`" in ran.stderr
    assert "See `fwdctl env orphans -e other`." in run(runtime, "jump", "status", "-e", "other").stderr
    ran = run(runtime, "--cwd", ".", "jump", "status")
    assert f"See `fwdctl env orphans --cwd {runtime.cwd}`." in ran.stderr


def test_a_terminal_obeys_no_name(runtime: Runtime, arm: FakeArm) -> None:
    evil = f"{CONTAINERS}/ci-\x1b]0;x\x07\u202e-{TOKEN}"
    left_behind(arm, entry(evil))
    network = VNET.replace("old", "\x1b]0;x\x07\u202e")
    arm.routes["GET", quote(evil, safe="/;").lower()] = [
        (200, container_group("x", "\x1b[31mRunning", subnetIds=[{"id": f"{network}/subnets/jump"}]), {})
    ]
    boxes(arm)
    for words in (("env", "orphans"), ("env", "orphans", "--remove"), ("jump", "status")):
        ran = run(runtime, *words)
        assert "\\x1b]0;x\\x07\\u202e" in ran.stdout + ran.stderr
        for character in "\x1b\x07\u202e":
            assert character not in ran.stdout + ran.stderr


def test_a_terminal_obeys_no_resource_group(runtime: Runtime, arm: FakeArm) -> None:
    evil = ENVIRON["FWD_TOPOLOGY"].replace("rg-dev", "rg-\\u001b[2Jdev")
    runtime.environ["FWD_TOPOLOGY"] = evil  # type: ignore[index]
    ran = run(runtime, "env", "orphans")
    arm.unexpected.clear()
    assert ran.stderr.startswith("Using rg-\\x1b[2Jdev (process environment).\n")
    assert "\x1b" not in ran.stdout + ran.stderr


def test_the_services_connections_are_read_from_the_service(runtime: Runtime, arm: FakeArm) -> None:
    left_behind(arm)
    arm.fail("GET", SERVICE, 404, "ResourceNotFound")
    assert found(runtime) == [ENDPOINT, BOX, LINK, ZONE, VNET, RULES]
