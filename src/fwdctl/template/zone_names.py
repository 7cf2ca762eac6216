"""Names in zones that are not the template's own, which the end of the resource group leaves there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from fwdctl.azure.deployments import TAG
from fwdctl.azure.documents import value
from fwdctl.deployment.orphans import NAME, Orphan, remove

if TYPE_CHECKING:
    from fwdctl.azure.clients import Clients
    from fwdctl.runtime import Runtime
    from fwdctl.template.parameters import Parameters


def zones(parameters: Parameters) -> list[str]:
    """Ids of the existing zones that the spokes' names are in."""
    named = (spoke.existing.dns_zone_id for spoke in parameters.spokes if spoke.existing is not None)
    return list(dict.fromkeys(zone for zone in named if zone))


def remove_marked(
    runtime: Runtime, clients: Clients, zone_ids: Iterable[str], environment: str
) -> Iterator[str]:
    """Delete the address records that are marked with an azd environment; their full names.

    Raises:
        FwdctlError: a zone cannot be read, or a record cannot be deleted.
    """
    for zone in zone_ids:
        for record in list(clients.list(f"{zone}/A")):
            if value(record, "metadata", TAG) == environment:
                remove(runtime, clients, Orphan(NAME, record["name"], "", record["id"], "", ""))
                yield f"{record['name']}.{zone.rpartition('/')[2]}"
