"""The seed's topology as the control plane would store it: hub, corp, one or more spokes with private endpoint."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fwdlab.model import ContainerSpec, NodeSpec, Snapshot

if TYPE_CHECKING:
    from collections.abc import Iterable

GROUP = "/subscriptions/s/resourceGroups/rg-dev/providers"
NETWORK = f"{GROUP}/Microsoft.Network"
HUB, CORP = f"{NETWORK}/virtualNetworks/vnet-hub", f"{NETWORK}/virtualNetworks/vnet-corp"
LB = f"{NETWORK}/loadBalancers/lbi"
POOL = f"{LB}/backendAddressPools/pool"
FRONTEND = f"{LB}/frontendIPConfigurations/fe"
SERVICE = f"{NETWORK}/privateLinkServices/pl"
ZONE = f"{NETWORK}/privateDnsZones/corp.internal"

SERVER = """#cloud-config
write_files:
  - path: /opt/server.py
    content: |
      import json, http.server, socket
      class H(http.server.BaseHTTPRequestHandler):
          protocol_version = "HTTP/1.1"
          def do_GET(self):
              b = json.dumps({"server": socket.gethostname(), "client": self.client_address[0]}).encode() + b"\\n"
              self.send_response(200); self.send_header("Content-Length", str(len(b))); self.end_headers()
              self.wfile.write(b)
          def log_message(self, *a): pass
      http.server.ThreadingHTTPServer(("", 8000), H).serve_forever()
  - path: /etc/systemd/system/web.service
    content: |
      [Service]
      ExecStart=/usr/bin/python3 -S /opt/server.py
      Restart=always
      RestartSec=100ms
runcmd:
  - [systemctl, enable, --now, web.service]
"""

FORWARDER = """#cloud-config
write_files:
  - path: /etc/systemd/system/answer.service
    content: |
      [Service]
      ExecStart=/usr/bin/python3 -S -m http.server 18099 --directory /srv
      Restart=always
runcmd:
  - sysctl -q -w net.ipv4.ip_forward=1
  - iptables -w -t nat -A PREROUTING -s 10.0.1.0/24 -p tcp --dport 8000 -m statistic --mode nth --every 2 --packet 0 -j DNAT --to-destination 192.168.42.65:8000
  - iptables -w -t nat -A PREROUTING -s 10.0.1.0/24 -p tcp --dport 8000 -j DNAT --to-destination 192.168.42.66:8000
  - iptables -w -t nat -A POSTROUTING -d 192.168.42.0/24 -j MASQUERADE
  - systemctl start answer
"""


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def network(
    resource_id: str, prefix: str, subnets: dict[str, str], peers: Iterable[str] = ()
) -> dict[str, Any]:
    return {
        "id": resource_id,
        "name": resource_id.rsplit("/", 1)[-1],
        "type": "Microsoft.Network/virtualNetworks",
        "properties": {
            "addressSpace": {"addressPrefixes": [prefix]},
            "subnets": [
                {"name": n, "id": f"{resource_id}/subnets/{n}", "properties": {"addressPrefix": p}}
                for n, p in subnets.items()
            ],
            "virtualNetworkPeerings": [
                {
                    "name": f"to-{peer.rsplit('/', 1)[-1]}",
                    "properties": {
                        "remoteVirtualNetwork": {"id": peer},
                        "peeringState": "Connected",
                        "allowVirtualNetworkAccess": True,
                        "allowForwardedTraffic": True,
                    },
                }
                for peer in peers
            ],
        },
    }


def load_balancer() -> dict[str, Any]:
    return {
        "id": LB,
        "type": "Microsoft.Network/loadBalancers",
        "sku": {"name": "Standard"},
        "properties": {
            "frontendIPConfigurations": [
                {
                    "name": "fe",
                    "properties": {"privateIPAddress": "10.0.1.5", "subnet": {"id": f"{HUB}/subnets/shared"}},
                }
            ],
            "backendAddressPools": [{"name": "pool"}],
            "probes": [
                {
                    "name": "probe",
                    "properties": {
                        "protocol": "Http",
                        "port": 18099,
                        "requestPath": "/",
                        "intervalInSeconds": 1,
                        "probeThreshold": 1,
                    },
                }
            ],
            "loadBalancingRules": [
                {
                    "name": "web",
                    "properties": {
                        "protocol": "Tcp",
                        "frontendPort": 8000,
                        "backendPort": 8000,
                        "frontendIPConfiguration": {"id": FRONTEND},
                        "backendAddressPools": [{"id": POOL}],
                        "probe": {"id": f"{LB}/probes/probe"},
                    },
                }
            ],
        },
    }


def spoke_documents(number: int, second_octet: int) -> list[dict[str, Any]]:
    spoke = f"{NETWORK}/virtualNetworks/vnet-spoke{number}"
    address = f"10.{second_octet}.17.4"
    nic = f"{NETWORK}/networkInterfaces/pep-nic{number}"
    zone = (
        ZONE
        if number == 1
        else f"{GROUP.replace('rg-dev', f'rg-{number}')}/Microsoft.Network/privateDnsZones/corp.internal"
    )
    return [
        network(
            spoke,
            f"10.{second_octet}.0.0/19",
            {"jump": f"10.{second_octet}.16.0/24", "linked": f"10.{second_octet}.17.0/24"},
        ),
        {
            "id": f"{NETWORK}/privateEndpoints/pep{number}",
            "type": "Microsoft.Network/privateEndpoints",
            "properties": {
                "subnet": {"id": f"{spoke}/subnets/linked"},
                "networkInterfaces": [{"id": nic}],
                "privateLinkServiceConnections": [
                    {
                        "name": "c",
                        "properties": {
                            "privateLinkServiceId": SERVICE,
                            "privateLinkServiceConnectionState": {"status": "Approved"},
                        },
                    }
                ],
            },
        },
        {
            "id": nic,
            "type": "Microsoft.Network/networkInterfaces",
            "properties": {"ipConfigurations": [{"name": "ip", "properties": {"privateIPAddress": address}}]},
        },
        {"id": zone, "type": "Microsoft.Network/privateDnsZones", "properties": {}},
        {
            "id": f"{zone}/A/onprem-server",
            "type": "Microsoft.Network/privateDnsZones/A",
            "properties": {"ttl": 10, "aRecords": [{"ipv4Address": address}]},
        },
        {
            "id": f"{zone}/virtualNetworkLinks/l{number}",
            "type": "Microsoft.Network/privateDnsZones/virtualNetworkLinks",
            "properties": {"virtualNetwork": {"id": spoke}},
        },
    ]


def documents(spokes: Iterable[int] = (1,)) -> dict[str, dict[str, Any]]:
    """`spokes` are the second octets of the spokes' address spaces; the same one twice means overlapping."""
    made = [
        network(HUB, "10.0.1.0/24", {"shared": "10.0.1.0/26", "jump": "10.0.1.64/26"}, [CORP]),
        network(CORP, "192.168.42.0/24", {"servers": "192.168.42.0/24"}, [HUB]),
        load_balancer(),
        {
            "id": SERVICE,
            "type": "Microsoft.Network/privateLinkServices",
            "properties": {
                "ipConfigurations": [
                    {
                        "name": "nat",
                        "properties": {
                            "privateIPAddress": "10.0.1.9",
                            "subnet": {"id": f"{HUB}/subnets/shared"},
                        },
                    }
                ],
                "loadBalancerFrontendIpConfigurations": [{"id": FRONTEND}],
            },
        },
    ]
    for number, octet in enumerate(spokes, start=1):
        made += spoke_documents(number, octet)
    return {document["id"].lower(): document for document in made}


def node(name: str, subnet: str, address: str, **fields: Any) -> NodeSpec:
    kind = fields.pop("kind", "machine")
    if kind == "container":
        environment = fields.pop("environment", ())
        own = ContainerSpec("main", fields.pop("command", ()), environment)
        fields.setdefault("containers", (own,))
    resource = f"{GROUP}/Microsoft.Compute/virtualMachines/{name}"
    return NodeSpec(
        name=name, kind=kind, subnet_id=subnet, address=address, boot_id="1", resource_id=resource, **fields
    )


def nodes(spokes: Iterable[int] = (1,)) -> tuple[NodeSpec, ...]:
    forwarders = [
        node(
            f"fwd00000{n}",
            f"{HUB}/subnets/shared",
            f"10.0.1.{6 + n}",
            custom_data=encoded(FORWARDER),
            backend_pool_ids=(POOL,),
        )
        for n in (0, 1, 2)
    ]
    servers = [
        node(f"onprem{n}", f"{CORP}/subnets/servers", f"192.168.42.{n}", custom_data=encoded(SERVER))
        for n in (65, 66)
    ]
    wait = ("/bin/sh", "-c", "echo started; exec sleep 1000")
    jumps = [node("ci-hub", f"{HUB}/subnets/jump", "10.0.1.68", kind="container", command=wait)]
    jumps += [
        node(
            f"ci-spoke{n}",
            f"{NETWORK}/virtualNetworks/vnet-spoke{n}/subnets/jump",
            f"10.{octet}.16.4",
            kind="container",
            command=wait,
        )
        for n, octet in enumerate(spokes, start=1)
    ]
    return (*forwarders, *servers, *jumps)


def snapshot(spokes: Iterable[int] = (1,), revision: int = 1) -> Snapshot:
    spokes = tuple(spokes)
    return Snapshot(revision, documents(spokes), nodes(spokes))


class Source:
    """A store that tests change by hand."""

    def __init__(self, first: Snapshot) -> None:
        self.current = first
        self._changed = asyncio.Event()

    def snapshot(self) -> Snapshot:
        return self.current

    async def wait(self, after: int) -> int:
        while self.current.revision <= after:
            self._changed.clear()
            await self._changed.wait()
        return self.current.revision

    def change(self, **fields: Any) -> int:
        self.current = replace(self.current, revision=self.current.revision + 1, **fields)
        self._changed.set()
        return self.current.revision
