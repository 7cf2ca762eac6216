"""The real az deploys what other people write, and `fwdctl probe -g` says of it what is so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from conftest import ROOT
from support.az_program import Az

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.programs import RunningLab

pytestmark = [
    pytest.mark.az,
    pytest.mark.lab,
    pytest.mark.xdist_group("az-lab"),
    pytest.mark.timeout(180),
]
TEMPLATES = ROOT / "tests" / "e2e" / "foreign"
PROVIDER, CONSUMER = ["-g", "rg-provider"], ["-g", "rg-consumer"]
PORTS = ["--port", "8000", "--port", "9000"]
GREEN = {
    "hub/every-port-8000/targets": "skip",
    "hub/every-port-8000": "pass",
    "hub/every-port-9000/targets": "skip",
    "hub/every-port-9000": "pass",
    "vnet-consumer/every-port-8000": "pass",
    "vnet-consumer/every-port-9000": "pass",
}


@pytest.fixture(scope="module")
def others(az_lab: RunningLab, az_answers: list[dict[str, Any]]) -> Iterator[Az]:
    """A lab with a provider and a consumer in groups of their own."""
    az = Az(az_lab, az_answers)
    template = ["-f", str(TEMPLATES / "forwards.json")]
    az("deployment", "sub", "create", "-n", "forwards", "-l", "westeurope", *template, group=False)
    yield az
    for group in ("rg-consumer", "rg-provider"):
        subscription = az_lab.environ["AZURE_SUBSCRIPTION_ID"]
        az_lab.arm("DELETE", f"/subscriptions/{subscription}/resourceGroups/{group}")


def probed(az: Az, *arguments: str, expect: int = 0) -> dict[str, str]:
    """Verdict of each path, or the code of what is broken."""
    done = az.lab.fwdctl("probe", "all", *arguments, "--timeout", "2", "-o", "json", expect=expect)
    paths = done.json["data"]["paths"]
    return {path["path"]: (path["broken"] or {}).get("code") or path["verdict"] for path in paths}


@pytest.mark.parametrize("group", [CONSUMER, PROVIDER], ids=["consumer", "provider"])
def test_all_is_well(others: Az, group: list[str]) -> None:
    """The link service is on the second frontend; the ports are those that the security group admits."""
    assert probed(others, *group) == GREEN


def test_their_cloud_init_ran(others: Az) -> None:
    """A unit that forks, a file of rules, sysctl; what was not done is said."""
    nodes = {one["name"]: one for one in others.lab.lab("status", "-o", "json").json["data"]["nodes"]}
    for number in range(2):
        forwarder = nodes[f"port-forwarding-gateway-of-files{number:06}"]
        assert forwarder["health"] == "alive Up"
        assert any("not installed: iptables-persistent" in text for text in forwarder["warnings"])


def test_a_machine_with_a_public_name_is_listed(others: Az) -> None:
    listed = others.json("vm", "list", "-d", *PROVIDER, "--query", "[].[name, fqdns]", group=False)
    assert sorted(listed) == [["files", ""], ["web", "web-of-a-provider.westeurope.cloudapp.azure.com"]]
    own = [*PROVIDER, "-n", "pip-web", "--expand", "ipConfiguration"]
    shown = others.json("network", "public-ip", "show", *own, group=False)
    assert shown["ipConfiguration"]["privateIPAddress"] == "10.40.0.4"


def test_a_closed_port_is_named(others: Az) -> None:
    rule = ["network", "nsg", "rule", "update", *PROVIDER, "--nsg-name", "nsg-gateway", "-n", "forward-9000"]
    others(*rule, "--access", "Deny", group=False)
    broken = dict.fromkeys(("hub/every-port-9000", "vnet-consumer/every-port-9000"), "NSG_DENIED")
    assert probed(others, *CONSUMER, *PORTS, expect=4) == {**GREEN, **broken}
    others(*rule, "--access", "Allow", group=False)


def test_a_rejected_connection_is_named(others: Az) -> None:
    """Seen from the provider's group; it is final, so no probe may follow."""
    own = ["--type", "Microsoft.Network/privateLinkServices", *PROVIDER]
    what = ["network", "private-endpoint-connection"]
    name = others.tsv(*what, "list", *own, "-n", "pl-forwards", "--query", "[0].name", group=False)
    others(*what, "reject", *own, "--resource-name", "pl-forwards", "-n", name, group=False)
    broken = {path: "PE_REJECTED" for path in GREEN if path.startswith("vnet-consumer/")}
    assert probed(others, *PROVIDER, expect=4) == {**GREEN, **broken}


def test_names_in_any_case_and_resources_that_are_not_there(others: Az) -> None:
    template = ["-f", str(TEMPLATES / "published.json"), "--query", "properties.outputs.host.value"]
    host = others.json("deployment", "group", "create", *CONSUMER, *template, group=False)
    assert host == "web.brazilsouth.cloudapp.azure.com"
