"""What documents have in answers that nobody sent, and what was sent and they have not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fwdlab.arm.directory import Directory
from fwdlab.arm.http import ArmRequest
from support.controlplane import GROUP, NETWORK, PROVIDERS, SUBSCRIPTION, box_body, refused

if TYPE_CHECKING:
    from fwdlab.arm.api import ArmApi

BOX = f"{PROVIDERS}/Microsoft.ContainerInstance/containerGroups/jump"
IDENTITY = f"{PROVIDERS}/Microsoft.ManagedIdentity/userAssignedIdentities/id"


async def test_identities_have_principals(api: ArmApi) -> None:
    own = await api.put(IDENTITY, {"location": "westeurope"})
    box = box_body(NETWORK) | {
        "identity": {"type": "systemAssigned,UserAssigned", "userAssignedIdentities": {IDENTITY: {}}}
    }
    shown = (await api.put(BOX, box))["identity"]
    principal = {name: own["properties"][name] for name in ("principalId", "clientId")}
    assert shown["userAssignedIdentities"] == {IDENTITY: principal}
    assert shown["type"] == "SystemAssigned, UserAssigned"
    assert shown["tenantId"] == own["properties"]["tenantId"]
    again = (await api.put(BOX, await api.get(BOX)))["identity"]
    assert again == shown
    less = (await api.put(BOX, box | {"identity": {"type": "SystemAssigned"}}))["identity"]
    assert less == {name: shown[name] for name in ("principalId", "tenantId")} | {"type": "SystemAssigned"}


async def test_an_identity_that_is_not_there_is_refused(api: ArmApi) -> None:
    box = box_body(NETWORK) | {"identity": {"type": "UserAssigned", "userAssignedIdentities": {IDENTITY: {}}}}
    assert (await refused(api.put(BOX, box))).code == "FailedIdentityOperation"


async def test_rules_have_empty_lists(api: ArmApi) -> None:
    """`az network nsg rule list -o table` reads them."""
    group = f"{NETWORK}/networkSecurityGroups/g"
    await api.put(group, {"location": "westeurope"})
    rule = {"priority": 100, "access": "Allow", "direction": "Inbound", "protocol": "Tcp"}
    made = await api.put(f"{group}/securityRules/r", {"properties": rule})
    default = await api.get(group)
    for one in (made, default["properties"]["defaultSecurityRules"][0]):
        assert one["properties"]["destinationAddressPrefixes"] == []
        assert one["properties"]["sourcePortRanges"] == []


async def test_parts_of_a_load_balancer_say_what_rules_use_them(api: ArmApi) -> None:
    balancer = await api.get(f"{NETWORK}/loadBalancers/lb")
    properties = balancer["properties"]
    frontend, pool = (
        {"id": properties[name][0]["id"]} for name in ("frontendIPConfigurations", "backendAddressPools")
    )
    properties["inboundNatRules"] = [
        {
            "name": "ssh",
            "properties": {"frontendIPConfiguration": frontend, "frontendPort": "2222", "backendPort": 22},
        }
    ]
    properties["outboundRules"] = [
        {"name": "out", "properties": {"frontendIPConfigurations": [frontend], "backendAddressPool": pool}}
    ]
    shown = (await api.put(balancer["id"], balancer))["properties"]
    (nat,), (out,) = shown["inboundNatRules"], shown["outboundRules"]
    assert (nat["properties"]["idleTimeoutInMinutes"], nat["properties"]["enableFloatingIP"]) == (4, False)
    assert (out["properties"]["protocol"], out["properties"]["allocatedOutboundPorts"]) == ("All", 0)
    first = shown["frontendIPConfigurations"][0]["properties"]
    assert (first["inboundNatRules"], first["outboundRules"]) == ([{"id": nat["id"]}], [{"id": out["id"]}])
    assert shown["backendAddressPools"][0]["properties"]["outboundRules"] == [{"id": out["id"]}]
    out["properties"]["backendAddressPool"] = {"id": f"{balancer['id']}/backendAddressPools/none"}
    changed = balancer | {"properties": {**properties, "outboundRules": [out]}}
    assert (await refused(api.put(balancer["id"], changed))).code == "InvalidResourceReference"


async def test_what_is_secret_is_never_answered(api: ArmApi) -> None:
    box = box_body(NETWORK)
    box["properties"] |= {
        "initContainers": [
            {
                "name": "first",
                "properties": {"environmentVariables": [{"name": "A", "secureValue": "hidden"}]},
            }
        ],
        "imageRegistryCredentials": [{"server": "a.azurecr.io", "username": "u", "password": "hidden"}],
        "volumes": [
            {"name": "files", "secret": {"key": "hidden"}},
            {"name": "share", "azureFile": {"shareName": "s", "storageAccountKey": "hidden"}},
        ],
    }
    shown: dict[str, Any] = await api.put(BOX, box)
    assert "hidden" not in str(shown)
    assert shown["properties"]["volumes"][0]["secret"] == {}
    assert (
        f"{GROUP}/providers/Microsoft.ContainerInstance/containerGroups/jump: volumes have no effect in the lab"
        in (api.warnings)
    )


async def test_an_extension_says_that_it_is_never_run(api: ArmApi) -> None:
    extension = f"{PROVIDERS}/Microsoft.Compute/virtualMachineScaleSets/fwd/extensions/setup"
    own = {
        "type": "CustomScript",
        "settings": {"a": "b"},
        "protectedSettings": {"commandToExecute": "hidden"},
    }
    shown = await api.put(extension, {"properties": own})
    assert "protectedSettings" not in shown["properties"]
    (warning,) = (text for text in api.warnings if text.startswith(extension))
    assert "CustomScript has no effect" in warning


async def test_references_lead_to_something_in_the_same_region(api: ArmApi) -> None:
    away = f"{NETWORK}/networkSecurityGroups/away"
    await api.put(away, {"location": "northeurope"})
    subnet = {"id": f"{NETWORK}/virtualNetworks/hub/subnets/shared"}
    entry = {"name": "ip", "properties": {"subnet": subnet}}
    interface = f"{NETWORK}/networkInterfaces/new"
    for wanted in (away, f"{NETWORK}/networkSecurityGroups/none"):
        own = {"ipConfigurations": [entry], "networkSecurityGroup": {"id": wanted}}
        error = await refused(api.put(interface, {"location": "westeurope", "properties": own}))
        assert (error.code, wanted in error.message) == ("InvalidResourceReference", True)
    here = {"location": "westeurope", "properties": {"ipConfigurations": [entry]}}
    assert (await refused(api.put(interface, here | {"location": "northeurope"}))).code == error.code
    await api.put(interface, here)


async def test_load_balancers_that_the_lab_has_not_are_refused(api: ArmApi) -> None:
    balancer = await api.get(f"{NETWORK}/loadBalancers/lb")
    for sku in ({"name": "Gateway"}, {"name": "Standard", "tier": "Global"}):
        error = await refused(api.put(balancer["id"], balancer | {"sku": sku}))
        assert error.code == "LabLoadBalancerSkuNotSupported"


async def test_every_image_has_a_version(api: ArmApi) -> None:
    """`az vm create` asks for the newest one and what it is."""
    images = (
        f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Compute/locations/westeurope/publishers/Canonical/"
        "artifacttypes/vmimage/offers/server/skus/22_04/versions"
    )
    listed = Directory(api).handle(ArmRequest("GET", images, {}, None, ""))
    assert listed is not None
    ((version,),) = (listed.body,)
    assert (version["name"], version["id"]) == ("1.0.0", f"{images}/1.0.0")
    shown = Directory(api).handle(ArmRequest("GET", version["id"], {}, None, ""))
    assert shown is not None
    assert shown.body["properties"]["osDiskImage"] == {"operatingSystem": "Linux"}


async def test_locks_hold(api: ArmApi) -> None:
    kind = "providers/Microsoft.Authorization/locks"
    zone = await api.put(f"{NETWORK}/privateDnsZones/locked.zone", {"location": "global"})
    await api.put(f"{zone['id']}/{kind}/keep", {"properties": {"level": "CanNotDelete"}})
    for locked in (zone["id"], GROUP):
        error = await refused(api.delete(locked))
        assert (error.status, error.code, f"'{zone['id']}'" in error.message) == (409, "ScopeLocked", True)
    await api.put(zone["id"], zone | {"tags": {"a": "b"}})
    await api.put(f"{GROUP}/{kind}/all", {"properties": {"level": "ReadOnly"}})
    tags = {"tags": {"a": "c"}}
    for refusal in (api.patch(zone["id"], tags), api.put(zone["id"], zone), api.post(BOX, "start")):
        assert (await refused(refusal)).code == "ScopeLocked"
    await api.delete(f"{GROUP}/{kind}/all")
    await api.delete(f"{zone['id']}/{kind}/keep")
    assert (await api.delete(zone["id"])).status == 200


async def test_a_record_set_without_records_has_an_empty_list(api: ArmApi) -> None:
    zone = await api.put(f"{NETWORK}/privateDnsZones/empty.zone", {"location": "global"})
    made = await api.put(f"{zone['id']}/A/web", {"properties": {"ttl": 30}})
    assert made["properties"]["aRecords"] == []


async def test_roles_have_names_and_are_given_once(api: ArmApi) -> None:
    """`az role assignment create --role Reader` looks for the name."""
    kind = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions"
    request = ArmRequest("GET", kind, {"$filter": "roleName eq 'reader'"}, None, "")
    answer = Directory(api).handle(request)
    assert answer is not None
    (role,) = answer.body["value"]
    assert (await api.get(role["id"])) == role
    assignments = f"{GROUP}/providers/Microsoft.Authorization/roleAssignments"
    own = {"properties": {"roleDefinitionId": role["id"], "principalId": "p"}}
    made = await api.put(f"{assignments}/1", own)
    assert made["properties"]["scope"] == GROUP
    await api.put(f"{assignments}/1", own)
    assert (await refused(api.put(f"{assignments}/2", own))).code == "RoleAssignmentExists"
    assert (await api.delete(made["id"])).body["id"] == made["id"]
    names = Directory(api).handle(ArmRequest("POST", "/v1.0/directoryObjects/getByIds", {}, {"ids": []}, ""))
    assert names is not None
    assert names.body == {"value": []}


async def test_what_the_lab_has_not_of_container_groups_is_named(api: ArmApi) -> None:
    windows = box_body(NETWORK)
    windows["properties"]["osType"] = "Windows"
    assert (await refused(api.put(f"{BOX}-w", windows))).code == "LabOsTypeNotSupported"
    await api.put(BOX, box_body(NETWORK))
    known = api.store.require(BOX)
    assert known.node is not None
    api.container_ended(known.node.name, known.node.boot_id, known.node.containers[0], 0)
    assert (await refused(api.read(f"{BOX}/containers/jump/logs"))).code == "LabContainerLogGone"
