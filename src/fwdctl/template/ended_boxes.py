"""Jump boxes that the deployment could not change, deleted before it: it makes them again.

Azure updates no group that has ended (Succeeded, Failed), and moves none to another subnet (azure-docs,
container-instances-update).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from fwdctl.azure.documents import Document, entries, name_of, same, value
from fwdctl.deployment.orphans import BOX, Orphan, remove

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fwdctl.azure.clients import Clients
    from fwdctl.runtime import Runtime
    from fwdctl.template.fixed import Place
    from fwdctl.template.parameters import Parameters
    from fwdctl.template.parameters.models import Hub, Spoke

ENDED = frozenset({"Succeeded", "Failed"})


def delete_unchangeable(
    runtime: Runtime, clients: Clients, parameters: Parameters, place: Place, compiled: Path
) -> list[str]:
    """Delete them; their names.

    Raises:
        FwdctlError: Azure cannot be asked, or refuses.
    """
    found = []
    script = _script(json.loads(compiled.read_text("utf-8")))
    for resource_id, subnet, servers in _wanted(parameters, place):
        box = clients.find(resource_id)
        if box is None:
            continue
        state = str(value(box, "instanceView", "state"))
        moved = not same(value(box, "subnetIds", 0, "id"), subnet)
        if moved or (state in ENDED and _is_other(box, parameters, script, servers)):
            name = name_of(resource_id)
            remove(runtime, clients, Orphan(BOX, name, name, resource_id, state, ""))
            found.append(name)
    return found


def _wanted(parameters: Parameters, place: Place) -> Iterator[tuple[str, str, list[str]]]:
    """Each box's id, subnet and name servers."""
    networks: list[tuple[str, Hub | Spoke]] = [
        ("hub", parameters.hub),
        *((spoke.name, spoke) for spoke in parameters.spokes),
    ]
    for name, network in networks:
        subnet = network.existing.jump_subnet_id if network.existing else place.subnet(name, "jump")
        if network.jump and subnet:
            box = place.id("Microsoft.ContainerInstance/containerGroups", f"ci-{name}")
            yield box, subnet, [str(server) for server in network.dns_servers]


def _is_other(box: Document, parameters: Parameters, script: str, servers: list[str]) -> bool:
    """Whether the template asks for something else than what the box is (modules/jump-box.bicep)."""
    jump = parameters.jump
    command = ["/bin/sh", "-c", script, "sh", str(jump.unattended_seconds), str(jump.lifetime_seconds)]
    (container,) = entries(box, "containers")
    held = (
        value(container, "image"),
        value(container, "command"),
        value(box, "dnsConfig", "nameServers") or [],
    )
    return held != (jump.image, command, servers)


def _script(document: Any) -> str:
    """What a box runs, from the compiled template."""
    if isinstance(document, list):
        return next(filter(None, map(_script, document)), "")
    if not isinstance(document, dict):
        return ""
    own = document.get("variables", {})
    if isinstance(own, dict) and "life" in own:
        return str(own["life"])
    return _script(list(document.values()))
