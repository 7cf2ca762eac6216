"""The version of ARM's interface in which each type is asked for, where no library of Azure's decides."""

from __future__ import annotations

NETWORK = "2025-05-01"
VERSIONS = {
    "subscriptions/locations": "2022-12-01",
    "subscriptions/resourcegroups": "2025-04-01",
    "subscriptions/resourcegroups/resources": "2021-04-01",
    "microsoft.compute": "2025-04-01",
    # The one version of this type that Azure documents (azure-rest-api-specs, vmssNetworkInterface.json).
    "microsoft.compute/virtualmachinescalesets/networkinterfaces": "2018-10-01",
    "microsoft.containerinstance": "2025-09-01",
    "microsoft.network": NETWORK,
    "microsoft.network/privatednszones": "2024-06-01",
    "microsoft.resources": "2025-04-01",
}
"""By type, in lower case; the most specific one counts."""


def version_of(path: str) -> str:
    """The version for a path that begins with `/subscriptions/…`, with or without a question behind it."""
    below = path.lower().partition("?")[0].rpartition("/providers/")[2]
    namespace, *words = below.split("/")  # of what is in no namespace, a slash is before the first type
    kind = "/".join(filter(None, [namespace, *words[::2]]))
    while kind and kind not in VERSIONS:
        kind = kind.rpartition("/")[0]
    return VERSIONS.get(kind, NETWORK)
