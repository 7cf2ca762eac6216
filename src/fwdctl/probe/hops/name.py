"""The name: its records, the zone that answers for it, the zone's link to the network, and who is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fwdctl.azure.documents import Document, entries, group_of, name_of, network_of, same, value
from fwdctl.probe.hops import endpoint, route
from fwdctl.probe.hops.commands import az, fwdctl, lines, provision
from fwdctl.probe.model import Broken, PathResult

if TYPE_CHECKING:
    from fwdctl.deployment import Spoke
    from fwdctl.probe.evidence import Evidence

BEHIND = "what lies behind the name was not tested"
PLATFORM_DNS = {"168.63.129.16", "azureprovideddns"}


@dataclass(frozen=True)
class _Zone:
    """A private DNS zone in resource group `group`; `id` is empty where it is not known."""

    name: str
    group: str
    id: str

    @classmethod
    def of(cls, document: Document, group: str) -> _Zone:
        return cls(str(document["name"]), group_of(document.get("id"), group), str(document.get("id", "")))

    def answers(self, host: str) -> bool:
        return f".{host}".lower().endswith(f".{self.name}".lower())

    def label(self, host: str) -> str:
        """What a name is called in the zone.

        The name of a service of Azure is an alias of the one with the same first part in its private zone
        (azure-docs, private-link/private-endpoint-dns).
        """
        if same(self.name, host):
            return "@"
        return host[: -len(self.name) - 1] if self.answers(host) else host.partition(".")[0]


def broken(evidence: Evidence, result: PathResult) -> Broken | None:
    """Why the name does not lead to the endpoint."""
    spoke = result.path.spoke
    if spoke is None or result.failed_check != "name":
        return None
    found = _cause(evidence.of_spoke(spoke), result, spoke)
    return replace(found, evidence=f"{found.evidence}; {BEHIND}")


def _cause(evidence: Evidence, result: PathResult, spoke: Spoke) -> Broken:
    group = evidence.deployment.resource_group
    wanted = spoke.zone or spoke.host_name.partition(".")[2]
    zones = [_Zone.of(each, group) for each in evidence.read(evidence.networks.zones)]
    if not any(same(each.name, wanted) for each in zones):
        zones = [_Zone.of(each, group) for each in evidence.read(evidence.networks.all_zones)]
    zone = next((each for each in zones if same(each.name, wanted)), None)
    if zone is None:
        create = az("network private-dns zone create", "-g", group, "-n", wanted)
        text = f"there is no private DNS zone {wanted}"
        return Broken("name", "DNS_NXDOMAIN", text, provision(evidence.deployment, create))
    network = _network(evidence, spoke)
    servers = _servers(evidence, network)
    if network and not _is_linked(evidence, zone, network):
        return _custom(spoke, zone, servers) if servers else _not_linked(spoke, zone, network)
    # Azure's own services take the alias of their name away from who is not approved.
    if not zone.answers(spoke.host_name) and (unapproved := endpoint.broken(evidence, result)) is not None:
        return unapproved
    found = _wrong_record(evidence, result, _closest(evidence, zones, network, spoke) or zone, spoke)
    if found is not None:
        return found
    everywhere = [_Zone.of(each, group) for each in evidence.read(evidence.networks.all_zones)]
    closest = _closest(evidence, everywhere, network, spoke)
    return (
        (_wrong_record(evidence, result, closest, spoke) if closest is not None else None)
        or (_custom(spoke, zone, servers) if servers else None)
        or route.name_server_refused(evidence, result)
        or _other_resolver(evidence, result)
    )


def _network(evidence: Evidence, spoke: Spoke) -> str:
    """Id of the spoke's network, by its endpoint or else by its jump box."""
    if spoke.endpoint:
        return network_of(value(evidence.endpoint(spoke) or {}, "subnet", "id"))
    return network_of(evidence.group(spoke.box).subnet_id) if spoke.box is not None else ""


def _is_linked(evidence: Evidence, zone: _Zone, network: str) -> bool:
    links = evidence.read(evidence.networks.zone_links, zone.name, zone.group)
    return any(same(value(link, "virtualNetwork", "id"), network) for link in links)


def _closest(evidence: Evidence, zones: Sequence[_Zone], network: str, spoke: Spoke) -> _Zone | None:
    """The zone that answers for the name: of those linked to the network, the most specific one."""
    fitting = sorted(
        (z for z in zones if z.answers(spoke.host_name)), key=lambda z: len(z.name), reverse=True
    )
    return next((each for each in fitting if _is_linked(evidence, each, network)), None)


def _servers(evidence: Evidence, network: str) -> list[str]:
    """The DNS servers that a network is told to use in the place of the platform's."""
    told = value(evidence.resource(network), "dhcpOptions", "dnsServers") or ()
    return [str(server) for server in told if str(server).lower() not in PLATFORM_DNS]


def _custom(spoke: Spoke, zone: _Zone, servers: Sequence[str]) -> Broken:
    return Broken(
        "name",
        "DNS_CUSTOM_SERVERS",
        f"the network of {spoke.name} asks DNS servers of its own ({', '.join(servers)}), "
        f"not the platform's, which knows zone {zone.name}",
        f"Let {', '.join(servers)} forward {zone.name} to 168.63.129.16 from a network that the zone is "
        "linked to.",
    )


def _not_linked(spoke: Spoke, zone: _Zone, network: str) -> Broken:
    # Called as the template calls it: a network has one link to a zone, and the next deployment
    # would not get past one of another name.
    return Broken(
        "name",
        "DNS_ZONE_NOT_LINKED",
        f"zone {zone.name} is not linked to the network of {spoke.name}",
        az(
            "network private-dns link vnet create",
            *("-g", zone.group, "-z", zone.name, "-n", name_of(network), "-v", network, "-e", "false"),
            of=zone.id,
        ),
    )


def _wrong_record(evidence: Evidence, result: PathResult, zone: _Zone, spoke: Spoke) -> Broken | None:
    """Anything in a zone but one A record with the endpoint's address."""
    label = zone.label(spoke.host_name)
    sets = [
        document
        for document in evidence.read(evidence.networks.zone_records, zone.name, zone.group)
        if same(document["name"], label)
    ]
    aliases = [alias for each in sets if (alias := value(each, "cnameRecord", "cname"))]
    four = sorted(
        str(entry["ipv4Address"]) for each in sets for entry in entries(each, "aRecords", "ARecords")
    )
    six = sorted(
        str(entry["ipv6Address"]) for each in sets for entry in entries(each, "aaaaRecords", "AAAARecords")
    )
    if four == [spoke.address] and not six and not aliases:
        return None
    words = f"zone {zone.name}"
    if spoke.zone and not same(zone.name, spoke.zone):
        words += f" (which answers in the place of {spoke.zone}: it is linked too, and more specific)"
    suggestion = _correction(zone, label, [aliases, four, six], spoke.address)
    if aliases:
        text = f"record '{label}' in {words} is an alias (CNAME) of {aliases[0]}"
    elif four or six:
        text = f"record '{label}' in {words} holds {', '.join([*four, *six])}"
    else:
        seen = result.observation.addresses
        code = "DNS_WRONG_ADDRESS" if seen else "DNS_NXDOMAIN"
        return Broken("name", code, f"{words} has no A record '{label}'", suggestion)
    return Broken("name", "DNS_WRONG_ADDRESS", f"{text}; the endpoint is {spoke.address}", suggestion)


def _correction(zone: _Zone, label: str, held: Sequence[Sequence[str]], address: str) -> str:
    """Commands after which a name has one A record with one address only; it holds aliases, IPv4, IPv6.

    What is right is added before what is wrong is removed: az deletes a record set that becomes empty, and
    its time to live with it. An alias has to go first: it suffers no other record beside it.
    """
    aliases, four, six = held

    def record(kind: str, verb: str, *words: str) -> str:
        where = ("-g", zone.group, "-z", zone.name, "-n", label)
        return az(f"network private-dns record-set {kind} {verb}", *where, *words, of=zone.id)

    wrong = [("a", each) for each in four if each != address] + [("aaaa", each) for each in six]
    return lines(
        *(record("cname", "delete", "-y") for _ in aliases[:1]),
        *(record("a", "add-record", "-a", address) for _ in range(address not in four)),
        *(record(kind, "remove-record", "-a", each) for kind, each in wrong),
    )


def _other_resolver(evidence: Evidence, result: PathResult) -> Broken:
    seen = result.observation.addresses
    return Broken(
        "name",
        "DNS_WRONG_ADDRESS" if seen else "DNS_NXDOMAIN",
        f"zone, link and record are right, but the box sees {', '.join(seen) or 'nothing'}: "
        "another resolver or a cached answer",
        fwdctl(evidence.deployment, "jump", "exec", result.path.box.name, "--", "cat", "/etc/resolv.conf"),
    )
