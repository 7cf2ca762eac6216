"""Reads for discovery: documents by id, boxes and names of the groups that take part, wherever they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fwdctl.azure.containers import Containers, Group
from fwdctl.azure.documents import OF_THE_PLATFORM, Document, ancestor, network_of, place_of, same, value
from fwdctl.azure.networks import Networks
from fwdctl.errors import FwdctlError
from fwdctl.threads import side_by_side

if TYPE_CHECKING:
    from fwdctl.azure.clients import Clients


Place = tuple[str, str]
"""Subscription and resource group."""


def key(resource_id: object) -> str:
    """An id in the one spelling in which it is looked up."""
    return str(resource_id or "").lower()


@dataclass(frozen=True)
class Name:
    """An address record in a zone that is linked to a network (key of its id)."""

    network: str
    address: str
    host: str
    zone: str


@dataclass(frozen=True)
class Machine:
    """A container group in a network (key of its id), with where it is."""

    group: Group
    place: Place
    network_id: str

    @property
    def network(self) -> str:
        return key(self.network_id)


class Survey:
    """Reads in one resource group, its home, and in those that its resources lead to."""

    def __init__(self, clients: Clients, resource_group: str) -> None:
        self._clients = clients
        self.home: Place = (clients.subscription_id, resource_group)
        self.networks = Networks(clients, resource_group)

    def is_home(self, place: Place) -> bool:
        return all(same(one, other) for one, other in zip(place, self.home, strict=True))

    def elsewhere(self, place: Place) -> dict[str, str]:
        """Subscription and group as fields, so far as they differ from the home's."""
        fields = ("subscription_id", "resource_group")
        parts = zip(fields, place, self.home, strict=True)
        differing = {field: own for field, own, home in parts if not same(own, home)}
        return differing | ({"resource_group": place[1]} if differing else {})

    def document(self, resource_id: str) -> tuple[Document, str]:
        """A resource of Microsoft.Network, or nothing and why it cannot be read."""
        try:
            return self.networks.resource(resource_id), ""
        except FwdctlError as error:
            return {}, error.message.rstrip(".")

    def interface(self, configuration_id: str) -> Document:
        """The interface of an IP configuration, or one of the same scale set; empty if not readable."""
        scale_set = ancestor(configuration_id, "virtualMachineScaleSets")
        if not scale_set:
            return self.document(ancestor(configuration_id, "networkInterfaces"))[0]
        try:
            return next(iter(self.networks.scale_set_interfaces(scale_set)), {})
        except FwdctlError:
            return {}

    def machines(self, places: Iterable[Place]) -> list[Machine]:
        """The container groups that are in networks, the home's first."""

        def one(place: Place) -> list[Machine]:
            clients = self._clients.of(place[0])
            groups = self._readable(place, Containers(clients, place[1]).list)
            return [Machine(group, place, network_of(group.subnet_id)) for group in groups]

        found = [machine for own in side_by_side(one, self._all(places)) for machine in own]
        return [machine for machine in found if machine.network]

    def names(self, places: Iterable[Place]) -> list[Name]:
        """All names of the groups' zones, in each network that a zone is linked to."""
        zones = [
            (place, z) for place in self._all(places) for z in self._readable(place, self._at(place).zones)
        ]
        return self._names_of(zones)

    def all_names(self) -> list[Name]:
        """All names of the subscription's zones, as far as the login may see them."""
        try:
            zones = self.networks.all_zones()
        except FwdctlError:
            return []
        return self._names_of((place_of(zone["id"]), zone) for zone in zones)

    def _names_of(self, zones: Iterable[tuple[Place, Document]]) -> list[Name]:
        def one(found: tuple[Place, Document]) -> list[Name]:
            place, zone = found
            name, networks = zone["name"], self._at(place)
            links = self._readable(place, lambda: networks.zone_links(name))
            linked = [key(value(link, "virtualNetwork", "id")) for link in links]
            records = self._readable(place, lambda: networks.zone_records(name)) if linked else []
            return [
                Name(network, entry["ipv4Address"], _full_name(record["name"], name), name)
                for record in records
                if not value(record, "isAutoRegistered")
                for entry in value(record, "aRecords") or value(record, "ARecords") or ()
                for network in linked
            ]

        own = [(place, zone) for place, zone in zones if not zone["name"].startswith(OF_THE_PLATFORM)]
        return [name for names in side_by_side(one, own) for name in names]

    def _at(self, place: Place) -> Networks:
        return Networks(self._clients.of(place[0]), place[1])

    def _all(self, places: Iterable[Place]) -> list[Place]:
        """Home and other places, each once."""
        wanted = {(key(place[0]), key(place[1])): place for place in places if all(place)}
        return [self.home, *(place for place in wanted.values() if not self.is_home(place))]

    def _readable(self, place: Place, ask: Callable[[], list[Any]]) -> list[Any]:
        """What is there; nothing where another group cannot be read."""
        try:
            return ask()
        except FwdctlError:
            if self.is_home(place):
                raise
            return []


def _full_name(record: str, zone: str) -> str:
    return zone if record == "@" else f"{record}.{zone}"
