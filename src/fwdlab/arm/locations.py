"""Regions that the lab offers; they differ in nothing."""

from __future__ import annotations

from typing import Any

# name: (display name, geography group, physical location) - a selection of Azure's public regions
_TABLE = {
    "westeurope": ("West Europe", "Europe", "Netherlands"),
    "northeurope": ("North Europe", "Europe", "Ireland"),
    "germanywestcentral": ("Germany West Central", "Europe", "Frankfurt"),
    "swedencentral": ("Sweden Central", "Europe", "Gävle"),
    "switzerlandnorth": ("Switzerland North", "Europe", "Zurich"),
    "francecentral": ("France Central", "Europe", "Paris"),
    "uksouth": ("UK South", "Europe", "London"),
    "eastus": ("East US", "US", "Virginia"),
    "eastus2": ("East US 2", "US", "Virginia"),
    "centralus": ("Central US", "US", "Iowa"),
    "westus2": ("West US 2", "US", "Washington"),
    "westus3": ("West US 3", "US", "Phoenix"),
    "southeastasia": ("Southeast Asia", "Asia Pacific", "Singapore"),
    "japaneast": ("Japan East", "Asia Pacific", "Tokyo, Saitama"),
    "australiaeast": ("Australia East", "Asia Pacific", "New South Wales"),
}
LOCATIONS: tuple[str, ...] = tuple(_TABLE)


def plain_location(text: str) -> str:
    """`West Europe` and `westeurope` are the same place."""
    return text.replace(" ", "").lower()


def location_documents(subscription_id: str) -> list[dict[str, Any]]:
    """What `/subscriptions/ID/locations` lists; azd needs `metadata` (regionType, physicalLocation)."""
    return [
        {
            "id": f"/subscriptions/{subscription_id}/locations/{name}",
            "name": name,
            "type": "Region",
            "displayName": display,
            "regionalDisplayName": f"({group}) {display}",
            "metadata": {
                "regionType": "Physical",
                "regionCategory": "Recommended",
                "geography": group,
                "geographyGroup": group,
                "longitude": "0",
                "latitude": "0",
                "physicalLocation": place,
                "pairedRegion": [],
            },
        }
        for name, (display, group, place) in _TABLE.items()
    ]
