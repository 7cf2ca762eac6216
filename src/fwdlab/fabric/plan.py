"""ARM documents and health → the wanted network. Pure: no clock, no kernel, no store."""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Literal, cast

from fwdlab.arm.ids import reference_key
from fwdlab.fabric import dns_views, pools, security, user_routes, vaults
from fwdlab.fabric.wanted import (
    Balance,
    Connection,
    Fabric,
    Interface,
    LinkService,
    Network,
    Probe,
    Protocol,
    SecurityChain,
    numbered,
    short_hash,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from fwdlab.fabric.wanted import VaultEndpoint
    from fwdlab.model import Nic, NodeSpec, ProbeHealth, Snapshot

Document = dict[str, Any]
HealthKey = tuple[str, str, str]
"""Load balancer id and probe name in lower case, backend address."""


def plan(snapshot: Snapshot, health: Mapping[HealthKey, ProbeHealth], *, idle: int | None = None) -> Fabric:
    """Work out the wanted network; a member without a verdict counts as not healthy.

    `idle` stands for the idle timeouts of all rules, in seconds.
    """
    return _Planner(snapshot, health, idle).fabric()


def parent(resource_id: str) -> str:
    """Id of the resource that a child stands in."""
    return resource_id.rsplit("/", 2)[0]


class _Planner:
    def __init__(self, snapshot: Snapshot, health: Mapping[HealthKey, ProbeHealth], idle: int | None) -> None:
        self.idle = idle
        self.snapshot = snapshot
        self.health = health
        self.warnings: list[str] = []
        self.documents: dict[str, list[tuple[str, Document]]] = defaultdict(list)
        for key, document in sorted(snapshot.documents.items()):
            self.documents[str(document.get("type", "")).lower()].append((key, document))
        self.networks = self._networks()
        self.subnets = self._subnets()
        self.chains: dict[str, SecurityChain] = {}
        self.probes: dict[tuple[str, str], Probe] = {}

    def of_type(self, name: str) -> list[tuple[str, Document]]:
        return self.documents.get(f"microsoft.network/{name}".lower(), [])

    def _properties(self, key: str) -> Document:
        """Of the document with that lower-case id, empty when there is none."""
        properties: Document = self.snapshot.documents.get(key, {}).get("properties", {})
        return properties

    def fabric(self) -> Fabric:
        interfaces = [i for spec in self.snapshot.nodes for i in self._interfaces(spec)]
        balances = self._balancers()
        services = self._services()
        connections = self._connections(services)
        zones = [document for _, document in self.of_type("privateDnsZones")]
        vault_endpoints = self._vault_endpoints()
        public = vaults.public_names((v for _, v in self.documents[vaults.TYPE]), vault_endpoints)
        return Fabric(
            networks=tuple(self.networks.values()),
            interfaces=tuple(sorted(interfaces, key=lambda i: (i.node, i.place))),
            chains=tuple(chain for _, chain in sorted(self.chains.items())),
            balances=balances,
            probes=tuple(self.probes.values()),
            services=tuple(services.values()),
            connections=connections,
            vaults=vault_endpoints,
            views=dns_views.views(zones, self.snapshot.documents, self.networks, public, self.warnings),
            warnings=tuple(dict.fromkeys(self.warnings)),
        )

    # networks

    def _networks(self) -> dict[str, Network]:
        documents = dict(self.of_type("virtualNetworks"))
        numbers = numbered(documents, first=1024, last=32767)
        return {key: self._network(key, document, documents, numbers) for key, document in documents.items()}

    def _network(
        self, key: str, document: Document, documents: dict[str, Document], numbers: dict[str, int]
    ) -> Network:
        peers = [
            other
            for other in _peers(document)
            if other in documents and key in _peers(documents[other]) and other != key
        ]
        own = _prefixes(document)
        space = [prefix for each in (document, *(documents[p] for p in peers)) for prefix in _prefixes(each)]
        reaches = tuple(sorted({numbers[peer] for peer in peers}))
        return Network(key, numbers[key], own, reaches, security.collapse(space))

    def _subnets(self) -> dict[str, tuple[Network, Document]]:
        return {
            f"{key}/subnets/{subnet['name']}".lower(): (self.networks[key], subnet.get("properties", {}))
            for key, document in self.of_type("virtualNetworks")
            for subnet in document.get("properties", {}).get("subnets", [])
        }

    def _reachers(self, network: Network) -> list[Network]:
        """Networks whose packets reach addresses in `network`: itself and its peers."""
        return [n for n in self.networks.values() if n == network or network.number in n.reaches]

    def _network_of_subnet(self, subnet_id: str, owner: str) -> Network | None:
        found = self.subnets.get(subnet_id.lower())
        if found is None:
            self.warnings.append(f"{owner}: subnet {subnet_id or '(none)'} does not exist; left out")
            return None
        return found[0]

    # interfaces

    def _interfaces(self, spec: NodeSpec) -> Iterator[Interface]:
        for place, nic in enumerate(spec.nics):
            network = self._network_of_subnet(nic.subnet_id, spec.name)
            if network is not None:
                yield self._interface(spec, place, nic, network)

    def _interface(self, spec: NodeSpec, place: int, nic: Nic, network: Network) -> Interface:
        subnet = self.subnets[nic.subnet_id.lower()][1]
        prefix = ipaddress.ip_network(_subnet_prefix(subnet), strict=False)
        groups = [reference_key(subnet.get("networkSecurityGroup")), (nic.security_group_id or "").lower()]
        own = "/1" if place else ""
        digest, mac = short_hash(f"{spec.name}/{spec.boot_id}{own}"), short_hash(spec.name + own)
        return Interface(
            node=spec.name,
            boot_id=spec.boot_id,
            device=f"v-{digest}",
            mac=f"00:0d:3a:{mac[0:2]}:{mac[2:4]}:{mac[4:6]}",
            network=network.number,
            address=nic.address,
            prefix_length=prefix.prefixlen,
            gateway=str(prefix[1]),
            forwards=nic.forwards,
            place=place,
            inbound=self._chains(groups, "Inbound", network),
            outbound=(*self._chains(reversed(groups), "Outbound", network), *self._routes(subnet, network)),
        )

    def _chains(
        self, groups: Iterable[str], direction: security.Direction, network: Network
    ) -> tuple[str, ...]:
        found: list[str] = []
        for group in groups:
            document = self.snapshot.documents.get(group)
            if document is not None:
                chain = security.chain(document, direction, network, self.warnings)
                self.chains[chain.name] = chain
                found.append(chain.name)
        return tuple(dict.fromkeys(found))

    def _routes(self, subnet: Document, network: Network) -> tuple[str, ...]:
        """The chain of a subnet's route table, if it has one."""
        table = self.snapshot.documents.get(reference_key(subnet.get("routeTable")))
        if table is None:
            return ()
        endpoints = []
        for _, document in self.of_type("privateEndpoints"):
            properties = document.get("properties", {})
            found = self.subnets.get(reference_key(properties.get("subnet")))
            address = self._endpoint_address(properties)
            if found and address and network in self._reachers(found[0]):
                policies = found[1].get("privateEndpointNetworkPolicies")
                endpoints += [] if policies in {"Enabled", "RouteTableEnabled"} else [address]
        chain = user_routes.chain(table, network, endpoints, self.warnings)
        self.chains[chain.name] = chain
        return (chain.name,)

    # load balancers

    def _balancers(self) -> tuple[Balance, ...]:
        """The load balancing rules; collects the probes on the way."""
        balances: list[Balance] = []
        for key, document in self.of_type("loadBalancers"):
            properties = document.get("properties", {})
            for part in ("inboundNatRules", "outboundRules", "inboundNatPools"):
                if properties.get(part):
                    self.warnings.append(f"{document['id']}: {part} are not supported; ignored")
            for rule in properties.get("loadBalancingRules", []):
                balance = self._balance(key, document, rule)
                if balance is not None:
                    balances.append(balance)
        return tuple(balances)

    def _frontend(self, key: str, document: Document, frontend_id: str) -> tuple[Network, str] | None:
        for entry in document.get("properties", {}).get("frontendIPConfigurations", []):
            if f"{key}/frontendipconfigurations/{entry['name']}".lower() != frontend_id:
                continue
            properties = entry.get("properties", {})
            address = properties.get("privateIPAddress")
            if not address:
                self.warnings.append(f"{document['id']}: frontend {entry['name']} is public; left out")
                return None
            network = self._network_of_subnet(reference_key(properties.get("subnet")), document["id"])
            return (network, address) if network else None
        return None

    def _balance(self, key: str, document: Document, rule: Document) -> Balance | None:
        properties = rule.get("properties", {})
        found = self._frontend(key, document, reference_key(properties.get("frontendIPConfiguration")))
        if found is None:
            return None
        network, address = found
        members = self._members(document, network, properties)
        probe = self._probe(document, reference_key(properties.get("probe")), network, members)
        healthy = members if probe is None else tuple(m for m in members if self._is_up(key, probe, m))
        protocol = str(properties.get("protocol", "Tcp")).lower()
        port = int(properties.get("frontendPort", 0))
        return Balance(
            id=f"{key}/loadbalancingrules/{rule['name']}".lower(),
            network=network.number,
            address=address,
            protocol=cast("Protocol", "*" if protocol == "all" else protocol),
            port=port,
            backend_port=int(properties.get("backendPort") or port),
            members=members,
            healthy=healthy,
            affinity=properties.get("loadDistribution") or "Default",
            idle=self.idle or 60 * int(properties.get("idleTimeoutInMinutes") or 4),
            resets=bool(properties.get("enableTcpReset")),
        )

    def _members(self, document: Document, network: Network, rule: Document) -> tuple[str, ...]:
        wanted = {reference_key(rule.get("backendAddressPool"))}
        wanted |= {reference_key(pool) for pool in rule.get("backendAddressPools") or []}
        nodes = [
            (spec, self.subnets[spec.subnet_id.lower()][0].id)
            for spec in self.snapshot.nodes
            if spec.subnet_id.lower() in self.subnets
        ]
        return pools.members(document, wanted, network.id, nodes, self.warnings)

    def _is_up(self, balancer: str, probe: str, address: str) -> bool:
        verdict = self.health.get((balancer, probe.lower(), address))
        return verdict is not None and verdict.state == "Up"

    def _probe(
        self, document: Document, probe_id: str, network: Network, members: tuple[str, ...]
    ) -> str | None:
        """Name of the probe with that id, which is noted with these members; None when there is none."""
        for entry in document.get("properties", {}).get("probes", []):
            if not probe_id or entry["name"].lower() != probe_id.rsplit("/", 1)[-1]:
                continue
            key = (document["id"].lower(), entry["name"].lower())
            properties = entry.get("properties", {})
            earlier = self.probes[key].addresses if key in self.probes else ()
            self.probes[key] = Probe(
                load_balancer_id=document["id"],
                name=entry["name"],
                kind=cast("Literal['Tcp', 'Http', 'Https']", str(properties.get("protocol", "Tcp")).title()),
                port=int(properties.get("port", 0)),
                path=str(properties.get("requestPath") or "/"),
                interval=int(properties.get("intervalInSeconds") or 15),
                # `numberOfProbes` stands in older templates
                threshold=int(properties.get("probeThreshold") or properties.get("numberOfProbes") or 1),
                network=network.number,
                addresses=tuple(sorted({*earlier, *members}, key=ipaddress.ip_address)),
            )
            return str(entry["name"])
        return None

    # private link

    def _services(self) -> dict[str, LinkService]:
        services: dict[str, LinkService] = {}
        for key, document in self.of_type("privateLinkServices"):
            properties = document.get("properties", {})
            if properties.get("enableProxyProtocol"):
                self.warnings.append(f"{document['id']}: PROXY protocol headers are not added")
            configurations = [e.get("properties", {}) for e in properties.get("ipConfigurations", [])]
            addresses = tuple(c["privateIPAddress"] for c in configurations if c.get("privateIPAddress"))
            frontends = [
                self._frontend(parent(i), self.snapshot.documents[parent(i)], i)
                for i in map(reference_key, properties.get("loadBalancerFrontendIpConfigurations", []))
                if parent(i) in self.snapshot.documents
            ]
            there = [frontend for frontend in frontends if frontend is not None]
            if not addresses or not there:
                self.warnings.append(f"{document['id']}: no NAT address or no frontend; carries nothing")
                continue
            services[key] = LinkService(key, there[0][0].number, addresses, tuple(f[1] for f in there))
        return services

    def _service_named(self, name: str) -> str:
        """Key of a link service by its id or alias, in lower case; the name where there is none."""
        for key, document in self.of_type("privateLinkServices"):
            alias = str(document.get("properties", {}).get("alias", "")).lower()
            if name and name in {key, alias}:
                return key
        return name

    def _connections(self, services: dict[str, LinkService]) -> tuple[Connection, ...]:
        found: dict[str, tuple[Document, str, Network, str]] = {}
        inbound: dict[str, tuple[str, ...]] = {}
        for key, document, service, network, address in self._approved_endpoints():
            if service in services:
                inbound[document["id"]] = self._endpoint_chains(document["properties"], network)
                for reacher in self._reachers(network):
                    found[f"{key}@{reacher.id}"] = (document, service, reacher, address)
            elif self._vault(service) is None:
                self.warnings.append(f"{document['id']}: {service} carries nothing in the lab")
        marks = numbered(found, first=0x10000, last=0x7FFF_FFFF)
        return tuple(
            Connection(
                *(marks[key], document["id"], service, network.number, address),
                inbound=inbound[document["id"]],
            )
            for key, (document, service, network, address) in sorted(found.items())
        )

    def _approved_endpoints(self) -> Iterator[tuple[str, Document, str, Network, str]]:
        """Of each endpoint that is connected: key, document, key of the service, network and address."""
        for key, document in self.of_type("privateEndpoints"):
            properties = document.get("properties", {})
            service = self._service_named(_approved(properties))
            address = self._endpoint_address(properties)
            network = self._network_of_subnet(reference_key(properties.get("subnet")), document["id"])
            if service and address and network:
                yield key, document, service, network, address

    def _vault(self, key: str) -> Document | None:
        return next((document for known, document in self.documents[vaults.TYPE] if known == key), None)

    def _vault_endpoints(self) -> tuple[VaultEndpoint, ...]:
        return vaults.endpoints(
            (key, reacher, address, vault)
            for key, _, service, network, address in self._approved_endpoints()
            if (vault := self._vault(service)) is not None
            for reacher in self._reachers(network)
        )

    def _endpoint_chains(self, properties: Document, network: Network) -> tuple[str, ...]:
        """Security groups act on endpoints where the subnet's network policies say so."""
        subnet = self.subnets[reference_key(properties.get("subnet"))][1]
        if subnet.get("privateEndpointNetworkPolicies") not in {"Enabled", "NetworkSecurityGroupEnabled"}:
            return ()
        return self._chains([reference_key(subnet.get("networkSecurityGroup"))], "Inbound", network)

    def _endpoint_address(self, properties: Document) -> str | None:
        nics = [self._properties(reference_key(entry)) for entry in properties.get("networkInterfaces", [])]
        for holder in (*nics, properties):
            for entry in holder.get("ipConfigurations", []):
                if address := entry.get("properties", {}).get("privateIPAddress"):
                    return str(address)
        return None


def _prefixes(network: Document) -> tuple[str, ...]:
    prefixes = network.get("properties", {}).get("addressSpace", {}).get("addressPrefixes", [])
    return security.collapse(prefixes)


def _peers(network: Document) -> list[str]:
    """Ids of the networks that this one's own peerings connect and give access to."""
    peerings = network.get("properties", {}).get("virtualNetworkPeerings", [])
    return [
        reference_key(entry.get("remoteVirtualNetwork"))
        for entry in (peering.get("properties", {}) for peering in peerings)
        if entry.get("peeringState") == "Connected" and entry.get("allowVirtualNetworkAccess", True)
    ]


def _subnet_prefix(subnet: Document) -> str:
    return str(subnet.get("addressPrefix") or (subnet.get("addressPrefixes") or ["0.0.0.0/0"])[0])


def _approved(endpoint: Document) -> str:
    """Id or alias of the link service that an endpoint is connected to, empty unless approved."""
    for part in ("privateLinkServiceConnections", "manualPrivateLinkServiceConnections"):
        for entry in endpoint.get(part) or []:
            properties = entry.get("properties", {})
            if properties.get("privateLinkServiceConnectionState", {}).get("status") == "Approved":
                return str(properties.get("privateLinkServiceId", "")).lower()
    return ""
