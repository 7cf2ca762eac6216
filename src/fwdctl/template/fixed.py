"""What Azure fixes when it makes a resource: compared with what runs, and refused before a deployment.

Sources: azure-docs, virtual-machine-scale-sets-upgrade-policy (create-time properties),
virtual-network-manage-subnet (ranges of subnets in use), reliability-load-balancer (zones of a frontend);
PropertyChangeNotAllowed of machines; terraform-provider-azurerm#13411 (NAT subnet of a link service).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import TYPE_CHECKING

from fwdctl.azure.documents import Document, entries, name_of, value
from fwdctl.template.parameters.problems import Problem
from fwdctl.threads import side_by_side

if TYPE_CHECKING:
    from fwdctl.azure.clients import Clients
    from fwdctl.template.parameters import Parameters
    from fwdctl.template.parameters.models import Hub, Spoke

ANEW = "make everything anew with `azd down` and `azd up`: the way is down meanwhile"
SSH_KEY = ("osProfile", "linuxConfiguration", "ssh", "publicKeys", 0, "keyData")
DELETE = "delete it first with"
USED = ("ipConfigurations", "privateEndpoints", "serviceAssociationLinks", "ipConfigurationProfiles")
"""What a subnet lists that is in use."""
FILLED = frozenset({"shared", "jump", "linked", "servers"})
"""Subnets into which the template itself puts something."""


@dataclass(frozen=True)
class Place:
    """The deployment that runs.

    Attributes:
        group: id of its resource group.
        before: the azd environment as the last provision left it.
        ready: what the hook is about to set.
    """

    group: str
    token: str
    before: Mapping[str, str]
    ready: Mapping[str, str]

    def id(self, kind: str, name: str) -> str:
        return f"{self.group}/providers/{kind}/{name}-{self.token}"

    def subnet(self, network: str, name: str) -> str:
        return f"{self.id('Microsoft.Network/virtualNetworks', f'vnet-{network}')}/subnets/{name}"


@dataclass(frozen=True)
class Fixed:
    """A value of a resource that stays as it was made.

    Attributes:
        id: of the resource.
        key: of the parameter that asks for the value.
        held: where it stands below `properties`, or what reads it; None from there where it may change.
        wanted: None where the parameters do not tell.
        way: round it.
        keep: how to keep the value; empty where it is written into the parameters file.
    """

    id: str
    key: str
    held: tuple[str | int, ...] | Callable[[Document], object]
    wanted: object
    way: str = ANEW
    keep: str = ""

    def read(self, document: Document) -> object:
        return self.held(document) if callable(self.held) else value(document, *self.held)


def group_id(clients: Clients, environment: str) -> str:
    """Of the resource group that the template makes for an azd environment."""
    return f"/subscriptions/{clients.subscription_id}/resourceGroups/rg-{environment}"


def problems(clients: Clients, parameters: Parameters, place: Place) -> Iterator[Problem]:
    """What the parameters ask for and Azure would refuse of what runs.

    Raises:
        FwdctlError: Azure cannot be asked.
    """
    group = clients.find(place.group)
    if group is None:
        return
    location = place.before.get("AZURE_LOCATION", "").replace(" ", "")
    if location and not _same(group["location"], location):
        text = f"is {location}, and {name_of(place.group)} lies in {group['location']}"
        way = f"Run `azd env set AZURE_LOCATION {group['location']}`, or {ANEW}."
        yield Problem("location", text, way)
        return
    rows = [row for row in _rows(parameters, place) if row.wanted is not None]
    ids = dict.fromkeys(row.id for row in rows)
    documents = dict(zip(ids, side_by_side(clients.find, ids), strict=True))
    for row in rows:
        document = documents[row.id]
        held = row.read(document) if document is not None else None
        if held is not None and not _same(held, row.wanted):
            text = (
                f"asks for {_shown(row.wanted)}; {name_of(row.id)} has {_shown(held)}, which stays as it is"
            )
            yield Problem(row.key, text, f"{row.keep or f'Write {_shown(held)}'}, or {row.way}.")


def _rows(parameters: Parameters, place: Place) -> Iterator[Fixed]:
    hub, corp = parameters.hub, parameters.corp
    yield from _way(parameters, place)
    if hub.existing is None:
        yield from _network(place, "hub", "hub", hub)
    for index, spoke in enumerate(parameters.spokes):
        path = f"spokes[{index}]"
        endpoint = place.id("Microsoft.Network/privateEndpoints", f"pep-{spoke.name}")
        delete = f"{DELETE} `az network private-endpoint delete --ids {endpoint}`: its connections break"
        address = ("ipConfigurations", 0, "properties", "privateIPAddress")
        subnet = spoke.existing.endpoint_subnet_id if spoke.existing else place.subnet(spoke.name, "linked")
        yield Fixed(endpoint, f"{path}.endpointAddress", address, str(spoke.endpoint_address), delete)
        yield Fixed(endpoint, f"{path}.existing.endpointSubnetId", ("subnet", "id"), subnet, delete)
        if spoke.existing is None:
            yield from _network(place, spoke.name, path, spoke)
            yield Fixed(
                place.subnet(spoke.name, "apps"),
                f"{path}.appsDelegation",
                _delegation_in_use,
                spoke.apps_delegation or "",
                "remove first what uses the subnet",
            )
    if parameters.deploy_on_prem_servers:
        yield _range(place, "corp", "servers", "corp.addressPrefix", corp.address_prefix)
        for server in corp.servers:
            yield from _server(parameters, place, server.name)


def _way(parameters: Parameters, place: Place) -> Iterator[Fixed]:
    """Load balancer, scale set and link service."""
    own = parameters.hub.existing
    subnet = own.subnet_id if own else place.subnet("hub", "shared")
    balancer = place.id("Microsoft.Network/loadBalancers", "lbi")
    in_subnet = ("frontendIPConfigurations", 0, "properties", "subnet", "id")
    yield Fixed(balancer, "availabilityZones", _frontend_zones, parameters.availability_zones)
    yield Fixed(balancer, "hub.existing.subnetId", in_subnet, subnet)
    machines = place.id("Microsoft.Compute/virtualMachineScaleSets", "vmss")
    image, profile = parameters.forwarder.image, "virtualMachineProfile"
    delete = f"{DELETE} `az vmss delete --ids {machines}`: the way is down until the provision has ended"
    for key, held, wanted in (
        (
            "forwarder.image.publisher",
            (profile, "storageProfile", "imageReference", "publisher"),
            image.publisher,
        ),
        ("forwarder.image.offer", (profile, "storageProfile", "imageReference", "offer"), image.offer),
        ("adminUsername", (profile, "osProfile", "adminUsername"), parameters.admin_username),
        ("forwarder (orchestrationMode)", ("orchestrationMode",), "Uniform"),
    ):
        yield Fixed(machines, key, held, wanted, delete)
    service, count = (
        place.id("Microsoft.Network/privateLinkServices", "pl"),
        parameters.link_service.nat_addresses,
    )
    nat = ("ipConfigurations", 0, "properties", "subnet", "id")
    without = "remove its connections first with `fwdctl link remove`: they break"
    yield Fixed(service, "linkService.natAddresses", lambda found: _shrinking(found, count), count, without)
    key = "hub.existing.natSubnetId" if own and own.nat_subnet_id else "hub.existing.subnetId"
    yield Fixed(service, key, nat, (own and own.nat_subnet_id) or subnet)


def _server(parameters: Parameters, place: Place, name: str) -> Iterator[Fixed]:
    machine = place.id("Microsoft.Compute/virtualMachines", f"vm-{name}")
    delete = f"{DELETE} `az vm delete --yes --ids {machine}`"
    image = parameters.forwarder.image
    for key, held, wanted in (
        ("forwarder.image.publisher", ("storageProfile", "imageReference", "publisher"), image.publisher),
        ("forwarder.image.offer", ("storageProfile", "imageReference", "offer"), image.offer),
        ("adminUsername", ("osProfile", "adminUsername"), parameters.admin_username),
    ):
        yield Fixed(machine, key, held, wanted, delete)
    keep = "Set SSH_PUBLIC_KEY to the key of before with `azd env set`"
    own = _key(place.ready.get("SSH_PUBLIC_KEY"))
    yield Fixed(machine, "sshPublicKey", lambda found: _key(value(found, *SSH_KEY)), own, delete, keep)
    # What Azure has of the cloud-init cannot be read back.
    before, ready = (values.get("CLOUD_INIT_ONPREM") for values in (place.before, place.ready))
    if before and before != ready:
        keep = "Restore infra/cloud-init/onprem-server"
        yield Fixed(machine, "cloudInitOnPrem", lambda _: "the one of before", "a new one", delete, keep)


def _key(line: str | None) -> str | None:
    """Type and key of an SSH public key, without the comment."""
    return " ".join(line.split()[:2]) if line else None


def _network(place: Place, network: str, path: str, part: Hub | Spoke) -> Iterator[Fixed]:
    """The subnets of a network of the template; what others have added must lie in its range too."""
    whole = part.address_prefix

    def outside(document: Document) -> object:
        return [str(each) for each in _ranges(document) if whole and not each.subnet_of(whole)] or None

    remove, itself = "remove those subnets first", place.subnet(network, "").removesuffix("/subnets/")
    yield Fixed(itself, f"{path}.addressPrefix", outside, str(whole), remove)
    for key, prefix in part.own_subnets.items():
        yield _range(place, network, key.removesuffix("SubnetPrefix"), f"{path}.{key}", prefix)


def _range(place: Place, network: str, subnet: str, key: str, wanted: IPv4Network) -> Fixed:
    def held(document: Document) -> object:
        return value(document, "addressPrefix") if subnet in FILLED or _is_used(document) else None

    return Fixed(place.subnet(network, subnet), key, held, str(wanted), "empty the subnet first")


def _ranges(network: Document) -> Iterator[IPv4Network]:
    for subnet in entries(network, "subnets"):
        for prefix in value(subnet, "addressPrefixes") or [value(subnet, "addressPrefix")]:
            if prefix and ":" not in prefix:
                yield IPv4Network(prefix)


def _is_used(subnet: Document) -> bool:
    return any(value(subnet, name) for name in USED)


def _delegation_in_use(subnet: Document) -> object:
    names = [value(each, "serviceName") for each in entries(subnet, "delegations")]
    return ", ".join(names) if _is_used(subnet) else None


def _frontend_zones(balancer: Document) -> object:
    return next((each.get("zones") or [] for each in entries(balancer, "frontendIPConfigurations")), None)


def _shrinking(service: Document, wanted: int) -> object:
    addresses, connections = (
        value(service, name) or () for name in ("ipConfigurations", "privateEndpointConnections")
    )
    return len(addresses) if connections and len(addresses) > wanted else None


def _same(held: object, wanted: object) -> bool:
    if isinstance(held, list) and isinstance(wanted, list | tuple):
        return sorted(map(str, held)) == sorted(map(str, wanted))
    return str(held).lower() == str(wanted).lower()


def _shown(held: object) -> str:
    return ", ".join(map(str, held)) or "none" if isinstance(held, list | tuple) else str(held) or "none"
