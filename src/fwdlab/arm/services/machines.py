"""What machines and containers share: names, customData, boot ids, the node of an interface."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import uuid
from typing import TYPE_CHECKING, Any

from fwdlab.arm.errors import ArmError
from fwdlab.arm.ids import same
from fwdlab.arm.services.base import reference_id
from fwdlab.model import NodeSpec

if TYPE_CHECKING:
    from fwdlab.arm.store import Store

CUSTOM_DATA_LIMIT = 65535
_LABEL = re.compile(r"[^a-z0-9-]+")


def boot_id() -> str:
    """A new one for each boot."""
    return uuid.uuid4().hex[:12]


def check_custom_data(text: Any) -> None:
    """Refuse what Azure refuses: not base64, or more than 65535 bytes decoded (custom-data docs)."""
    if text in (None, ""):
        return
    try:
        decoded = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError, TypeError):
        raise ArmError(
            400,
            "InvalidParameter",
            "Custom data must be a valid Base64 string.",
            target="osProfile.customData",
        ) from None
    if len(decoded) > CUSTOM_DATA_LIMIT:
        raise ArmError(
            400,
            "InvalidParameter",
            f"Custom data in OSProfile must not exceed {CUSTOM_DATA_LIMIT} bytes; it has {len(decoded)}.",
            target="osProfile.customData",
        )


def node_name(store: Store, wanted: str, resource_id: str) -> str:
    """A host name that no other node has; the same resource gets the same name again."""
    base = _LABEL.sub("-", wanted.lower()).strip("-")[:50] or "node"
    for resource in store.list():
        node = resource.node
        if node is not None and node.name == base and not same(resource.id, resource_id):
            return f"{base}-{hashlib.sha256(resource_id.lower().encode()).hexdigest()[:4]}"
    return base


def machine_node(name: str, resource_id: str, nic: dict[str, Any], boot: str, custom_data: str) -> NodeSpec:
    """The node of a machine with that interface (an ARM document of a network interface)."""
    entry = next(
        (e for e in nic["properties"]["ipConfigurations"] if e["properties"].get("primary")),
        nic["properties"]["ipConfigurations"][0],
    )["properties"]
    return NodeSpec(
        name=name,
        kind="machine",
        subnet_id=reference_id(entry.get("subnet")),
        address=entry["privateIPAddress"],
        boot_id=boot,
        resource_id=resource_id,
        custom_data=custom_data,
        backend_pool_ids=tuple(reference_id(p) for p in entry.get("loadBalancerBackendAddressPools") or []),
        security_group_id=reference_id(nic["properties"].get("networkSecurityGroup")) or None,
    )


def power_statuses(state: str) -> list[dict[str, str]]:
    """The `statuses` of an instance view, e.g. for `running`."""
    return [
        {"code": "ProvisioningState/succeeded", "level": "Info", "displayStatus": "Provisioning succeeded"},
        {"code": f"PowerState/{state}", "level": "Info", "displayStatus": f"VM {state}"},
    ]


def instance_view(host_name: str, state: str) -> dict[str, Any]:
    """The instance view of a machine."""
    running = state == "running"
    agent = [
        {
            "code": "ProvisioningState/succeeded" if running else "ProvisioningState/Unavailable",
            "level": "Info" if running else "Warning",
            "displayStatus": "Ready" if running else "Not Ready",
        }
    ]
    return {
        "computerName": host_name,
        "vmAgent": {"vmAgentVersion": "lab", "statuses": agent, "extensionHandlers": []},
        "disks": [],
        "statuses": power_statuses(state),
    }
