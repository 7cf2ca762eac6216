"""Which ports a rule that takes every port is meant for, by the security groups of its backends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwdctl.azure.documents import Document, entries, name_of, network_of, same, value

if TYPE_CHECKING:
    from fwdctl.deployment.survey import Survey

ADMINISTRATION = {22, 3389}
"""Ports of SSH and RDP, that are opened for administrators and not for what is forwarded."""


def admitted(survey: Survey, balancer: Document, rule: Document) -> tuple[int, ...]:
    """Single TCP ports that the backends' groups admit, without those of health probes and administration."""
    probes = {int(value(probe, "port") or 0) for probe in entries(balancer, "probes")}
    rules = [r for group in _groups(survey, balancer, rule) for r in entries(group, "securityRules")]
    opened = {
        int(text)
        for each in rules
        if (value(each, "access"), value(each, "direction")) == ("Allow", "Inbound")
        and str(value(each, "protocol")).lower() in {"tcp", "*"}
        for text in (value(each, "destinationPortRange"), *(value(each, "destinationPortRanges") or ()))
        if str(text or "").isdecimal()
    }
    return tuple(sorted(opened - probes - ADMINISTRATION))


def _groups(survey: Survey, balancer: Document, rule: Document) -> list[Document]:
    """The security groups of the backends' interfaces and subnets, so far as they can be read."""
    named = [value(rule, "backendAddressPool"), *(value(rule, "backendAddressPools") or ())]
    pools = [pool.get("id") for pool in named if pool]
    members = [
        member.get("id")
        for pool in entries(balancer, "backendAddressPools")
        if any(same(pool.get("id"), each) for each in pools)
        for member in value(pool, "backendIPConfigurations") or ()
    ]
    interface = survey.interface(members[0]) if members else {}  # the machines of a pool are alike
    subnets = [value(each, "subnet", "id") for each in entries(interface, "ipConfigurations")]
    subnet_id = next(filter(None, subnets), None)
    network = survey.document(network_of(subnet_id))[0] if subnet_id else {}
    own = [s for s in entries(network, "subnets") if same(s.get("name"), name_of(subnet_id))]
    ids = [value(holder, "networkSecurityGroup", "id") for holder in (interface, *own)]
    return [survey.document(each)[0] for each in dict.fromkeys(ids) if each]
