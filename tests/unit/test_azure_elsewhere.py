"""Azure's clients: the token goes to ARM, over TLS, and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fwdctl.azure.clients import Clients
from fwdctl.azure.containers import Containers
from fwdctl.azure.credential import Login
from fwdctl.azure.errors import ArmFailure
from fwdctl.azure.networks import Networks
from fwdctl.azure.scale_sets import ScaleSet
from fwdctl.errors import FwdctlError
from fwdctl.runtime import Runtime
from support.fake_arm import CONTAINERS, GROUP, NETWORK, FakeArm, container_group, fake_arm

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HEALTH = f"{NETWORK}/loadBalancers/lb/loadBalancingRules/web/health"
SCALE_SET = f"{GROUP}/providers/Microsoft.Compute/virtualMachineScaleSets/vmss/virtualMachines"


@pytest.fixture
def foreign() -> Iterator[FakeArm]:
    """A host of another name, which must not be asked anything."""
    with fake_arm("localhost") as fake:
        yield fake
        assert fake.calls == []


def test_a_page_elsewhere_is_not_asked_for(arm: FakeArm, foreign: FakeArm) -> None:
    arm.on("GET", CONTAINERS, {"value": [], "nextLink": f"{foreign.url}/page2"})
    arm.on("GET", f"{NETWORK}/loadBalancers", {"value": [], "nextLink": f"{foreign.url}/page2"})
    arm.on("GET", SCALE_SET, {"value": [], "nextLink": f"{foreign.url}/page2"})
    for ask in (
        lambda: Containers(arm.client(), "rg-dev").list(),
        lambda: Networks(arm.client(), "rg-dev").load_balancers(),
        lambda: ScaleSet(arm.client(), "rg-dev", "vmss").machines(),
    ):
        with pytest.raises(FwdctlError, match="localhost") as error:
            ask()
        assert error.value.code == "foreign_polling_address"


@pytest.mark.parametrize("header", ["Azure-AsyncOperation", "Location"])
def test_an_operation_elsewhere_is_not_followed(arm: FakeArm, foreign: FakeArm, header: str) -> None:
    arm.on("POST", HEALTH, (202, None, {header: f"{foreign.url}/operation"}))
    with pytest.raises(FwdctlError) as error:
        Networks(arm.client(), "rg-dev").rule_health("lb", "web")
    assert error.value.code == "foreign_polling_address"


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(arm: FakeArm, foreign: FakeArm, status: int) -> None:
    for host in (foreign.url, arm.url):
        arm.on("GET", f"{CONTAINERS}/box", (status, None, {"Location": f"{host}/elsewhere"}))
        with pytest.raises(ArmFailure) as error:
            Containers(arm.client(), "rg-dev").get("box")
        assert error.value.status == status


def test_a_token_goes_over_tls_only() -> None:
    login = Login("s", "http://management.example", lambda _: ("t", 9e9))
    with pytest.raises(FwdctlError, match="not permitted for non-TLS"):
        Clients(login, Runtime(environ={}, sleep=lambda _: None)).request("GET", GROUP)


def test_a_password_in_netrc_does_not_take_the_tokens_place(
    arm: FakeArm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password mine\n")
    monkeypatch.setenv("NETRC", str(netrc))
    arm.on("GET", f"{CONTAINERS}/box", container_group("box"))
    Containers(arm.client(), "rg-dev").get("box")
    assert arm.tokens == ["Bearer secret-token"]


# -- errors in words
