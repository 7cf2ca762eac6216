"""Parameters that name a hub, a spoke and a zone which are there already."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from conftest import ROOT
from fwdctl.template import parameters
from support.fake_arm import NETWORK

if TYPE_CHECKING:
    from pathlib import Path

HUB, THEIRS = f"{NETWORK}/virtualNetworks/hub", f"{NETWORK}/virtualNetworks/theirs"
ZONE = f"{NETWORK}/privateDnsZones/a.internal"


def read(tmp_path: Path, **changes: Any) -> parameters.Parameters:
    document = json.loads((ROOT / "infra" / "main.parameters.json").read_text("utf-8"))
    document["parameters"]["hub"]["value"] |= {
        "natSubnetPrefix": "10.0.1.128/26",
        "existing": {
            "subnetId": f"{HUB}/subnets/fwd",
            "natSubnetId": f"{HUB}/subnets/nat",
            "jumpSubnetId": f"{HUB}/subnets/jump",
        },
    }
    theirs = {
        "name": "theirs",
        "existing": {
            "endpointSubnetId": f"{THEIRS}/subnets/pe",
            "jumpSubnetId": f"{THEIRS}/subnets/aci",
            "dnsZoneId": ZONE,
        },
        "endpointAddress": "10.7.0.9",
        "dnsZoneName": "a.internal",
    }
    changes = {"spokes": [theirs], "deployOnPremServers": False} | changes
    document["parameters"] |= {name: {"value": value} for name, value in changes.items()}
    file = tmp_path / "main.parameters.json"
    file.write_text(json.dumps(document))
    return parameters.load(file, ROOT / "infra" / "main.json", {})
