"""Scale sets, uniform and flexible."""

from __future__ import annotations

import copy
import uuid
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

from fwdlab.arm.errors import ArmError
from fwdlab.arm.operations import Outcome
from fwdlab.arm.services.base import Actions, Provider, Views, bad_request, of_type
from fwdlab.arm.services.compute.flexible_instances import FlexibleInstances
from fwdlab.arm.services.compute.machines import (
    EXTENSION,
    POWER,
    PROVISIONED,
    Extensions,
    check_custom_data,
    check_interfaces,
    check_user_data,
    never_run,
)
from fwdlab.arm.services.compute.scale_set_instances import INSTANCE, VMSS, Instances, is_flexible
from fwdlab.arm.services.network.addresses import IP_CONFIGURATION
from fwdlab.arm.services.shapes import (
    Shape,
    body,
    flag,
    items,
    named,
    number,
    optional,
    record,
    reference,
    secret,
    text,
)
from fwdlab.model import Resource

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from fwdlab.arm.ids import ResourceId

Change: TypeAlias = "Callable[[Instances | FlexibleInstances, Resource], None]"
# An instance's host name has six characters more (for Windows: Azure/azure-xplat-cli#2761).
_PREFIX_LIMITS = {"Linux": 58, "Windows": 9}
_CAPACITY = number(
    within=range(1001), code="InvalidParameter", message="The sku capacity '{value}' is invalid."
)
_INTERFACES = named(
    primary=flag(),
    networkSecurityGroup=reference(),
    enableIPForwarding=flag(),
    ipConfigurations=named(**IP_CONFIGURATION),
)


class ScaleSets(Provider):
    """What stands here of changes is about orchestration mode Uniform.

    A changed model (tags, profile, customData, userData) reaches new instances at once; existing ones get its
    network settings and userData by `manualupgrade` (or at once with upgrade policy Automatic or Rolling) and
    its customData only by `reimage` after that (ACD custom-data).
    """

    type = VMSS
    transition = "Updating"
    etag = '"{}"'
    shape = body(
        {"sku": optional(name=text(), tier=text(), capacity=_CAPACITY), "zones": items(text())},
        automaticRepairsPolicy=Shape(dict, ignored="automaticRepairsPolicy has no effect in the lab"),
        scaleInPolicy=Shape(dict, ignored="scaleInPolicy has no effect in the lab"),
        orchestrationMode=text("Uniform", "Uniform", "Flexible"),
        upgradePolicy=record(mode=text("Manual", "Manual", "Automatic", "Rolling")),
        virtualMachineProfile=optional(
            userData=text(),
            osProfile=record(
                computerNamePrefix=text(),
                customData=text(),
                adminPassword=secret(),
                windowsConfiguration=optional(),
            ),
            networkProfile=record(networkInterfaceConfigurations=_INTERFACES),
            extensionProfile=optional(extensions=named(**EXTENSION)),
        ),
    )

    @cached_property
    def uniform(self) -> Instances:
        found = self.world.provider(INSTANCE)
        assert isinstance(found, Instances)  # noqa: S101 - the registry says so
        return found

    @cached_property
    def flexible(self) -> FlexibleInstances:
        return FlexibleInstances(self.world)

    def instances(self, scale_set: Resource) -> Instances | FlexibleInstances:
        """What makes and changes the instances of a scale set."""
        return self.flexible if is_flexible(scale_set) else self.uniform

    @cached_property
    def actions(self) -> Actions:
        words = {**POWER, "reimageall": POWER["reimage"]}
        return {
            **{word: self._for_each(_power(word, *change)) for word, change in words.items()},
            "manualupgrade": self._for_each(lambda instances, one: instances.upgrade(one)),
            "delete": self._for_each(lambda instances, one: instances.remove(one)),
        }

    @cached_property
    def views(self) -> Views:
        nothing: Views = dict.fromkeys(
            ("skus", "osupgradehistory", "rollingupgrades"), lambda _: {"value": []}
        )
        return {
            **nothing,
            "instanceview": self._view,
            "networkinterfaces": self.uniform.interfaces,
        }

    def validate(self, resource_id: ResourceId, document: dict[str, Any]) -> None:
        properties = document["properties"]
        profile = properties.get("virtualMachineProfile")
        if profile is not None:
            _check_os_profile(profile["osProfile"])
            check_user_data(profile)
            _check_interfaces(profile["networkProfile"]["networkInterfaceConfigurations"], resource_id)

    def draft(self, resource_id: ResourceId, sent: dict[str, Any], old: Resource | None) -> dict[str, Any]:
        """What a PUT leaves out stays as it is: `az vmss scale` sends location and sku alone."""
        if old is not None:
            now = self.rendered(old)
            kept = {name: now[name] for name in _KEPT if name in now}
            properties = sent.get("properties") or {}
            if isinstance(properties, dict):
                properties = {**old.properties, **properties}
            sent = copy.deepcopy({**kept, **sent, "properties": properties})
        return super().draft(resource_id, sent, old)

    def not_honoured(self, document: dict[str, Any]) -> Iterator[str]:
        yield from super().not_honoured(document)
        profile = document["properties"].get("virtualMachineProfile", {})
        for one in profile.get("extensionProfile", {}).get("extensions", []):
            yield from never_run(f"{document['id']}: extension {one['name']}", one["properties"])

    def build(self, document: dict[str, Any], old: Resource | None) -> Resource:
        """Keep the secrets, count the model's versions, bring the instances to the capacity."""
        properties = document["properties"]
        flexible = properties["orchestrationMode"] == "Flexible"
        if old is not None and is_flexible(old) != flexible:
            name = "orchestrationMode"
            refusal = f"Changing property '{name}' is not allowed."
            raise ArmError(409, "PropertyChangeNotAllowed", refusal, target=name)
        if "virtualMachineProfile" not in properties:
            if flexible:  # machines are put into it
                return self._without_model(document, old)
            raise bad_request(
                "InvalidParameter", "Required parameter 'virtualMachineProfile' is missing (null)."
            )
        machine = properties["virtualMachineProfile"]
        profile = machine["osProfile"]
        profile.setdefault("computerNamePrefix", document["name"][:9])
        properties["uniqueId"] = old.properties["uniqueId"] if old is not None else str(uuid.uuid4())
        document.setdefault("sku", {}).setdefault("capacity", 1)
        fresh: dict[str, Any] = {"next": 0, "model": 0, "customData": "", "userData": ""}
        secrets = dict(old.secrets) if old is not None else fresh
        secrets["customData"] = profile.pop("customData", None) or secrets["customData"]
        secrets["userData"] = machine.pop("userData", secrets["userData"])
        if old is not None and _model(document, secrets) != _model(old.document, old.secrets):
            secrets["model"] += 1
        scale_set = Resource(document["id"], VMSS, document, secrets)
        self.store.put(scale_set)
        scale_set = self._to_capacity(scale_set)
        if properties["upgradePolicy"]["mode"] != "Manual" and not flexible:
            for instance in self.uniform.of(scale_set):
                self.uniform.upgrade(instance)
        return scale_set

    def _without_model(self, document: dict[str, Any], old: Resource | None) -> Resource:
        document["properties"]["uniqueId"] = old.properties["uniqueId"] if old else str(uuid.uuid4())
        document.setdefault("sku", {})["capacity"] = 0
        return Resource(document["id"], VMSS, document, {"userData": "", "next": 0})

    def _to_capacity(self, scale_set: Resource) -> Resource:
        instances = self.instances(scale_set)
        existing = instances.of(scale_set)
        wanted = scale_set.document["sku"]["capacity"]
        for instance in existing[wanted:]:
            instances.remove(instance)
        self.store.put(scale_set)  # a removed one has let it shrink
        first = scale_set.secrets["next"]
        after = first + max(0, wanted - len(existing))
        for added in range(first, after):
            instances.create(scale_set, added)
        return replace(scale_set, secrets={**scale_set.secrets, "next": after})

    def expanded(self, document: dict[str, Any], words: Collection[str]) -> dict[str, Any]:
        """With the model's user data, where they are asked for."""
        if "userdata" in words:
            own = self.store.require(document["id"]).secrets["userData"]
            document["properties"]["virtualMachineProfile"]["userData"] = own
        return document

    def rendered(self, resource: Resource) -> dict[str, Any]:
        """A flexible one has as many instances as there are machines in it."""
        document = super().rendered(resource)
        if is_flexible(resource):
            document["sku"]["capacity"] = len(self.flexible.of(resource))
        return document

    def before_delete(self, resource_id: ResourceId) -> None:
        """Take the machines of a flexible one along; those of a uniform one stand below it."""
        scale_set = self.store.require(resource_id.text)
        for instance in self.flexible.of(scale_set):
            self.flexible.remove(instance)

    def _for_each(self, change: Change) -> Callable[[ResourceId, Any], Outcome]:
        def act(resource_id: ResourceId, sent: Any) -> Outcome:
            chosen = self.asked(resource_id, _CHOSEN, sent)["instanceIds"] or ["*"]
            scale_set = self.store.require(resource_id.text)
            instances = self.instances(scale_set)
            known = {one.name: one for one in instances.of(scale_set)}
            for name in known if "*" in chosen else chosen:
                if name not in known:
                    raise bad_request(
                        "InvalidParameter",
                        f"The provided instanceId {name} is not an active Virtual Machine Scale Set VM "
                        "instanceId.",
                        target="instanceIds",
                    )
                change(instances, known[name])
            return Outcome(200)

        return act

    def _view(self, resource_id: ResourceId) -> dict[str, Any]:
        scale_set = self.store.require(resource_id.text)
        instances = self.instances(scale_set).of(scale_set)
        states = [f"PowerState/{one.secrets['powerState']}" for one in instances]
        summary = [{"code": "ProvisioningState/succeeded", "count": len(instances)}]
        summary += [{"code": code, "count": states.count(code)} for code in sorted(set(states))]
        return {
            "virtualMachine": {"statusesSummary": summary},
            "statuses": [PROVISIONED],
            "extensions": [],
        }


def _power(word: str, state: str, fresh: bool) -> Change:  # noqa: FBT001 - of a table
    if word.startswith("reimage"):
        return lambda instances, one: instances.reimage(one)
    return lambda instances, one: instances.power(one, state, fresh=fresh)


_KEPT = ("tags", "zones", "sku")
_CHOSEN = record(instanceIds=items(text(), default=[]))


def _model(document: dict[str, Any], secrets: dict[str, Any]) -> tuple[Any, ...]:
    return (
        document.get("tags") or {},
        document["properties"]["virtualMachineProfile"],
        document["sku"].get("name"),
        secrets["customData"],
        secrets["userData"],
    )


def _check_os_profile(profile: dict[str, Any]) -> None:
    check_custom_data(profile)
    system = "Windows" if "windowsConfiguration" in profile else "Linux"
    limit = _PREFIX_LIMITS[system]
    if len(profile.get("computerNamePrefix", "")) > limit:
        raise bad_request(
            "InvalidParameter",
            f"{system} computer name prefix cannot be more than {limit} characters long.",
            target="osProfile.computerNamePrefix",
        )


def _check_interfaces(interfaces: list[dict[str, Any]], owner: ResourceId) -> None:
    check_interfaces(interfaces, owner)
    if any(len(one["properties"]["ipConfigurations"]) != 1 for one in interfaces):
        raise bad_request(
            "LabOneIpConfigurationOnly",
            f"{owner}: a network interface configuration has one IP configuration in the lab.",
        )


PROVIDERS = (ScaleSets, of_type(Extensions, f"{VMSS}/extensions", tracked=False))
