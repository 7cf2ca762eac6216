"""What can be wrong behind the link service: load balancer, forwarders, routes and rules, servers."""

from __future__ import annotations

from fwdctl.probe.hops import balancer, forwarder, link_service, next_hop, route, target
from lab.matrix.fault import (
    CORP,
    ON_THE_SERVER,
    OWN_AGAIN,
    PROBE,
    RESTART_SERVERS,
    RULE,
    SHARED,
    SPOKE_GROUP,
    SUBNET,
    Fault,
    deny,
    edited,
    table,
)

BALANCER = (
    Fault(
        "no rule",
        ("az network lb rule delete -g $RG --lb-name lbi-$TOKEN -n web",),
        "LB_NO_RULE",
        balancer.misled,
    ),
    Fault("a rule without a pool", (f"{RULE} --set backendAddressPools=[]",), "LB_NO_POOL", balancer.misled),
    Fault("a rule to another port", (f"{RULE} --backend-port 8001",), "LB_WRONG_PORT", balancer.misled),
    Fault(
        "a rule to an empty pool",
        (
            "az network lb address-pool create -g $RG --lb-name lbi-$TOKEN -n empty",
            f"{RULE} --backend-pool-name empty",
        ),
        "LB_EMPTY_POOL",
        balancer.empty,
    ),
    Fault(
        "a health probe of another path",
        (f"{PROBE} --path /nothing",),
        "LB_WRONG_PROBE",
        balancer.unhealthy,
    ),
    Fault(
        "no agent runs",
        ("fwdctl lab break agents-down",),
        "LB_NO_HEALTHY_BACKEND",
        balancer.unhealthy,
        instead="it opens a shell to look around",
    ),
)
FORWARDER = (
    Fault(
        "no instance",
        ("az vmss scale -g $RG -n vmss-$TOKEN --new-capacity 0",),
        "FWD_NO_INSTANCES",
        forwarder.absent,
        says="has no instance",
        is_slow=True,
    ),
    Fault(
        "all instances are off",
        ("az vmss deallocate -g $RG -n vmss-$TOKEN",),
        "FWD_NO_INSTANCES",
        forwarder.absent,
        says="is on:",
        is_slow=True,
    ),
    Fault(
        "one instance is off",
        ("az vmss deallocate -g $RG -n vmss-$TOKEN --instance-ids $INSTANCE",),
        "FWD_UNHEALTHY",
        exit_code=0,
    ),
    Fault(
        "one agent is stopped",
        ("fwdctl lab shell $NODE -- systemctl stop fwdctl-agent",),
        "FWD_UNHEALTHY",
        exit_code=0,
        is_slow=True,
    ),
    Fault(
        "forwarders have other targets",
        (
            "fwdctl jump start hub",
            'az vmss update -g $RG -n vmss-$TOKEN --user-data "$OTHER"',
            "az vmss update-instances -g $RG -n vmss-$TOKEN --instance-ids '*'",
            'az vmss update -g $RG -n vmss-$TOKEN --user-data "$OWN"',
        ),
        "FWD_CONFIG_DRIFT",
        exit_code=0,
        says="port 8000 to 192.168.42.65:8000 (10.0.1.",
        undo=(OWN_AGAIN,),
        is_slow=True,
    ),
    Fault(
        "the forwarders' rules are gone",
        ("fwdctl lab break rules-missing",),
        "FWD_RULES_MISSING",
        forwarder.broken,
    ),
    Fault(
        "forwarders do not forward",
        ("fwdctl lab break no-forwarding",),
        "FWD_NO_FORWARDING",
        forwarder.broken,
    ),
)
ROUTE = (
    Fault(
        "the clients' rules are turned round",
        ("fwdctl lab break nsg-deny",),
        "NSG_DENIED",
        link_service.refused,
    ),
    Fault(
        "a rule before all clients",
        (deny("nsg-shared-$TOKEN", "nobody", 105, "--destination-port-ranges 8000"),),
        "NSG_DENIED",
        link_service.refused,
        probe=("all",),
        says="rule nobody of",
        is_slow=True,
    ),
    Fault(
        "what the box may not send",
        (deny(SPOKE_GROUP, "no-out", 300, "--direction Outbound --destination-port-ranges '*'"),),
        "NSG_DENIED",
        route.box_refused,
        says="to the private endpoint (10.1.17.4)",
    ),
    Fault(
        "what the endpoint's subnet does not take",
        (
            f"{SUBNET} vnet-app-$TOKEN -n linked --private-endpoint-network-policies NetworkSecurityGroupEnabled",
            deny(SPOKE_GROUP, "no-in", 300, "--destination-port-ranges '*'"),
        ),
        "NSG_DENIED",
        route.box_refused,
        says="rule no-in of network security group nsg-vnet-app-",
        is_slow=True,
    ),
    Fault(
        "health probes are refused",
        (f"{SHARED.format('delete')} -n allow-probes",),
        "NSG_DENIED",
        route.probes_refused,
        says="from the platform's health probes (168.63.129.16)",
        is_slow=True,
    ),
    Fault(
        "a rule before the servers",
        (
            f"{CORP.format('update')} -n allow-hub --priority 150",
            deny("nsg-corp-$TOKEN", "closed", 100, "--destination-port-ranges '*'"),
        ),
        "NSG_DENIED",
        route.targets_refused,
        probe=("all",),
        says="rule closed of network security group nsg-corp-",
        is_slow=True,
    ),
    Fault("no peering", ("fwdctl lab break peering-removed",), "ROUTE_NO_PEERING", route.lacks_peering),
    Fault(
        "a route of the forwarders into nowhere",
        table("hub", "shared", "--address-prefix 192.168.42.0/24 --next-hop-type None"),
        "ROUTE_NEXT_HOP",
        next_hop.dropped,
        says="route odd of route table rt sends packets from the forwarders",
    ),
    Fault(
        "a route of the box into nowhere",
        table("app", "jump", "--address-prefix 10.1.17.4/32 --next-hop-type None"),
        "ROUTE_NEXT_HOP",
        next_hop.dropped,
        says="sends packets from jump box 'app' to 10.1.17.4",
        is_slow=True,
    ),
    Fault(
        "a route to a dead appliance",
        table(
            "hub",
            "shared",
            "--address-prefix 192.168.42.0/24 --next-hop-type VirtualAppliance --next-hop-ip-address 10.0.1.62",
        ),
        "ROUTE_NEXT_HOP",
        forwarder.broken,
        says="elsewhere: to the appliance 10.0.1.62",
        instead="the appliance has to be looked at",
        is_slow=True,
    ),
)
TARGET = (
    Fault(
        "every server is off",
        ("fwdctl lab break target-down --target all",),
        "TARGET_DOWN",
        target.silent,
        instead=ON_THE_SERVER,
    ),
    Fault(
        "every server refuses",
        ("fwdctl lab break target-refuses --target all",),
        "TARGET_REFUSED",
        target.silent,
        instead=ON_THE_SERVER,
    ),
    Fault(
        "every server answers 500",
        (
            *edited(5, "send_response(200)", "send_response(500)"),
            *edited(6, "send_response(200)", "send_response(500)"),
        ),
        "TARGET_UNWELL",
        target.silent,
        instead=ON_THE_SERVER,
        undo=RESTART_SERVERS,
        is_slow=True,
    ),
    Fault(
        "one server is off",
        ("fwdctl lab break target-down",),
        "TARGET_DOWN",
        exit_code=0,
        instead=ON_THE_SERVER,
    ),
    Fault(
        "one server refuses",
        ("fwdctl jump start hub", "fwdctl lab break target-refuses"),
        "TARGET_REFUSED",
        exit_code=0,
        instead=ON_THE_SERVER,
    ),
    Fault(
        "servers send clients elsewhere",
        edited(
            5,
            "send_response(200)",
            'send_response(302); self.send_header("Location", "http://other.example/")',
        )
        + edited(
            6,
            "send_response(200)",
            'send_response(302); self.send_header("Location", "http://other.example/")',
        ),
        "TARGET_REDIRECTS",
        exit_code=0,
        says="'other.example'",
        instead=ON_THE_SERVER,
        undo=RESTART_SERVERS,
        is_slow=True,
    ),
)
