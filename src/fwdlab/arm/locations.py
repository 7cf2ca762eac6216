"""Azure's public regions; in the lab they differ in nothing but what Azure's list says of them."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

_FILE = "regions.json"


@cache
def regions() -> dict[str, dict[str, Any]]:
    """The rows of the list by name; the file says when it was taken."""
    document = json.loads(files("fwdlab.arm").joinpath(_FILE).read_text("utf-8"))
    rows = (dict(zip(document["columns"], row, strict=True)) for row in document["regions"])
    return {row["name"]: row for row in rows}


def plain_location(text: str) -> str:
    """`West Europe` and `westeurope` are the same place."""
    return text.replace(" ", "").lower()


def location_documents(subscription_id: str) -> list[dict[str, Any]]:
    """What `/subscriptions/ID/locations` lists; azd needs `metadata` (regionType, physicalLocation)."""
    return [_document(f"/subscriptions/{subscription_id}/locations/", row) for row in regions().values()]


def _document(base: str, row: dict[str, Any]) -> dict[str, Any]:
    name, pair = row["name"], row["pairedRegion"]
    kept = ("regionCategory", "geography", "geographyGroup", "longitude", "latitude", "physicalLocation")
    zones = [
        {"logicalZone": str(zone), "physicalZone": f"{name}-az{zone}"} for zone in range(1, row["zones"] + 1)
    ]
    return {
        "id": f"{base}{name}",
        "name": name,
        "type": "Region",
        "displayName": row["displayName"],
        "regionalDisplayName": f"({row['geographyGroup']}) {row['displayName']}",
        "metadata": {
            "regionType": "Physical",
            **{key: row[key] for key in kept},
            "pairedRegion": [{"name": pair, "id": f"{base}{pair}"}] if pair else [],
        },
        **({"availabilityZoneMappings": zones} if zones else {}),
    }
