from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from fwdlab.arm.errors import ArmError
from fwdlab.arm.services.resources.filters import matches, parse_filter
from support.controlplane import (
    GROUP,
    NETWORK,
    PROVIDERS,
    SUBSCRIPTION,
    FakeDataPlane,
    new_api,
    refused,
    vnet,
)

if TYPE_CHECKING:
    from fwdlab.arm.api import ArmApi

VMSS = f"{PROVIDERS}/Microsoft.Compute/virtualMachineScaleSets/fwd"
PLACE = {"location": "West Europe"}


async def test_a_group_goes_with_all_that_is_in_it(api: ArmApi) -> None:
    outcome = await api.delete(GROUP)
    assert outcome.status == 202
    assert outcome.operation is not None
    assert outcome.operation.status == "Succeeded"
    assert api.operations.find(outcome.operation.path) is outcome.operation
    snapshot = api.store.snapshot()
    assert (snapshot.documents, snapshot.nodes) == ({}, ())
    assert (await refused(api.delete(GROUP))).code == "ResourceGroupNotFound"


async def test_a_slow_deletion_can_be_watched(empty_api: ArmApi) -> None:
    empty_api.settings.delete_seconds = 0.01
    operation = (await empty_api.delete(GROUP)).operation
    assert (await empty_api.get(GROUP))["properties"]["provisioningState"] == "Deleting"
    await asyncio.gather(*empty_api.world.tasks)
    assert operation is not None
    assert operation.done
    assert not empty_api.found(GROUP)


async def test_locations_are_normalised_known_and_final() -> None:
    api = new_api()
    assert (await api.put(GROUP, PLACE))["location"] == "westeurope"
    network = f"{NETWORK}/virtualNetworks/v"
    body = vnet({"a": "10.0.0.0/24"}, "10.0.0.0/24")
    unknown = await refused(api.put(network, {**body, "location": "atlantis"}))
    assert unknown.code == "LocationNotAvailableForResourceType"
    assert "westeurope" in unknown.message
    missing = await refused(api.put(network, {"properties": body["properties"]}))
    assert missing.code == "LocationRequired"
    await api.put(network, body)
    moved = await refused(api.put(network, {**body, "location": "northeurope"}))
    assert (moved.status, moved.code) == (409, "InvalidResourceLocation")


@pytest.mark.parametrize(
    ("resource_id", "status", "code"),
    [
        (f"{PROVIDERS}/Microsoft.Web/sites/x", 400, "LabResourceTypeNotSupported"),
        (f"{GROUP}-none/providers/Microsoft.Network/virtualNetworks/v", 404, "ResourceGroupNotFound"),
        ("/subscriptions/other/resourceGroups/rg", 404, "SubscriptionNotFound"),
        (f"{NETWORK}/virtualNetworks", 400, "InvalidResourceId"),
        ("nonsense", 404, "NotFound"),
        (f"{NETWORK}/virtualNetworks/none/subnets/s", 404, "ParentResourceNotFound"),
        (f"{NETWORK}/routeTables/none/routes/r", 404, "ParentResourceNotFound"),
    ],
)
async def test_ids_that_lead_nowhere(empty_api: ArmApi, resource_id: str, status: int, code: str) -> None:
    error = await refused(empty_api.put(resource_id, {**PLACE, "properties": {}}))
    assert (error.status, error.code) == (status, code)


async def test_bodies_that_are_no_objects_are_refused() -> None:
    api = new_api()
    for body in (None, [], "x", 1):
        assert (await refused(api.put(GROUP, body))).code == "InvalidRequestContent"


async def test_nulls_are_absent() -> None:
    api = new_api()
    made = await api.put(GROUP, {**PLACE, "tags": {"a": None, "b": "c"}, "managedBy": None})
    assert made["tags"] == {"b": "c"}
    assert "managedBy" not in made


async def test_extension_resources_need_their_scope(api: ArmApi) -> None:
    setting = "providers/Microsoft.Insights/diagnosticSettings/d"
    made = await api.put(f"{NETWORK}/virtualNetworks/hub/{setting}", {"properties": {"logs": []}})
    assert made["type"] == "Microsoft.Insights/diagnosticSettings"
    error = await refused(api.put(f"{NETWORK}/virtualNetworks/none/{setting}", {"properties": {}}))
    assert error.code == "ResourceNotFound"
    role = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Authorization/roleAssignments"
    await api.put(f"{role}/r", {"properties": {"roleDefinitionId": "x"}})
    assert len(await api.list(role)) == 1


async def test_documents_that_are_answered_are_copies(api: ArmApi) -> None:
    for path in (f"{NETWORK}/virtualNetworks/hub", f"{NETWORK}/virtualNetworks/hub/subnets/shared"):
        document = await api.get(path)
        document["properties"].clear()
        assert (await api.get(path))["properties"]


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("", True),
        ("tagName eq 'azd-env-name' and tagValue eq 'test'", True),
        ("tagName eq 'AZD-ENV-NAME' and tagValue eq 'Test'", False),
        ("tagName eq 'other'", False),
        ("resourceType eq 'microsoft.network/virtualnetworks'", True),
        ("name eq 'hub' and location eq 'westeurope'", True),
        ("resourceGroup eq 'RG-TEST'", True),
        ("resourceGroup eq 'x'", False),
    ],
)
def test_filters(text: str, *, fits: bool) -> None:
    document = {
        "id": f"{NETWORK}/virtualNetworks/hub",
        "name": "hub",
        "type": "Microsoft.Network/virtualNetworks",
        "location": "westeurope",
        "tags": {"azd-env-name": "test"},
    }
    assert matches(document, parse_filter(text)) is fits


def test_a_filter_that_is_not_understood_is_refused() -> None:
    with pytest.raises(ArmError, match="InvalidFilterInQueryString"):
        parse_filter("substringof('x', name)")


async def test_warnings_go_with_what_they_are_about(empty_api: ArmApi) -> None:
    body = vnet({"a": "10.0.0.0/24"}, "10.0.0.0/24")
    subnet = body["properties"]["subnets"][0]["properties"]
    subnet["serviceEndpoints"] = [{"service": "Microsoft.KeyVault"}]
    for _ in range(2):
        await empty_api.put(f"{NETWORK}/virtualNetworks/v", body)
    expected = f"{NETWORK}/virtualNetworks/v/subnets/a: service endpoints have no effect in the lab"
    assert empty_api.warnings == (expected,)
    subnet["serviceEndpoints"] = []
    await empty_api.put(f"{NETWORK}/virtualNetworks/v", body)
    assert empty_api.warnings == ()
    subnet["serviceEndpoints"] = [{"service": "Microsoft.KeyVault"}]
    await empty_api.put(f"{NETWORK}/virtualNetworks/v", body)
    await empty_api.delete(f"{NETWORK}/virtualNetworks/v")
    assert empty_api.warnings == ()


async def test_who_is_asked_for_names(api: ArmApi) -> None:
    """Machines ask the servers of their network or interface; containers those of `dnsConfig`, and the platform."""
    for name in ("hub", "spoke"):
        change = {"properties": {"dhcpOptions": {"dnsServers": ["10.0.0.4"]}}}
        await api.patch(f"{NETWORK}/virtualNetworks/{name}", change)
    box, machines = f"{PROVIDERS}/Microsoft.ContainerInstance/containerGroups/jump", f"{VMSS}/virtualMachines"
    document = await api.get(box)
    for own, wanted in ((["10.0.0.5"], ("10.0.0.5", "168.63.129.16")), ([], ("10.0.0.4",))):
        document["properties"]["dnsConfig"] = {"nameServers": own}
        await api.put(box, document)
        assert asked(api, box) == wanted
    assert asked(api, f"{machines}/0") == ()  # it runs since before
    await api.post(VMSS, "restart")
    assert asked(api, f"{machines}/0") == ("10.0.0.4",)


def asked(api: ArmApi, resource_id: str) -> tuple[str, ...]:
    node = api.store.require(resource_id).node
    assert node is not None
    return node.name_servers


async def test_tags_are_a_resource_on_every_scope(api: ArmApi) -> None:
    for scope in (GROUP, f"{NETWORK}/virtualNetworks/hub"):
        tags = f"{scope}/providers/Microsoft.Resources/tags/default"
        made = await api.put(tags, {"properties": {"tags": {"a": "1", "b": "2"}}})
        assert made["properties"]["tags"] == {"a": "1", "b": "2"}
        await api.patch(tags, {"operation": "Merge", "properties": {"tags": {"c": "3"}}})
        await api.patch(tags, {"operation": "Delete", "properties": {"tags": {"a": "1", "b": "other"}}})
        assert (await api.get(scope))["tags"] == {"b": "2", "c": "3"}
        await api.patch(tags, {"operation": "Replace", "properties": {"tags": {}}})
        assert (await api.get(tags))["properties"]["tags"] == {}
        error = await refused(api.patch(tags, {"operation": "Paint", "properties": {"tags": {}}}))
        assert error.code == "InvalidRequestContent"
    missing = f"{NETWORK}/virtualNetworks/none/providers/Microsoft.Resources/tags/default"
    assert (await refused(api.put(missing, {"properties": {"tags": {}}}))).code == "ResourceNotFound"


async def test_a_data_plane_that_does_not_follow_is_an_error_and_no_hanging(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Stuck(FakeDataPlane):
        async def settled(self, revision: int) -> None:
            await asyncio.sleep(3600)

    monkeypatch.setattr("fwdlab.arm.api._SETTLE_SECONDS", 0.01)
    assert (await refused(new_api(Stuck()).settle())).code == "LabDataPlaneTimeout"
