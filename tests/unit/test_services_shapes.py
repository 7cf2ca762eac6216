"""Bodies of the wrong shape are refused as ARM refuses them, and right ones are answered in ARM's own form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from fwdlab.arm.errors import ArmError
from fwdlab.arm.services.shapes import Place, body, flag, items, named, normal, number, parts, record, text
from support.controlplane import NETWORK, PROVIDERS, refused

if TYPE_CHECKING:
    from fwdlab.arm.api import ArmApi

HERE = Place("/r", "Lab/things")
SHAPE = body(
    {"sku": record(name=text("Basic", "Basic", "Standard"))},
    count=number(2, range(5), code="TooMany", message="{value} of {place}"),
    on=flag(default=False),
    names=items(text(required=True)),
    inner=named(kind=text(required=True, code="NoKind")),
    children=parts(grand=parts()),
)


def test_what_is_left_out_is_put_in() -> None:
    assert normal(SHAPE, {"other": [1]}, HERE) == {
        "other": [1],
        "sku": {"name": "Basic"},
        "properties": {"count": 2, "on": False, "inner": [], "children": []},
    }


def test_numbers_texts_and_choices_are_written_as_the_service_does() -> None:
    sent = {"sku": {"name": "STANDARD"}, "properties": {"count": "3", "names": [1, "b"]}}
    made = normal(SHAPE, sent, HERE)
    assert made["sku"] == {"name": "Standard"}
    assert (made["properties"]["count"], made["properties"]["names"]) == (3, ["1", "b"])


def test_parts_have_ids_and_types_of_their_own() -> None:
    sent = {"properties": {"children": [{"name": "c", "properties": {"grand": [{"name": "g"}]}}]}}
    (child,) = normal(SHAPE, sent, HERE)["properties"]["children"]
    (grand,) = child["properties"]["grand"]
    assert (child["id"], child["type"]) == ("/r/children/c", "Lab/things/children")
    assert (grand["id"], grand["type"]) == ("/r/children/c/grand/g", "Lab/things/children/grand")
    assert grand["properties"] == {"provisioningState": "Succeeded"}


def test_a_body_is_copied() -> None:
    sent: dict[str, Any] = {"other": {"a": []}, "properties": {"names": ["x"]}}
    made = normal(SHAPE, sent, HERE)
    made["other"]["a"].append(1)
    made["properties"]["names"].append("y")
    assert sent == {"other": {"a": []}, "properties": {"names": ["x"]}}


@pytest.mark.parametrize(
    ("sent", "code", "said"),
    [
        ([], "InvalidRequestFormat", "must be an object"),
        ({"properties": []}, "InvalidRequestFormat", "properties must be an object"),
        ({"sku": {"name": "Free"}}, "InvalidRequestFormat", "one of Basic, Standard, not 'Free'"),
        ({"properties": {"count": 5}}, "TooMany", "5 of /r: properties.count"),
        ({"properties": {"count": "two"}}, "InvalidRequestFormat", "a whole number"),
        ({"properties": {"count": True}}, "InvalidRequestFormat", "a whole number"),
        ({"properties": {"on": 1}}, "InvalidRequestFormat", "true or false"),
        ({"properties": {"names": "x"}}, "InvalidRequestFormat", "properties.names must be an array"),
        ({"properties": {"names": [{}]}}, "InvalidRequestFormat", "properties.names[0] must be a string"),
        ({"properties": {"inner": [{"name": "i"}]}}, "NoKind", "inner[0].properties.kind is missing"),
        ({"properties": {"children": ["x"]}}, "InvalidRequestFormat", "children[0] must be an object"),
        ({"properties": {"children": [{}]}}, "InvalidRequestFormat", "children[0].name is missing"),
    ],
)
def test_what_does_not_fit_is_refused(sent: Any, code: str, said: str) -> None:
    with pytest.raises(ArmError) as caught:
        normal(SHAPE, sent, HERE)
    assert (caught.value.status, caught.value.code) == (400, code)
    assert said in caught.value.message


VNET, LB = f"{NETWORK}/virtualNetworks/x", f"{NETWORK}/loadBalancers/x"
VMSS = f"{PROVIDERS}/Microsoft.Compute/virtualMachineScaleSets/fwd"
RECORD = f"{NETWORK}/privateDnsZones/corp.internal/A/x"
BOX = f"{PROVIDERS}/Microsoft.ContainerInstance/containerGroups/jump"
SPACE = {"addressPrefixes": ["10.0.0.0/24"]}


@pytest.mark.parametrize(
    ("resource_id", "properties"),
    [
        (VNET, []),
        (VNET, {"addressSpace": []}),
        (VNET, {"addressSpace": {"addressPrefixes": "10.0.0.0/24"}}),
        (VNET, {"addressSpace": SPACE, "subnets": {}}),
        (VNET, {"addressSpace": SPACE, "subnets": ["x"]}),
        (VNET, {"addressSpace": SPACE, "subnets": [{"name": "x", "properties": []}]}),
        (VNET, {"addressSpace": SPACE, "dhcpOptions": []}),
        (f"{NETWORK}/virtualNetworks/hub/subnets/x", []),
        (f"{NETWORK}/networkSecurityGroups/x", {"securityRules": ["x"]}),
        (
            f"{NETWORK}/networkInterfaces/x",
            {"ipConfigurations": [{"name": "x", "properties": {"subnet": []}}]},
        ),
        (f"{NETWORK}/privateEndpoints/x", {"privateLinkServiceConnections": {}}),
        (f"{NETWORK}/privateLinkServices/x", {"visibility": []}),
        (LB, {"probes": "x"}),
        (LB, {"loadBalancingRules": [{"name": "x", "properties": {"frontendPort": {}}}]}),
        (RECORD, {"aRecords": ["10.0.0.1"]}),
        (RECORD, {"aRecords": {"ipv4Address": "10.0.0.1"}}),
        (VMSS, {"virtualMachineProfile": []}),
        (VMSS, {"virtualMachineProfile": {"networkProfile": {"networkInterfaceConfigurations": ["x"]}}}),
        (f"{PROVIDERS}/Microsoft.Compute/virtualMachines/x", {"osProfile": "x"}),
        (BOX, {"containers": "x"}),
        (BOX, {"containers": ["x"]}),
        (BOX, {"containers": [{"name": "x", "properties": []}]}),
        (f"{PROVIDERS}/Microsoft.KeyVault/vaults/kv-one", {"accessPolicies": {}}),
        (f"{PROVIDERS}/Microsoft.KeyVault/vaults/kv-one", "x"),
    ],
)
async def test_a_value_of_the_wrong_kind_is_the_clients_error(
    api: ArmApi, resource_id: str, properties: Any
) -> None:
    revision = api.store.revision
    error = await refused(api.put(resource_id, {"location": "westeurope", "properties": properties}))
    assert (error.status, error.code) == (400, "InvalidRequestFormat")
    assert api.store.revision == revision


@pytest.mark.parametrize("sent", ["x", ["0"], {"instanceIds": "0"}, {"instanceIds": [{}]}])
async def test_the_body_of_an_action_has_a_shape_too(api: ArmApi, sent: Any) -> None:
    error = await refused(api.post(VMSS, "reimage", sent))
    assert (error.status, error.code) == (400, "InvalidRequestFormat")


async def test_a_change_of_the_wrong_kind_is_refused(api: ArmApi) -> None:
    for path in (f"{NETWORK}/virtualNetworks/hub", f"{NETWORK}/virtualNetworks/hub/subnets/shared"):
        error = await refused(api.patch(path, {"properties": []}))
        assert (error.status, error.code) == (400, "InvalidRequestFormat")


async def test_what_has_no_effect_is_said_with_whose_it_is(api: ArmApi) -> None:
    assert api.warnings == ()
    zone = f"{NETWORK}/privateDnsZones/corp.internal"
    spoke = {"id": f"{NETWORK}/virtualNetworks/spoke"}
    link = {"virtualNetwork": spoke, "registrationEnabled": True}
    await api.put(f"{zone}/virtualNetworkLinks/l", {"location": "global", "properties": link})
    await api.patch(VMSS, {"properties": {"scaleInPolicy": {"rules": ["OldestVM"]}}})
    await api.patch(BOX, {"properties": {"volumes": [{"name": "v"}]}})
    assert set(api.warnings) == {
        f"{zone}/virtualNetworkLinks/l: machines are not registered automatically in the lab",
        f"{VMSS}: scaleInPolicy has no effect in the lab",
        f"{BOX}: volumes have no effect in the lab",
    }
