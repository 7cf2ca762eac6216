"""The name: its record, the zone, and the zone's link to the spoke's network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwdctl.azure.documents import entries, network_of, same, value
from fwdctl.probe.hops.commands import PROVISION, in_order
from fwdctl.probe.model import Broken

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fwdctl.deployment import Spoke
    from fwdctl.probe.evidence import Evidence
    from fwdctl.probe.model import PathResult


def broken(evidence: Evidence, result: PathResult) -> Broken | None:
    """Why the name does not lead to the endpoint."""
    spoke = result.path.spoke
    if spoke is None or result.failed_check != "name":
        return None
    zone = spoke.zone or spoke.host_name.partition(".")[2]
    zones = evidence.read(evidence.networks.zones)
    if not any(same(document["name"], zone) for document in zones):
        return Broken("name", "DNS_NXDOMAIN", f"there is no private DNS zone {zone}", PROVISION)
    return (
        _not_linked(evidence, spoke, zone) or _wrong_record(evidence, spoke, zone) or _other_resolver(result)
    )


def _not_linked(evidence: Evidence, spoke: Spoke, zone: str) -> Broken | None:
    if not spoke.endpoint:
        return None
    document = evidence.read(evidence.networks.private_endpoint, spoke.endpoint)
    network = network_of(value(document, "subnet", "id"))
    links = evidence.read(evidence.networks.zone_links, zone)
    if not network or any(same(value(link, "virtualNetwork", "id"), network) for link in links):
        return None
    # Called as the template calls it: a network has one link to a zone, and the next deployment
    # would not get past one of another name.
    return Broken(
        "name",
        "DNS_ZONE_NOT_LINKED",
        f"zone {zone} is not linked to the network of {spoke.name}",
        f"az network private-dns link vnet create -g {evidence.deployment.resource_group} -z {zone} "
        f"-n {network.rpartition('/')[2]} -v {network} -e false",
    )


def _wrong_record(evidence: Evidence, spoke: Spoke, zone: str) -> Broken | None:
    record = spoke.host_name.removesuffix(f".{zone}")
    held = sorted(
        str(entry["ipv4Address"])
        for document in evidence.read(evidence.networks.zone_records, zone)
        if same(document["name"], record)
        for entry in entries(document, "aRecords", "ARecords")
    )
    if held == [spoke.address]:
        return None
    suggestion = _correction(evidence.deployment.resource_group, zone, record, held, spoke.address)
    if not held:
        return Broken("name", "DNS_NXDOMAIN", f"zone {zone} has no A record '{record}'", suggestion)
    return Broken(
        "name",
        "DNS_WRONG_ADDRESS",
        f"record '{record}' in zone {zone} holds {', '.join(held)}; the endpoint is {spoke.address}",
        suggestion,
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


def _other_resolver(result: PathResult) -> Broken:
    seen = result.observation.addresses
    return Broken(
        "name",
        "DNS_WRONG_ADDRESS" if seen else "DNS_NXDOMAIN",
        f"zone, link and record are right, but the box sees {', '.join(seen) or 'nothing'}: "
        "another resolver or a cached answer",
        f"fwdctl jump exec {result.path.box.name} -- cat /etc/resolv.conf",
    )
