"""What the control plane and direct checks say of each hop, as an explanation or nothing."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any

from fwdctl.azure.networks import Networks
from fwdctl.probe.model import Broken, PathResult

if TYPE_CHECKING:
    from collections.abc import Sequence
    from ipaddress import IPv4Address, IPv6Address

    from fwdctl.deployment import Forward, Spoke

Document = dict[str, Any]

__all__ = ["Document", "Networks"]

PROVISION = "azd provision --no-state"
"""Deploy the template again though it has not changed, which azd would else skip: something is missing."""

ENDPOINT_CODES = {"pending": "PE_PENDING", "rejected": "PE_REJECTED", "disconnected": "PE_DISCONNECTED"}


def name(networks: Networks, resource_group: str, spoke: Spoke, result: PathResult) -> Broken:
    """Why a name does not lead to the endpoint: the record, the zone, or its link."""
    zone = spoke.zone or spoke.host_name.partition(".")[2]
    record = spoke.host_name.removesuffix(f".{zone}")
    found = result.sight.addresses
    if zone.lower() not in {str(document["name"]).lower() for document in networks.zones()}:
        return Broken("name", "DNS_NXDOMAIN", f"there is no private DNS zone {zone}", PROVISION)
    own = _network(networks.private_endpoint(spoke.endpoint)) if spoke.endpoint else ""
    linked = {_link_network(link) for link in networks.zone_links(zone)}
    if own and own.lower() not in linked:
        return Broken(
            "name",
            "DNS_ZONE_NOT_LINKED",
            f"zone {zone} is not linked to the network of {spoke.name}",
            # Called as the template calls it: a network has one link to a zone, and the next deployment
            # would not get past one of another name.
            f"az network private-dns link vnet create -g {resource_group} -z {zone} "
            f"-n {own.rpartition('/')[2]} -v {own} -e false",
        )
    held = _records(networks, zone).get(record.lower(), [])
    mend = _correction(resource_group, zone, record, held, spoke.address)
    if not held:
        return Broken("name", "DNS_NXDOMAIN", f"zone {zone} has no A record '{record}'", mend)
    if held != [spoke.address]:
        return Broken(
            "name",
            "DNS_WRONG_ADDRESS",
            f"record '{record}' in zone {zone} holds {', '.join(held)}; the endpoint is {spoke.address}",
            mend,
        )
    code = "DNS_WRONG_ADDRESS" if found else "DNS_NXDOMAIN"
    return Broken(
        "name",
        code,
        f"zone, link and record are right, but the box sees {', '.join(found) or 'nothing'}: "
        "another resolver or a cached answer",
        f"fwdctl jump exec {result.path.box.name} -- cat /etc/resolv.conf",
    )


def _correction(resource_group: str, zone: str, record: str, held: Sequence[str], address: str) -> str:
    """Commands after which a record holds one address only.

    What is right is added before what is wrong is removed: az deletes a record set that becomes empty, and
    its time to live with it.
    """
    where = f"-g {resource_group} -z {zone} -n {record}"
    verb = "az network private-dns record-set a"
    add = [f"{verb} add-record {where} -a {address}"] if address not in held else []
    remove = [f"{verb} remove-record {where} -a {wrong}" for wrong in held if wrong != address]
    return in_order([*add, *remove])


def in_order(commands: Sequence[str]) -> str:
    """Several commands as one line to be typed; none runs after one that failed."""
    return " && ".join(commands)


def _records(networks: Networks, zone: str) -> dict[str, list[str]]:
    held = {}
    for document in networks.zone_records(zone):
        properties = document.get("properties") or {}
        entries = properties.get("aRecords") or properties.get("ARecords") or ()
        held[str(document["name"]).lower()] = sorted(entry["ipv4Address"] for entry in entries)
    return held


def _network(endpoint: Document) -> str:
    """Id of the network that an endpoint or a frontend stands in, as it is written there."""
    subnet = ((endpoint.get("properties") or {}).get("subnet") or {}).get("id", "")
    return str(subnet).partition("/subnets/")[0]


def _link_network(link: Document) -> str:
    return str(((link.get("properties") or {}).get("virtualNetwork") or {}).get("id", "")).lower()


def endpoint(networks: Networks, resource_group: str, spoke: Spoke) -> Broken | None:
    """A private endpoint whose connection is not approved."""
    if not spoke.endpoint:
        return None
    document = networks.private_endpoint(spoke.endpoint)
    properties = document.get("properties") or {}
    kinds = ("privateLinkServiceConnections", "manualPrivateLinkServiceConnections")
    for connection in [c for kind in kinds for c in properties.get(kind) or ()]:
        state = (connection.get("properties") or {}).get("privateLinkServiceConnectionState") or {}
        status = str(state.get("status", ""))
        if status.lower() in ENDPOINT_CODES:
            code = ENDPOINT_CODES[status.lower()]
            said = f" ({state['description']})" if state.get("description") else ""
            return Broken(
                "endpoint",
                code,
                f"the connection of private endpoint {spoke.endpoint} is {status}{said}",
                in_order(
                    [f"az network private-endpoint delete -g {resource_group} -n {spoke.endpoint}", PROVISION]
                )
                if code == "PE_DISCONNECTED"
                else _approval(networks, document),
            )
    return None


def _approval(networks: Networks, endpoint: Document) -> str:
    """How to approve an endpoint's connection; a link service of others does not show its id here."""
    wanted = str(endpoint.get("id", "")).lower()
    for service in networks.private_link_services():
        for connection in (service.get("properties") or {}).get("privateEndpointConnections") or ():
            consumer = (connection.get("properties") or {}).get("privateEndpoint") or {}
            if str(consumer.get("id", "")).lower() == wanted:
                return f"az network private-endpoint-connection approve --id {connection['id']}"
    return "ask the owner of the link service to approve it (az network private-endpoint-connection approve)"


def rule(balancer: Document, forward: Forward) -> tuple[str, Broken | None]:
    """The name of the load balancing rule of a forward (empty if it has no probe), or that there is none."""
    properties = balancer.get("properties") or {}
    for entry in properties.get("loadBalancingRules") or ():
        values = entry.get("properties") or {}
        if values.get("frontendPort") in {forward.port, 0}:
            return (str(entry["name"]) if values.get("probe") else ""), None
    return "", Broken(
        "load balancer",
        "LB_NO_RULE",
        f"load balancer {balancer.get('name')} has no rule for port {forward.port}",
        PROVISION,
    )


def health_port(balancer: Document, rule: str) -> int:
    """The port of a rule's health probe, where the forwarders' agents listen; 0 if there is none."""
    properties = balancer.get("properties") or {}
    rules = {
        entry["name"]: entry.get("properties") or {} for entry in properties.get("loadBalancingRules") or ()
    }
    wanted = str(((rules.get(rule) or {}).get("probe") or {}).get("id", "")).rpartition("/")[2].lower()
    for entry in properties.get("probes") or ():
        if str(entry["name"]).lower() == wanted:
            return int((entry.get("properties") or {}).get("port", 0))
    return 0


def hub_network(networks: Sequence[Document], balancer: Document) -> Document | None:
    """The network that the load balancer stands in; None where it is not among these."""
    frontends = (balancer.get("properties") or {}).get("frontendIPConfigurations") or [{}]
    hub_id = _network(frontends[0]).lower()
    return next((network for network in networks if str(network["id"]).lower() == hub_id), None)


def peering(networks: Sequence[Document], balancer: Document, targets: Sequence[str]) -> Broken | None:
    """The first target, `ip:port`, in an Azure network to which the hub's has no connected peering."""
    hub = hub_network(networks, balancer)
    if hub is None:
        return None
    connected = {
        str((entry["properties"].get("remoteVirtualNetwork") or {}).get("id", "")).lower()
        for entry in (hub.get("properties") or {}).get("virtualNetworkPeerings") or ()
        if entry["properties"].get("peeringState") == "Connected"
    }
    for target_text in targets:
        address = ip_address(target_text.rpartition(":")[0])
        for network in networks:
            if network is hub or not _holds(network, address):
                continue
            if str(network["id"]).lower() not in connected and not _holds(hub, address):
                return Broken(
                    "route",
                    "ROUTE_NO_PEERING",
                    f"target {target_text} is in network {network['name']}, to which {hub['name']} "
                    "has no connected peering",
                    PROVISION,
                )
    return None


def _holds(network: Document, address: IPv4Address | IPv6Address) -> bool:
    spaces = ((network.get("properties") or {}).get("addressSpace") or {}).get("addressPrefixes") or ()
    return any(address in ip_network(space) for space in spaces)


def hub_not_seen(result: PathResult) -> Broken:
    """Forwarders and targets can be asked from the hub only, and its box does not run."""
    return Broken(
        "unknown",
        "PATH_UNEXPLAINED",
        f"{result.reason}; endpoint and load balancer look right, forwarders and targets can be asked "
        "from the hub only, whose jump box does not run",
        "fwdctl probe all",
    )


def not_asked(result: PathResult, refused: Broken) -> Broken:
    """Forwarders cannot be asked, because their security group refuses the hub's box."""
    return Broken(
        "unknown",
        "PATH_UNEXPLAINED",
        f"{result.reason}; the forwarders cannot be asked either: {refused.evidence}",
        refused.following,
    )


def unhealthy(health: Sequence[Document], *, hub_seen: bool) -> Broken | None:
    """No backend of a rule is up, by the platform's own probes."""
    if not health or any(entry.get("state") == "Up" for entry in health):
        return None
    states = ", ".join(f"{entry.get('ipAddress')} {entry.get('reason') or 'Down'}" for entry in health)
    return Broken(
        "load balancer",
        "LB_NO_HEALTHY_BACKEND",
        f"no forwarder is healthy: {states}" + ("; the targets answer the hub" if hub_seen else ""),
        "fwdctl jump shell hub" if hub_seen else "fwdctl probe hub",
    )


def target(result: PathResult) -> Broken:
    """A target that does not answer the hub directly."""
    path = result.path
    refused = any(sample.failure == "refused" for sample in result.sight.samples)
    code = "TARGET_REFUSED" if refused else "TARGET_DOWN"
    if result.findings[-1].check == "protocol":
        code = "TARGET_UNWELL"
    place = f"{path.host}:{path.port}"
    return Broken(
        "target",
        code,
        f"target {place} of forward '{path.forward.name}': {result.reason.removeprefix(f'{place}: ')}",
        f"Check the server {path.host}: is it on, does it listen on port {path.port}, "
        "does its firewall admit the forwarders?",
    )


def all_targets(results: Sequence[PathResult]) -> Broken:
    """Not one target of a forward answers the hub."""
    first = target(results[0])
    if len(results) == 1:
        return first
    names = ", ".join(f"{result.path.host}:{result.path.port}" for result in results)
    return Broken(
        "target",
        first.code,
        f"no target answers the hub: {names}",
        f"Check the servers {', '.join(dict.fromkeys(result.path.host for result in results))}: are they on, "
        "do they listen on these ports, do their firewalls admit the forwarders?",
    )


def protocol(result: PathResult, *, hub_seen: bool) -> Broken:
    """The way is open, but what answers is not well."""
    follow = f"Check what the servers of forward '{result.path.forward.name}' say in their own logs."
    return Broken("target", "TARGET_UNWELL", result.reason, follow if hub_seen else "fwdctl probe hub")


def missing_targets(networks: Networks, result: PathResult) -> list[str]:
    """Targets that never answered, by matching server names with the machines that own the addresses.

    Empty unless every server that did answer is such a machine.
    """
    machines = {}
    for document in networks.network_interfaces():
        properties = document.get("properties") or {}
        machine = str((properties.get("virtualMachine") or {}).get("id", ""))
        for entry in properties.get("ipConfigurations") or ():
            machines[str((entry.get("properties") or {}).get("privateIPAddress"))] = machine
    seen = {server.lower() for server in result.servers}
    named = {}
    for text in result.path.forward.targets:
        machine = machines.get(text.rpartition(":")[0], "")
        named[text] = networks.host_name(machine).lower() if machine else ""
    if not seen <= set(named.values()):
        return []
    return [text for text, machine in named.items() if machine and machine not in seen]


def unnamed(seen: str, targets: Sequence[str]) -> tuple[Broken, ...]:
    """Warnings for targets known by address, or for one that nobody can name."""
    follow = "fwdctl probe hub"
    if not targets:
        return (Broken("target", "TARGET_DOWN", f"{seen}; only the hub can tell which is missing", follow),)
    return tuple(
        Broken("target", "TARGET_DOWN", f"{seen}; target {text} never answered", follow) for text in targets
    )
