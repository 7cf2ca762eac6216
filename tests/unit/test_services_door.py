"""Names and ids are taken in any case, as ARM takes them, and answered in Azure's own."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from fwdlab.arm.api import ArmApi
from fwdlab.arm.ids import Spelling
from support.controlplane import GROUP, NETWORK, PROVIDERS, box_body, new_api, refused, seed, vnet

_RANDOM = re.compile(
    r"[0-9a-f]{8}-[0-9a-f-]{27}|\d{4}-\d\d-\d\dT[\d:.]+Z|00-0D(-[0-9A-F]{2})+|\"linkIdentifier\": \"\d+\""
)
_FREE = {"tags"}


class Shouting(ArmApi):
    """Sends every name, and every word of an id, in another case."""

    async def put(self, resource_id: str, body: Any) -> dict[str, Any]:
        return await super().put(resource_id.replace("resourceGroups", "RESOURCEGROUPS"), shouted(body))


def shouted(value: Any) -> Any:
    if isinstance(value, dict):
        return {k.upper(): v if k in _FREE else shouted(v) for k, v in value.items()}
    if isinstance(value, list):
        return [shouted(item) for item in value]
    if isinstance(value, str) and value.startswith("/subscriptions/"):
        parts = value.split("/")
        return "/".join(part.upper() if at % 2 or "." in part else part for at, part in enumerate(parts))
    return value


async def test_bodies_in_capitals_make_the_same_resources() -> None:
    plain = new_api()
    await seed(plain, GROUP)
    loud = new_api()
    loud.__class__ = Shouting
    await seed(loud, GROUP)
    assert shown(loud) == shown(plain)


def shown(api: ArmApi) -> dict[str, str]:
    """Documents by id, without what is made up anew each time."""
    return {
        _RANDOM.sub("?", one.id): _RANDOM.sub("?", json.dumps(one.document, sort_keys=True))
        for one in api.store.list()
    }


async def test_rules_in_another_case_are_not_lost(empty_api: ArmApi) -> None:
    await empty_api.put(GROUP, {"location": "westeurope"})
    rule = {"Priority": "100", "access": "Allow", "Direction": "Inbound", "protocol": "Tcp"}
    group = {"location": "westeurope", "Properties": {"SecurityRules": [{"Name": "r", "Properties": rule}]}}
    await empty_api.put(f"{NETWORK}/networkSecurityGroups/g", group)
    document = await empty_api.get(f"{NETWORK}/networkSecurityGroups/g")
    (only,) = document["properties"]["securityRules"]
    assert (only["name"], only["properties"]["priority"]) == ("r", 100)


async def test_a_part_is_taken_in_any_case(api: ArmApi) -> None:
    subnet = {"PROPERTIES": {"ADDRESSPREFIX": "10.0.1.192/26"}}
    made = await api.put(f"{NETWORK}/virtualnetworks/hub/SUBNETS/extra", subnet)
    assert made["id"] == f"{NETWORK}/virtualNetworks/hub/subnets/extra"
    assert made["properties"]["addressPrefix"] == "10.0.1.192/26"


async def test_a_patch_in_another_case_changes_what_is_there(api: ArmApi) -> None:
    changed = await api.patch(f"{NETWORK}/virtualNetworks/hub", {"TAGS": {"A": "1"}})
    assert changed["tags"] == {"A": "1"}
    assert "TAGS" not in changed


async def test_of_two_cases_of_a_name_the_last_counts(empty_api: ArmApi) -> None:
    made = await empty_api.put(GROUP, {"location": "westeurope", "tags": {"a": "1"}, "Tags": {"b": "2"}})
    assert made["tags"] == {"b": "2"}


@pytest.mark.parametrize(
    ("sent", "wanted"),
    [
        (f"{GROUP}/".replace("resourceGroups", "resourcegroups"), GROUP),
        (
            f"{PROVIDERS}/microsoft.network//LOADBALANCERS/Lb/FrontendIpConfigurations/Fe",
            f"{NETWORK}/loadBalancers/Lb/frontendIPConfigurations/Fe",
        ),
        ("/subscriptions/subscriptions/resourcegroups/PROVIDERS/x", None),
        ("not/an/id", "not/an/id"),
        (f"{GROUP}/providers/Unknown.Here/Things/one", f"{GROUP}/providers/Unknown.Here/Things/one"),
    ],
)
def test_ids_are_spelled_by_their_words_and_names_stay(sent: str, wanted: str | None) -> None:
    spelling = new_api().world.spelling
    assert spelling.of(sent) == (wanted or "/subscriptions/subscriptions/resourceGroups/PROVIDERS/x")


def test_a_type_below_a_type_is_spelled() -> None:
    spelling = Spelling(["Lab.Things", "outer", "inner"])
    assert spelling.of("/providers/lab.things/OUTER/a/INNER") == "/providers/Lab.Things/outer/a/inner"


async def test_numbers_may_be_given_as_strings(empty_api: ArmApi) -> None:
    await empty_api.put(GROUP, {"location": "westeurope"})
    zone = f"{NETWORK}/privateDnsZones/corp.internal"
    await empty_api.put(zone, {"location": "global"})
    record = {"properties": {"TTL": "60", "aRecords": [{"ipv4Address": "10.0.0.1"}]}}
    made = await empty_api.put(f"{zone}/a/www", record)
    assert made["properties"]["ttl"] == 60
    assert made["id"] == f"{zone}/A/www"


async def test_what_the_lab_does_not_look_at_is_taken_in_any_case_too(api: ArmApi) -> None:
    """By Azure's published names; names that are the client's stay."""
    sent = {"TAGS": {"NAME": "1"}, "Sku": {"NAME": "Standard"}, "Properties": {"IDLETIMEOUTINMINUTES": "7"}}
    gateway = await api.put(f"{NETWORK}/natGateways/n", {"LOCATION": "westeurope", **sent})
    assert (gateway["tags"], gateway["sku"]) == ({"NAME": "1"}, {"name": "Standard"})
    assert gateway["properties"]["idleTimeoutInMinutes"] == 7
    hub = await api.patch(f"{NETWORK}/virtualNetworks/hub", {"properties": {"FLOWTIMEOUTinminutes": "10"}})
    assert hub["properties"]["flowTimeoutInMinutes"] == 10
    front = f"{NETWORK}/loadBalancers/lb/frontendIPConfigurations/fe".replace("/providers/", "/Providers/")
    rule = {
        "FrontendIpConfiguration": {"ID": front.replace("IPC", "ipC")},
        "FRONTENDPORT": "22",
        "backendPort": 22,
    }
    made = await api.put(f"{NETWORK}/loadBalancers/lb/InboundNATRules/r", {"properties": rule})
    assert made["properties"]["frontendPort"] == 22
    assert made["properties"]["frontendIPConfiguration"]["id"] == front.replace("/Providers/", "/providers/")
    hops = {
        "Scopes": [NETWORK.replace("resourceGroups", "resourcegroups")],
        "CUSTOMPROPERTIES": {"Mine": "true"},
    }
    alert = {"location": "global", "properties": {"enabled": "TRUE", **hops}}
    kept = (await api.put(f"{PROVIDERS}/Microsoft.Insights/metricAlerts/a", alert))["properties"]
    assert (kept["enabled"], kept["customProperties"], kept["scopes"]) == (True, {"Mine": "true"}, [NETWORK])


@pytest.mark.parametrize(("sent", "taken"), [("True", True), ("false", False), (True, True), ("yes", None)])
async def test_flags_may_be_given_as_strings(api: ArmApi, sent: Any, taken: bool | None) -> None:  # noqa: FBT001
    put = api.patch(f"{NETWORK}/virtualNetworks/hub", {"properties": {"enableDdosProtection": sent}})
    if taken is None:
        assert (await refused(put)).code == "InvalidRequestFormat"
    else:
        assert (await put)["properties"]["enableDdosProtection"] is taken


async def test_tags_are_texts(api: ArmApi) -> None:
    """What else is stored there az cannot show."""
    made = await api.put(GROUP, {"location": "westeurope", "tags": {"A": 1, "b": True, "c": "C", "d": 1.5}})
    assert made["tags"] == {"A": "1", "b": "true", "c": "C", "d": "1.5"}
    scope = f"{GROUP}/providers/Microsoft.Resources/tags/default"
    for tags in ({"a": {}}, {"a": []}, ["a"], "a"):
        for path, body in (
            (f"{NETWORK}/virtualNetworks/hub", {"tags": tags}),
            (GROUP, {"tags": tags}),
            (scope, {"operation": "Merge", "properties": {"tags": tags}}),
        ):
            assert (await refused(api.patch(path, body))).code == "InvalidRequestFormat"


async def test_the_body_of_an_action_is_taken_in_any_case(api: ArmApi) -> None:
    """Instances that are named in another case are no reason to stop all."""
    group = f"{PROVIDERS}/Microsoft.Compute/virtualMachineScaleSets/fwd"
    await api.post(group, "PowerOff", {"InstanceIDs": ["1"]})
    states = [api.store.require(f"{group}/virtualMachines/{one}").secrets["powerState"] for one in range(3)]
    assert states == ["running", "stopped", "running"]


async def test_a_network_in_any_case_is_the_same_network(empty_api: ArmApi) -> None:
    await empty_api.put(GROUP, {"location": "westeurope"})
    await empty_api.put(f"{NETWORK}/virtualNetworks/v", vnet({"a": "10.0.0.0/24"}, "10.0.0.0/16"))
    found = await empty_api.get(f"{NETWORK}/VIRTUALNETWORKS/V".replace("/providers", "/Providers"))
    assert found["id"] == f"{NETWORK}/virtualNetworks/v"


@pytest.mark.parametrize(
    ("value", "taken"), [("1", 1.0), (2, 2.0), ("0.5", 0.5), ("nan", None), ("much", None), (True, None)]
)
async def test_processors_are_numbers(api: ArmApi, value: Any, taken: float | None) -> None:
    box = box_body(NETWORK)
    box["properties"]["containers"][0]["properties"]["resources"]["requests"]["cpu"] = value
    put = api.put(f"{PROVIDERS}/Microsoft.ContainerInstance/containerGroups/other", box)
    if taken is None:
        assert (await refused(put)).code == "InvalidRequestFormat"
    else:
        container = (await put)["properties"]["containers"][0]["properties"]
        assert container["resources"]["requests"]["cpu"] == taken
