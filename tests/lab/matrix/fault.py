"""One fault, as an operator types it, and what a probe must say.

The words of a cause are typed as they stand, with these variables:
RG, TOKEN: `RESOURCE_GROUP_NAME` and `RESOURCE_TOKEN` of `fwdctl lab env`; NODE, INSTANCE: a forwarder's machine in
`fwdctl lab status`, and its instance id; CONNECTION: id of the link service's connection; SERVICE: id of the link
service; SHARED: id of the forwarders' subnet; OWN, OTHER, DRAINED: the forwarders' user data, with the first target
only, with `drain`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fwdctl.probe.hops import ORDER

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong.

    Attributes:
        name: in words.
        cause: commands that bring it about.
        code: of the broken hop, of a warning, or of an error; empty where a probe has nothing to say.
        hop: the function that finds it, of `fwdctl.probe.hops.ORDER`; None for a warning and for the tester's own
            trouble.
        exit_code: of the probe.
        probe: what is probed, and options.
        also: codes of warnings that stand beside it, and stay when it is mended.
        says: part of the evidence.
        instead: why no printed command mends it; empty where one must.
        undo: commands that take back what is not written in Azure's documents.
        is_slow: left out where time is short.
    """

    name: str
    cause: tuple[str, ...]
    code: str = ""
    hop: Callable[..., object] | None = None
    exit_code: int = 4
    probe: tuple[str, ...] = ("spoke",)
    also: tuple[str, ...] = ()
    says: str = ""
    instead: str = ""
    undo: tuple[str, ...] = ()
    is_slow: bool = False

    @property
    def rank(self) -> int:
        """Where it stands in the order of the hops; a warning comes last."""
        return next((number for number, (hop, _) in enumerate(ORDER) if hop is self.hop), len(ORDER))

    @property
    def is_lab_fault(self) -> bool:
        return self.cause[-1].startswith("fwdctl lab break")


def harmless(name: str, *cause: str, **more: object) -> Fault:
    """What looks odd and breaks nothing."""
    fields = {"exit_code": 0, "instead": "nothing is broken", **more}
    return Fault(name, cause, **fields)  # type: ignore[arg-type]


DNS, RECORD = "az network private-dns", "-g $RG -z fwdctl.internal -n onprem-server"
RULE = "az network lb rule update -g $RG --lb-name lbi-$TOKEN -n web"
PROBE = "az network lb probe update -g $RG --lb-name lbi-$TOKEN -n web"
SUBNET = "az network vnet subnet update -g $RG --vnet-name"
SHARED = "az network nsg rule {} -g $RG --nsg-name nsg-shared-$TOKEN"
CORP = "az network nsg rule {} -g $RG --nsg-name nsg-corp-$TOKEN"
SPOKE_GROUP = "nsg-vnet-app-$TOKEN"
ANEW = (
    "--vnet-name vnet-app-$TOKEN --subnet linked --connection-name forwarder "
    "--private-connection-resource-id $SERVICE "
    "--ip-config \"{name:endpoint,group-id:'',member-name:'',private-ip-address:10.1.17.23}\""
)
ENDPOINT = "-g $RG -n pep-app-$TOKEN"
SERVER = "fwdctl lab shell server6{} --"
RESTART_SERVERS = tuple(
    f"az vm {verb} -g $RG -n vm-server{number}-$TOKEN"
    for number in (65, 66)
    for verb in ("deallocate", "start")
)
OWN_AGAIN = "az vmss update-instances -g $RG -n vmss-$TOKEN --instance-ids '*'"
ON_THE_SERVER = "the server is not in Azure's hands"


def deny(group: str, rule: str, priority: int, words: str) -> str:
    return f"az network nsg rule create -g $RG --nsg-name {group} -n {rule} --priority {priority} --access Deny {words}"


def table(network: str, subnet: str, rule: str) -> tuple[str, ...]:
    """A route table with one route on a subnet."""
    return (
        "az network route-table create -g $RG -n rt",
        f"az network route-table route create -g $RG --route-table-name rt -n odd {rule}",
        f"{SUBNET} vnet-{network}-$TOKEN -n {subnet} --route-table rt",
    )


def edited(number: int, old: str, new: str) -> tuple[str, ...]:
    """Another program on a server."""
    server = SERVER.format(number)
    return (
        f"{server} sed -i 's|{old}|{new}|' /opt/fwdctl/server.py",
        f"{server} systemctl restart fwdctl-server",
    )
