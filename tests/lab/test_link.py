"""Approving and rejecting with real packets: of an own spoke, and of consumers in other subscriptions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fwdctl.azure.clients import Clients
from fwdctl.azure.credential import log_in
from fwdctl.runtime import Runtime
from support.programs import FWDCTL, Done, RunningLab, run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

SOON = ("--timeout", "1", "--retries", "0")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[RunningLab]:
    """A deployed lab whose link service is visible to anyone and approves nobody by itself."""
    running = RunningLab.up(tmp_path_factory.mktemp("link"), f"link-{worker_id}")
    try:
        service = described(running)["service"]
        changes = {"visibility": {"subscriptions": ["*"]}, "autoApproval": {"subscriptions": []}}
        document = running.arm("GET", service["id"])
        document["properties"] |= changes
        running.arm("PUT", service["id"], document)
        yield running
    finally:
        running.down()


def described(lab: RunningLab) -> dict[str, Any]:
    found: dict[str, Any] = lab.fwdctl("link", "show", "-o", "json").json["data"]
    return found


def request(lab: RunningLab, subnet: str, name: str, *words: str) -> Done:
    alias = described(lab)["service"]["alias"]
    return lab.fwdctl("link", "request", "--alias", alias, "--subnet", subnet, "--name", name, *words)


def codes(done: Done) -> list[str]:
    return [cause["code"] for cause in done.json["data"]["causes"]]


def test_an_own_spoke_waits_is_approved_and_rejected_for_good(lab: RunningLab) -> None:
    (former,) = described(lab)["connections"]
    subnet = lab.arm("GET", former["endpoint"])["properties"]["subnet"]["id"]
    name = former["endpoint"].rpartition("/")[2]
    lab.fwdctl("jump", "start", "spoke")

    lab.arm("DELETE", former["endpoint"])
    assert "Pending (made)" in request(lab, subnet, name, "--message", "Orders").stdout
    (waiting,) = described(lab)["connections"]
    assert (waiting["state"], waiting["message"], waiting["spoke"]) == ("Pending", "Orders", "app")
    assert waiting["since"]
    assert codes(lab.fwdctl("probe", "spoke", *SOON, "-o", "json", expect=4)) == ["PE_PENDING"]

    approved = lab.fwdctl("link", "approve", "--match", "pep-*", "--wait", "-o", "json").json["data"]
    assert (approved["outcome"], approved["probe"]["paths"][0]["verdict"]) == ("approved", "pass")
    again = lab.fwdctl("link", "approve", "--match", "pep-*", "-o", "json").json["data"]
    assert (again["outcome"], again["probe"]["paths"][0]["verdict"]) == ("already approved", "pass")

    lab.fwdctl("link", "reject", "--match", "pep-*", "--yes")
    broken = lab.fwdctl("probe", "spoke", *SOON, "-o", "json", expect=4)
    assert codes(broken) == ["PE_REJECTED"]
    assert "az network private-endpoint delete" in broken.json["data"]["causes"][0]["next"]
    refused = lab.fwdctl("link", "approve", "--match", "pep-*", "-o", "json", expect=2)
    assert refused.json["errors"][0]["code"] == "connection_final"


def consumer(lab: RunningLab, *, abroad: bool) -> dict[str, str]:
    """The environment of somebody who has another subscription only, of this or of the other tenant."""
    profile = json.loads((Path(lab.environ["AZURE_CONFIG_DIR"]) / "azureProfile.json").read_text("utf-8-sig"))
    own = lab.environ["AZURE_TENANT_ID"]
    (chosen,) = (
        each
        for each in profile["subscriptions"]
        if not each["isDefault"] and (each["tenantId"] != own) is abroad
    )
    kept = {key: value for key, value in lab.environ.items() if not key.startswith("FWD_")}
    kept.pop("RESOURCE_GROUP_NAME")
    return {**kept, "AZURE_SUBSCRIPTION_ID": chosen["id"], "AZURE_TENANT_ID": chosen["tenantId"]}


def network(put: Callable[[str, Any], object], group: str) -> str:
    """A network with a jump box, which the provider knows nothing of; the endpoints' subnet."""
    place = {"location": "westeurope"}
    own = f"{group}/providers/Microsoft.Network/virtualNetworks/vnet-crm"
    delegation = {"name": "aci", "properties": {"serviceName": "Microsoft.ContainerInstance/containerGroups"}}
    subnets = [
        {"name": "linked", "properties": {"addressPrefix": "10.1.17.0/24"}},
        {"name": "jump", "properties": {"addressPrefix": "10.1.18.0/24", "delegations": [delegation]}},
    ]
    container = {
        "image": "mcr.microsoft.com/azure-cli:latest",
        "command": ["sleep", "3600"],
        "resources": {"requests": {"cpu": 1, "memoryInGB": 1}},
    }
    box = {
        "osType": "Linux",
        "restartPolicy": "Never",
        "subnetIds": [{"id": f"{own}/subnets/jump"}],
        "containers": [{"name": "jump", "properties": container}],
    }
    put(group, place)
    space = {"addressPrefixes": ["10.1.16.0/20"]}
    put(own, {**place, "properties": {"addressSpace": space, "subnets": subnets}})
    groups = f"{group}/providers/Microsoft.ContainerInstance/containerGroups"
    put(f"{groups}/ci-crm", {**place, "properties": box})
    return f"{own}/subnets/linked"


@pytest.mark.parametrize("abroad", [False, True], ids=["subscription", "tenant"])
def test_a_consumer_elsewhere_asks_by_alias(
    lab: RunningLab, monkeypatch: pytest.MonkeyPatch, *, abroad: bool
) -> None:
    environ = consumer(lab, abroad=abroad)
    for name in environ.keys() - {"HOME", "CI"}:
        monkeypatch.setenv(name, environ[name])  # az's library reads them
    runtime = Runtime(environ=environ)
    subscription = environ["AZURE_SUBSCRIPTION_ID"]
    clients = Clients(log_in(runtime, subscription), runtime)

    def put(path: str, body: Any) -> None:
        clients.request("PUT", path, body)

    subnet = network(put, f"/subscriptions/{subscription}/resourceGroups/rg-crm")

    def as_consumer(*words: str, expect: int = 0) -> Done:
        return run([*FWDCTL, *words], environ=environ, cwd=lab.home, expect=expect)

    alias = described(lab)["service"]["alias"]
    asked = as_consumer(
        *("link", "request", "--alias", alias, "--subnet", subnet, "--name", "pep-crm", "-o", "json")
    )
    assert asked.json["data"]["state"] == "Pending"
    probe = ("probe", "spoke", "-g", "rg-crm", "--port", "8000", *SOON, "-o", "json")
    assert codes(as_consumer(*probe, expect=4)) == ["PE_PENDING"]

    listed = lab.fwdctl("link", "list", "-o", "json").json["data"]["connections"]
    (theirs,) = (each for each in listed if each["subscription"] == subscription)
    assert (theirs["state"], theirs["since"] is None) == ("Pending", abroad)
    approved = lab.fwdctl("link", "approve", "--match", f"/subscriptions/{subscription}/*", "-o", "json")
    assert approved.json["data"]["outcome"] == "approved"
    assert "cannot be tested from inside" in approved.json["data"]["untested"]
    assert as_consumer(*probe).json["data"]["paths"][0]["verdict"] == "pass"

    lab.fwdctl("link", "remove", "--match", "pep-crm", "--yes")
    assert codes(as_consumer(*probe, expect=4)) == ["PE_DISCONNECTED"]
