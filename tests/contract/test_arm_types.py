"""Azure's own published types judge what the lab answers."""

from __future__ import annotations

import asyncio
import json
import re
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest

from conftest import ROOT
from fwdlab.arm.services.base import ReadOnly
from fwdlab.arm.template.hashing import template_hash
from fwdlab.arm.template.request import read_request
from fwdlab.arm.template.routes import DeploymentRoutes
from fwdlab.arm.template.scopes import Scope
from support.azure_types import NOT_ANSWERED, AzureTypes, explained, folder
from support.controlplane import GROUP, NETWORK, PROVIDERS, SUBSCRIPTION, new_api, scale_set_body, seed
from support.deployed_variant import asked
from support.main_template import main_template, values

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fwdlab.arm.services.shapes import Shape

TYPES = folder()
pytestmark = pytest.mark.skipif(
    TYPES is None, reason="Azure's types are not beside the compiler that AZD_BICEP_TOOL_PATH names"
)
AMBIGUOUS = (
    ".revision stays a string",  # is a number in one place and a text in another
    ".metricTrigger.dimensions[].Operator is lost",  # as beside it is `operator`
)
FOREIGN = ROOT / "tests" / "e2e" / "foreign" / "forwards.json"
BOX = f"{PROVIDERS}/Microsoft.ContainerInstance/containerGroups/jump"


@cache
def documents() -> tuple[dict[str, Any], ...]:
    """Every document of the seed, of the project's templates and of a foreign one, and some in other states."""
    return tuple(asyncio.run(_documents()))


async def _deploy(routes: DeploymentRoutes, template: dict[str, Any], given: dict[str, Any]) -> None:
    parameters = {name: {"value": value} for name, value in given.items()}
    body = {"location": "westeurope", "properties": {"template": template, "parameters": parameters}}
    request = read_request(f"d{template_hash(template)}", Scope(SUBSCRIPTION), body)
    record = routes.engine.start(await routes.engine.prepare(request))
    await asyncio.gather(*routes.engine._tops)
    assert record.state == "Succeeded", json.dumps(record.error)


async def _documents() -> list[dict[str, Any]]:
    api = new_api()
    await seed(api, GROUP)
    routes = DeploymentRoutes(api, locations=("westeurope",))
    plain = (main_template(), values()), (json.loads(FOREIGN.read_text("utf-8")), {})
    variants = [asked(name, environmentName=name) for name in ("service-provider", "key-vault")]
    for template, given in (*plain, *variants):
        await _deploy(routes, template, given)
    services = api.store.list(type="Microsoft.Network/privateLinkServices")
    alias = next(one.properties["alias"] for one in services if "/rg-service-provider/" in one.id)
    await _deploy(routes, *asked("service-consumer", environmentName="consumer", linkService=alias))
    rule = {"protocol": "Tcp", "access": "Allow", "direction": "Inbound", "priority": 100}
    rule |= {"sourceAddressPrefix": "*", "destinationAddressPrefix": "*", "destinationPortRange": "443"}
    await api.put(
        f"{NETWORK}/networkSecurityGroups/g",
        {"location": "westeurope", "properties": {"securityRules": [{"name": "r", "properties": rule}]}},
    )
    await api.put(
        f"{NETWORK}/publicIPAddresses/p",
        {"location": "westeurope", "properties": {"dnsSettings": {"domainNameLabel": "web"}}},
    )
    for kind in ("Microsoft.Storage/storageAccounts", "Microsoft.EventHub/namespaces"):
        await api.put(f"{PROVIDERS}/{kind}/records01", {"location": "westeurope", "kind": "StorageV2"})
    flexible = scale_set_body({"id": f"{NETWORK}/virtualNetworks/hub/subnets/shared"}, {}, 1)
    interface = flexible["properties"]["virtualMachineProfile"]["networkProfile"][
        "networkInterfaceConfigurations"
    ][0]
    interface["properties"]["ipConfigurations"][0]["properties"]["loadBalancerBackendAddressPools"] = []
    flexible["properties"]["orchestrationMode"] = "Flexible"
    await api.put(f"{PROVIDERS}/Microsoft.Compute/virtualMachineScaleSets/flex", flexible)
    for kind in ("networkWatchers", "applicationSecurityGroups", "routeTables", "natGateways"):
        await api.put(f"{NETWORK}/{kind}/x", {"location": "westeurope", "properties": {}})
    await api.action(BOX, "stop")
    found = [await api.get(one.id) for one in api.store.list()]
    parts = [part for one in found for part in one["properties"].get("privateEndpointConnections", [])]
    found += [part for part in parts if "type" in part]
    await routes.close()
    return found


def test_nothing_is_answered_that_the_types_do_not_know() -> None:
    assert TYPES is not None
    judge = AzureTypes(TYPES)
    found = {(one["type"], fault) for one in documents() for fault in judge.faults(one)}
    assert not found
    assert len({one["type"] for one in documents()}) > 20


def test_what_the_types_say_of_read_only_properties_is_answered() -> None:
    assert TYPES is not None
    judge = AzureTypes(TYPES)
    missing = {f"{one['type']} {path}" for one in documents() for path in judge.missing(one)}
    assert not {one for one in missing if not explained(one)}
    assert not [pattern for pattern in NOT_ANSWERED if not any(re.fullmatch(pattern, one) for one in missing)]


def test_every_property_of_azures_is_taken_in_any_case_and_numbers_as_strings() -> None:
    assert TYPES is not None
    judge = AzureTypes(TYPES)
    providers = [one for one in new_api().world.providers.values() if not isinstance(one, ReadOnly)]
    samples = {one: judge.sample(one.type) for one in providers}
    wrong = [
        f"{provider.type} {fault}"
        for provider, sample in samples.items()
        for fault in unlike(
            sample, provider.spelled(provider.sent_shape, shouted(sample)), provider.sent_shape
        )
        if not fault.endswith(AMBIGUOUS)
    ]
    assert not wrong
    assert sum(map(bool, samples.values())) > 50


def shouted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key if key == "ofTheClient" else key.upper(): shouted(item) for key, item in value.items()}
    return [shouted(item) for item in value] if isinstance(value, list) else value


def unlike(sample: Any, taken: Any, shape: Shape | None, path: str = "") -> Iterator[str]:
    """Where what is taken of a sample is not what Azure's types say; what a shape names is read by it later."""
    if isinstance(sample, dict):
        yield from (f"{path}.{name} is lost" for name in sample.keys() - taken.keys())
        for name in sample.keys() & taken.keys():
            inner = shape.fields.get(name) if shape is not None else None
            yield from unlike(sample[name], taken[name], inner, f"{path}.{name}")
    elif isinstance(sample, list):
        yield from unlike(sample[0], taken[0], shape.each if shape is not None else None, f"{path}[]")
    elif sample in {"7", "True"} and shape is not None:
        if shape.kind not in ((int, float) if sample == "7" else (bool,)):
            yield f"{path} is read as {shape.kind.__name__}"
    elif sample in {"7", "True"} and taken not in {7, True}:
        yield f"{path} stays a string"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"invented": 1}, "properties.invented: is unknown"),
        ({"enableDdosProtection": "no"}, "properties.enableDdosProtection: 'no' is of another kind"),
        ({"addressSpace": []}, "properties.addressSpace: [] is no object"),
        ({"subnets": {}}, "properties.subnets: {} is no list"),
        ({"subnets": [{"properties": {"sharingScope": 1}}]}, "sharingScope: 1 is none of Tenant"),
    ],
)
def test_the_judge_sees_what_is_wrong(change: dict[str, Any], said: str) -> None:
    assert TYPES is not None
    document = {"type": "Microsoft.Network/virtualNetworks", "name": "v", "id": "/x", "properties": change}
    (fault,) = AzureTypes(TYPES).faults(document)
    assert said in fault
