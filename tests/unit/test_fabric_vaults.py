"""Key vaults in the wanted network: who resolves which name, and where an endpoint leads."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from dnslib import RCODE, DNSRecord

from fwdlab.fabric.dns import answer
from fwdlab.fabric.plan import plan
from fwdlab.fabric.ruleset import compile_rules
from fwdlab.fabric.vaults import PUBLIC_ADDRESS
from support.seed_topology import GROUP, ZONE, snapshot

if TYPE_CHECKING:
    from fwdlab.fabric.wanted import Fabric

VAULT = f"{GROUP}/Microsoft.KeyVault/vaults/KV-1"
PRIVATE = "kv-1.privatelink.vaultcore.azure.net"
NAME = "kv-1.vault.azure.net"


def with_vault(status: str = "Approved", *, recorded: bool = True) -> Fabric:
    """The first spoke's endpoint leads to a vault; the zone is linked to the first spoke only."""
    first = snapshot((1, 2))
    documents = dict(first.documents)
    documents[VAULT.lower()] = {
        "id": VAULT,
        "name": "KV-1",
        "type": "Microsoft.KeyVault/vaults",
        "properties": {"tenantId": "t"},
    }
    endpoint = next(key for key in documents if key.endswith("/privateendpoints/pep1"))
    state = {"privateLinkServiceConnectionState": {"status": status}, "privateLinkServiceId": VAULT}
    properties = documents[endpoint]["properties"] | {
        "privateLinkServiceConnections": [{"properties": state}]
    }
    documents[endpoint] = documents[endpoint] | {"properties": properties}
    for key in [key for key in documents if key.startswith(f"{ZONE}/".lower()) or key == ZONE.lower()]:
        document = documents.pop(key)
        own = document["id"].replace("corp.internal", "privatelink.vaultcore.azure.net")
        own = own.replace("/A/onprem-server", "/A/kv-1")
        if recorded or "/A/" not in own:
            documents[own.lower()] = document | {"id": own}
    return plan(replace(first, documents=documents), {})


def asked(fabric: Fabric, network: str) -> tuple[list[str], int]:
    """What a network is told about the vault's name: data of the records, and the code of the answer."""
    number = next(n.number for n in fabric.networks if n.id.endswith(network))
    view = next(view for view in fabric.views if view.network == number)
    reply = answer(view, DNSRecord.question(NAME).pack())
    assert reply is not None
    parsed = DNSRecord.parse(reply)
    return [str(record.rdata).rstrip(".") for record in parsed.rr], parsed.header.rcode


def test_inside_the_name_leads_to_the_endpoint_and_outside_to_the_public_address() -> None:
    fabric = with_vault()
    assert asked(fabric, "vnet-spoke1") == ([PRIVATE, "10.1.17.4"], RCODE.NOERROR)
    assert asked(fabric, "vnet-spoke2") == ([PRIVATE, PUBLIC_ADDRESS], RCODE.NOERROR)


def test_a_linked_zone_without_the_record_hides_the_public_address() -> None:
    assert asked(with_vault(recorded=False), "vnet-spoke1") == ([PRIVATE], RCODE.NOERROR)


@pytest.mark.parametrize("status", ["Pending", "Rejected"])
def test_without_an_approved_endpoint_nobody_is_led_to_it(status: str) -> None:
    fabric = with_vault(status)
    assert asked(fabric, "vnet-spoke1") == ([PUBLIC_ADDRESS], RCODE.NOERROR)
    assert fabric.vaults == ()


def test_the_endpoint_is_answered_in_its_own_network_only() -> None:
    fabric = with_vault()
    (end,) = fabric.vaults
    assert (end.address, end.vault, end.tenant) == ("10.1.17.4", "kv-1", "t")
    assert end.network == next(n.number for n in fabric.networks if n.id.endswith("vnet-spoke1"))
    assert end.port > 32767
    _, elements = compile_rules(fabric).maps["vaults"]
    assert elements == {f"{end.network} . 10.1.17.4 : 169.254.169.254 . {end.port}"}
    assert not [warning for warning in fabric.warnings if "carries nothing" in warning]
