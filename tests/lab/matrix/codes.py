"""The codes that a probe can name: what docs/codes.md says of each, and tests compare with the source."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Code:
    """One code; all texts are Markdown.

    Attributes:
        name: as printed.
        segment: as printed, the hop.
        meaning: what is wrong.
        known: the evidence.
        mended: what `Next` says, and more where that is not all.
        exit_code: of the probe.
        lab: why the lab cannot show it; else the matrix has a fault.
        more: a passage of its own.
    """

    name: str
    segment: str
    meaning: str
    known: str
    mended: str
    exit_code: int = 4
    lab: str = ""
    more: str = ""


LOOK_AT_THE_SERVER = "On the server, or the firewall before it."
CLIENT = "the lab's exec service is on this machine, with no proxy and a certificate that is trusted"
REIMAGE = (
    "The printed `az vmss update-instances` and `az vmss reimage` of those instances, one after the other"
)
WAY = """\
Read are both ends of each stretch:

| from | to | rules |
|---|---|---|
| a spoke's jump box | the private endpoint | the box's subnet outbound; the endpoint's inbound where its \
`privateEndpointNetworkPolicies` are on |
| a spoke's jump box | the platform's DNS | the box's subnet outbound, so far as they name `AzurePlatformDNS` |
| the link service's NAT address, the hub's jump box, health probes | the forwarders | the forwarders' subnet and \
interfaces inbound; the hub box's subnet outbound |
| the forwarders, the hub's jump box | a target in a peered Azure network | the sender's outbound, the target's \
subnet and interface inbound |

Azure's order decides: priority, default rules last, the subnet's and the interface's group each have to agree. The
tags VirtualNetwork (with peered ranges, and all private ones behind a gateway), AzureLoadBalancer and Internet, and
application security groups count as they do in Azure. Rules of a network manager are not read. If the hub's jump
box is refused as well, the probe says so and judges no forwarder."""

CODES = (
    Code(
        "JUMP_MISSING",
        "box",
        "The jump box's container group does not exist. Its paths count as untested, whichever boxes were asked for.",
        "ARM's 404.",
        "`azd provision --no-state`.",
        5,
    ),
    Code(
        "JUMP_START_FAILED",
        "box",
        "It was started for the probe and does not run: image, registry, quota or subnet.",
        "The group's state and last warning, or Azure's refusal.",
        "`az container show`, `az container logs`; then `fwdctl jump start`.",
        5,
    ),
    Code(
        "JUMP_START_TIMEOUT",
        "box",
        "It was started and does not run after ten minutes.",
        "The group's state.",
        "As for JUMP_START_FAILED.",
        5,
        "it would take these ten minutes",
    ),
    Code(
        "EXEC_REFUSED",
        "box",
        "The box runs, and the service opens no shell in it.",
        "What the service answered.",
        "The printed `fwdctl jump stop` and `start`.",
        5,
        "the fault `exec-refused` is an error of Azure's, `arm_unavailable`",
    ),
    Code(
        "EXEC_UNREACHABLE",
        "box",
        "The web socket of the shell does not get out of your network. An error of the whole probe where every box "
        "is hit.",
        "The error of the connection.",
        "A firewall's rule for the host that is named, or `HTTPS_PROXY`.",
        5,
        CLIENT,
    ),
    Code(
        "EXEC_TLS_UNTRUSTED",
        "box",
        "A proxy answers in the service's place, and its certificate is not trusted.",
        "What the library says of the certificate.",
        "`REQUESTS_CA_BUNDLE`.",
        5,
        CLIENT,
    ),
    Code(
        "EXEC_PROXY_FAILED",
        "box",
        "The proxy does not lead to the service.",
        "The proxy's answer.",
        "`HTTPS_PROXY`, `NO_PROXY`.",
        5,
        CLIENT,
    ),
    Code(
        "DNS_NXDOMAIN",
        "name",
        "The name does not resolve in the box.",
        "The zone is missing, or has no such A record; if both are there, the network uses another resolver.",
        "The printed `az network private-dns record-set a add-record`.",
    ),
    Code(
        "DNS_WRONG_ADDRESS",
        "name",
        "The name resolves, but not (only) to the private endpoint.",
        "What the records of that name hold: A, AAAA, or an alias (CNAME), and the address that the endpoint's "
        "interface has. Where several linked zones fit the name, the most specific one answers, in whichever resource "
        "group it is; it is named.",
        "The printed commands: an alias is deleted first, then the endpoint's address is added where it is missing, "
        "then every other one removed, so that the record keeps its time to live. Old answers last as long as that.",
    ),
    Code(
        "DNS_CUSTOM_SERVERS",
        "name",
        "The spoke's network asks DNS servers of its own, which do not give the zone's answer.",
        "Their addresses, in the network's settings.",
        "Let them forward the zone to 168.63.129.16 from a network that it is linked to.",
    ),
    Code(
        "DNS_ZONE_NOT_LINKED",
        "name",
        "The zone exists and is not linked to the spoke's network.",
        "The zone's links.",
        "The printed `az network private-dns link vnet create`. A network has one link to a zone; it is called as in "
        "the template, so that the next deployment finds its own.",
    ),
    Code(
        "PE_MISSING",
        "endpoint",
        "The endpoint does not exist any more.",
        "ARM's 404.",
        "`azd provision --no-state`, which makes it again.",
    ),
    Code(
        "ENV_STALE",
        "endpoint",
        "A warning: the endpoint has another address than the environment remembers. Azure wins: the path is tested "
        "with the true address, and what that shows stands beside it.",
        "The endpoint's interface.",
        "`azd env refresh`. If the endpoint was made anew by hand, the parameters still ask for the old address: set "
        "`endpointAddress` of that spoke in `infra/main.parameters.json` as well.",
        0,
    ),
    Code(
        "PE_PENDING",
        "endpoint",
        "The link service's owner has not approved the connection.",
        "The connection's state.",
        "The printed `az network private-endpoint-connection approve`.",
    ),
    Code(
        "PE_REJECTED",
        "endpoint",
        "The owner has rejected it. New connections are dropped. It cannot be approved any more.",
        "The connection's state.",
        "As for PE_DISCONNECTED.",
    ),
    Code(
        "PE_DISCONNECTED",
        "endpoint",
        "The owner has removed the connection. It cannot be revived.",
        "The connection's state.",
        "The printed `az network private-endpoint delete`, then `azd provision --no-state`, which makes a new one.",
    ),
    Code(
        "LB_NO_RULE",
        "load balancer",
        "No rule takes the forward's port.",
        "The load balancer's rules.",
        "The forward in `infra/main.parameters.json`, then `azd provision --no-state`.",
    ),
    Code(
        "LB_NO_POOL",
        "load balancer",
        "The rule sends to no backend pool.",
        "The rule.",
        "The printed `az network lb rule update --backend-pool-name`, if there is one pool; else "
        "`azd provision --no-state`.",
    ),
    Code(
        "LB_WRONG_PORT",
        "load balancer",
        "The rule's backend port is not the one that the forwarders forward.",
        "The rule, and the forwards as deployed.",
        "The printed `az network lb rule update --backend-port`.",
    ),
    Code(
        "LB_EMPTY_POOL",
        "load balancer",
        "The rule's pool has no member.",
        "The pool.",
        "`azd provision --no-state`.",
    ),
    Code(
        "LB_WRONG_PROBE",
        "load balancer",
        "The health probe asks a port or a path that the forwarders' agents do not have, so that all count as down.",
        "What the agents answer the hub's jump box.",
        "The printed `az network lb probe update`.",
    ),
    Code(
        "LB_NO_HEALTHY_BACKEND",
        "load balancer",
        "The platform's own health probe finds no healthy forwarder, and nothing else explains it.",
        "Each address with Azure's reason (or that Azure reports no forwarder at all), and what the probe asks. "
        "`Down_Probe_HttpStatusCodeError`: the agent answers, and says that its rules are not in place or that no "
        "target lives. `Down_Probe_HttpEndpointUnreachable`: no agent answers at all.",
        "`fwdctl probe hub`, or a shell in the hub's jump box.",
    ),
    Code(
        "FWD_NO_INSTANCES",
        "forwarder",
        "The scale set has no instance, or none that is on.",
        "Its instances and their power states.",
        "The printed `az vmss scale` or `az vmss start`.",
    ),
    Code(
        "FWD_UNHEALTHY",
        "forwarder",
        "A warning of a path that works: an instance is off, or the platform's health probe finds it down, while "
        "others carry the traffic.",
        "Its power state, Azure's reason, or that it is drained.",
        "`az vmss start`, or as for FWD_RULES_MISSING; of a drained one `fwdctl forwarder rollout`, if none is under way.",
        0,
    ),
    Code(
        "FWD_CONFIG_DRIFT",
        "forwarder",
        "The forwarders do not run what is deployed, so that other servers answer than those that are wanted, or "
        "none. A warning where the path works.",
        "Port and targets in the agents' `/status` against the deployment's, or their hash against the scale set's tag "
        "`fwdctl-forwards-hash`; where the hub's jump box does not run, the user data that Azure has given each instance.",
        "`fwdctl forwarder rollout` where fwdctl's template made the network, or `azd provision --no-state` where the "
        "scale set itself asks for something else than was deployed; in other networks as for FWD_RULES_MISSING.",
        0,
    ),
    Code(
        "FWD_RULES_MISSING",
        "forwarder",
        "The targets answer the hub, and a forwarder refuses the forward's port: no rule takes the packets.",
        "The agent's `/status` (`rulesInPlace`), or packets sent to each forwarder around the load balancer.",
        f"{REIMAGE}.",
    ),
    Code(
        "FWD_NO_FORWARDING",
        "forwarder",
        "A forwarder takes packets and does not pass them on, or does not masquerade them.",
        "The agent's `/status` (`forwarding`), or silence from that forwarder while the targets answer the hub.",
        "As for FWD_RULES_MISSING.",
    ),
    Code(
        "FWD_SOURCE_REFUSED",
        "forwarder",
        "The forwarders take connections from the ranges that they were told only, and the link service's, or those of "
        "the hub's jump box, come from elsewhere.",
        "The user data that Azure has given each instance (`inbound`), and the addresses.",
        "Another range in the parameters file (the suggestion names key and range), then `azd provision`.",
        4,
        "the preprovision hook refuses such ranges; lab/test_existing_networks deploys them without it",
    ),
    Code(
        "FWD_CONNTRACK_FULL",
        "forwarder",
        "Connection tracking of a forwarder is nearly full (from 90 % on); what the kernel cannot track it drops, new "
        "connections first. A warning where the path works.",
        "The agents' `/status` (`conntrack`).",
        "The printed `az vmss scale`, or more memory for each forwarder (`forwarder.vmSize`): the agent gives connection "
        "tracking a quarter of it.",
        0,
        "namespaces share the host's limit of tracked connections",
    ),
    Code(
        "NSG_DENIED",
        "route",
        "A rule of a network security group refuses a stretch of the way.",
        "The deciding rule.",
        "The printed `az network nsg rule update --access Allow`; where a rule for everything refuses them, the printed "
        "`az network nsg rule create` puts one for this flow before it, at a priority of its own.",
        more=WAY,
    ),
    Code(
        "ROUTE_NO_PEERING",
        "route",
        "The target is in an Azure network that the hub's network has no connected peering to.",
        "Both networks; the hub's direct checks of such targets name it too.",
        "`azd provision --no-state`, which makes it on both sides again.",
    ),
    Code(
        "ROUTE_NEXT_HOP",
        "route",
        "A route that a user made takes packets from the way: of the jump box's subnet to the endpoint, of the "
        "forwarders' subnet to the targets, or of the targets' subnet back.",
        "Route, route table, who sends to which address, and where they go. One that leads nowhere (`None`, `Internet`) "
        "is the cause. One to a firewall or a gateway is named where the hub's jump box reaches targets that the "
        "forwarders do not, or nothing else explains the silence; where the targets are silent to the hub too, it stands "
        "in the evidence of `TARGET_DOWN`.",
        "The printed `az network route-table route delete`, or a look at what is there.",
    ),
    Code(
        "TARGET_DOWN",
        "target",
        "A target does not answer the hub: off, or nothing comes back (route, firewall); or it answers the hub and not "
        "the forwarders. As a warning of a path that works: that server did not answer in many fresh connections.",
        "A direct check by the hub's jump box, or the forwarders' counters, if that box runs; else the warning says how "
        "many servers answered and that only the hub can tell which is missing.",
        LOOK_AT_THE_SERVER,
    ),
    Code(
        "TARGET_DNS",
        "target",
        "The name of a target does not resolve on the forwarders, or in the hub's jump box. A warning while its last good "
        "addresses still work.",
        "The agents' `/status` (`namesFailed`), with what their resolver said.",
        "The record, and the DNS servers that the hub's network asks.",
        lab="the lab's template has no target with a name; `tests/lab/test_target_names.py` deploys one",
    ),
    Code(
        "TARGET_REFUSED",
        "target",
        "The target is on and refuses the port: the service is stopped or listens elsewhere.",
        "As for TARGET_DOWN.",
        LOOK_AT_THE_SERVER,
    ),
    Code(
        "TARGET_UNWELL",
        "target",
        "The target accepts connections, but its protocol does not answer.",
        "An HTTP status from 500 on, or no sign of life in the protocol of the forward's `check` "
        "([which answers count](template.md#a-forward)).",
        "The servers' own logs.",
    ),
    Code(
        "TARGET_REDIRECTS",
        "target",
        "A warning of a spoke's path that works: the servers' answers name another host, which clients in the spoke need "
        "not reach.",
        "The host in the HTTP header `Location`.",
        "Let the servers redirect to the name that clients use, or to a path without a host; or make that host "
        "reachable too.",
        0,
    ),
    Code(
        "PATH_UNEXPLAINED",
        "unknown",
        "The path fails, and nothing that can be asked explains it.",
        "Everything looks right; or the evidence could not be read (a permission, a missing resource: the message says "
        "which); or the rest can be asked from the hub only, whose jump box may not be started or does not start.",
        "`fwdctl probe hub`, or a shell in the hub's jump box.",
        lab="`fwdctl probe spoke --hub never` says it of `no-forwarding` until the health probes have found out",
    ),
)
SEGMENTS = {code.name: code.segment for code in CODES}
