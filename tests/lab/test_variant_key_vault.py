"""The variant key-vault: a private answer inside, the public name outside, and what a probe says of each fault."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from fwdlab.fabric.vaults import PUBLIC_ADDRESS
from support.operator import Operator
from support.programs import RunningLab
from support.variants import template

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.lab, pytest.mark.timeout(240)]

ZONE = "privatelink.vaultcore.azure.net"
SOON = ("--timeout", "2", "--retries", "0", "-o", "json")


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[Operator]:
    lab = RunningLab.up(
        *(tmp_path_factory.mktemp("vault"), f"vault-{worker_id}"),
        *("--template", str(template("key-vault"))),
    )
    try:
        lab.fwdctl("jump", "start", "spoke")
        yield Operator(lab)
    finally:
        lab.down()


@pytest.fixture
def operator(vault: Operator) -> Iterator[Operator]:
    yield vault
    vault.undo()


def name_of(operator: Operator) -> str:
    return f"{operator.lab.environ['VAULT_NAME']}.vault.azure.net"


def inside(operator: Operator, *words: str) -> str:
    return operator.lab.fwdctl("jump", "exec", "spoke", "--", *words).stdout


def broken(operator: Operator) -> dict[str, Any]:
    (cause,) = operator.lab.fwdctl("probe", "spoke", *SOON, expect=4).json["data"]["causes"]
    return dict(cause)


def link(operator: Operator) -> str:
    (found,) = operator.get(f"privateDnsZones/{ZONE}/virtualNetworkLinks")["value"]
    return f"privateDnsZones/{ZONE}/virtualNetworkLinks/{found['name']}"


def test_inside_the_vault_answers_at_its_private_address(operator: Operator) -> None:
    vault = operator.base.replace("Microsoft.Network", "Microsoft.KeyVault/vaults/")
    document = operator.lab.arm("GET", vault + operator.lab.environ["VAULT_NAME"])
    assert document["properties"]["publicNetworkAccess"] == "Disabled"
    (path,) = operator.probe(exit_code=0).values()
    assert (path["host"], path["verdict"]) == (name_of(operator), "pass")
    assert inside(operator, "getent", "hosts", name_of(operator)).split()[0] == "10.4.0.4"
    answer = inside(operator, "curl", "-ksi", f"https://{name_of(operator)}/secrets/x?api-version=7.4")
    assert answer.startswith("HTTP/1.1 401 ")
    assert 'resource="https://vault.azure.net"' in answer


def test_outside_of_the_zone_the_name_is_public_and_the_probe_says_why(operator: Operator) -> None:
    operator.delete(link(operator))
    assert inside(operator, "getent", "hosts", name_of(operator)).split()[0] == PUBLIC_ADDRESS
    cause = broken(operator)
    assert cause["code"] == "DNS_ZONE_NOT_LINKED"
    assert cause["next"].startswith(f"az network private-dns link vnet create -g {operator.group} -z {ZONE} ")


def test_a_zone_without_the_record_hides_the_public_name(operator: Operator) -> None:
    operator.delete(f"privateDnsZones/{ZONE}/A/{operator.lab.environ['VAULT_NAME']}")
    cause = broken(operator)
    assert cause["code"] == "DNS_NXDOMAIN"
    assert cause["next"].endswith(f"-z {ZONE} -n {operator.lab.environ['VAULT_NAME']} -a 10.4.0.4")


def test_a_rejected_connection_takes_the_vault_away(operator: Operator) -> None:
    """With it goes the alias in public DNS: nobody asks the private zone any more."""
    vault = operator.base.replace("Microsoft.Network", "Microsoft.KeyVault/vaults/")
    vault += operator.lab.environ["VAULT_NAME"]
    (connection,) = operator.lab.arm("GET", vault)["properties"]["privateEndpointConnections"]
    state = {"privateLinkServiceConnectionState": {"status": "Rejected", "description": "Not yours"}}
    operator.lab.arm("PUT", connection["id"], {"properties": state})
    assert inside(operator, "getent", "hosts", name_of(operator)).split()[0] == PUBLIC_ADDRESS
    cause = broken(operator)
    assert (cause["code"], cause["segment"]) == ("PE_REJECTED", "endpoint")
    assert "(Not yours)" in cause["evidence"]
