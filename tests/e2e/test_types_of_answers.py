"""Azure's own published types judge what the real az was answered: runs after az's other tests."""

from __future__ import annotations

import re
from typing import Any

import pytest

from support.azure_types import AzureTypes, explained, folder

TYPES = folder()
pytestmark = [
    pytest.mark.az,
    pytest.mark.lab,
    pytest.mark.xdist_group("az-lab"),
    pytest.mark.skipif(
        TYPES is None, reason="Azure's types are not beside the compiler that AZD_BICEP_TOOL_PATH names"
    ),
]
# Faults that are none, as `type path: fault`, and why not.
NO_FAULTS = {
    r"Microsoft.Resources/deployments properties\.parameters\.\w+\.type: is unknown": "the service says of what "
    "type a parameter is; az and azd read it",
    r"Microsoft.Compute/virtualMachines instanceId: is unknown": "stands in the list of a flexible scale set's "
    "instances, which are machines",
}
# As in `NOT_ANSWERED`, of what only az causes.
NOT_ANSWERED = {
    r"Microsoft.Resources/deployments properties\.(diagnostics|error|extensions|validatedResources|"
    r"(outputResources|providers)\[\]\..*)": "of failures, validations, extensions, or newer versions only",
    r"Microsoft.KeyVault/vaults properties\.privateEndpointConnections": "there is none",
    r"\S+/loadBalancers(/backendAddressPools)? .*(backendIPConfigurations|loadBalancingRules|inboundNatRules\w*|"
    r"outboundRules?|networkInterfaceIPConfiguration)": "there is none: az makes a load balancer in steps",
    r"\S+/virtualNetworkPeerings properties\.resourceGuid": "nobody has asked for it",
}


def test_az_was_answered_by_azures_types(az_answers: list[dict[str, Any]]) -> None:
    if not az_answers:
        pytest.skip("no other test has run az")
    assert TYPES is not None
    judge = AzureTypes(TYPES)
    faults = {f"{one['type']} {fault}" for one in az_answers for fault in judge.faults(one)}
    assert not {fault for fault in faults if not matches(NO_FAULTS, fault)}
    missing = {f"{one['type']} {path}" for one in az_answers for path in judge.missing(one)}
    assert not {one for one in missing if not explained(one) and not matches(NOT_ANSWERED, one)}


def matches(patterns: dict[str, str], text: str) -> bool:
    return any(re.fullmatch(pattern, text) for pattern in patterns)
