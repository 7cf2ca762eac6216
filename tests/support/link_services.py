"""A link service with connections, which a fake ARM serves and lets its owner decide on."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from support.fake_arm import GROUP, NETWORK, SUBSCRIPTION

if TYPE_CHECKING:
    from support.fake_arm import FakeArm, Reply

THEIRS = "22222222-2222-2222-2222-222222222222"
SERVICE = f"{NETWORK}/privateLinkServices/pl-x"
OWN = f"{NETWORK}/privateEndpoints/pep-shop-x"
FAR = f"/subscriptions/{THEIRS}/resourceGroups/rg-theirs/providers/Microsoft.Network/privateEndpoints"
ALIAS = "pl-x.44444444-4444-4444-4444-444444444444.westeurope.azure.privatelinkservice"
TOPOLOGY = {
    "version": 1,
    "resourceGroup": "rg-dev",
    "hub": {"privateLinkService": "pl-x"},
    "spokes": [{"name": "shop", "privateEndpoint": {"name": "pep-shop-x"}}],
    "forwards": [{"name": "web", "port": 8000}],
}
ENVIRON = {
    "RESOURCE_GROUP_NAME": "rg-dev",
    "AZURE_SUBSCRIPTION_ID": SUBSCRIPTION,
    "FWD_TOPOLOGY": json.dumps(TOPOLOGY),
}


def connection(name: str, endpoint: str, status: str, message: str = "", **more: Any) -> dict[str, Any]:
    state = {"status": status, "description": message, "actionsRequired": "None"}
    properties = {
        "privateEndpoint": {"id": endpoint},
        "privateLinkServiceConnectionState": state,
        "privateEndpointLocation": "northeurope",
        "provisioningState": "Succeeded",
        **more,
    }
    return {"id": f"{SERVICE}/privateEndpointConnections/{name}", "name": name, "properties": properties}


@dataclass
class LinkService:
    """What the fake knows; `decisions` are the states that were asked for, in order."""

    connections: list[dict[str, Any]] = field(default_factory=list)
    decisions: list[dict[str, Any]] = field(default_factory=list)
    later: list[dict[str, Any]] = field(default_factory=list)
    """Connections that come one by one, with each further look."""

    def document(self, name: str = "pl-x") -> dict[str, Any]:
        return {
            "id": SERVICE.replace("pl-x", name),
            "name": name,
            "location": "westeurope",
            "properties": {
                "alias": ALIAS,
                "visibility": {"subscriptions": ["*"]},
                "autoApproval": {"subscriptions": [SUBSCRIPTION]},
                "ipConfigurations": [{"name": "nat", "properties": {}}],
                "privateEndpointConnections": self.connections,
            },
        }

    def serve(self, arm: FakeArm) -> LinkService:
        arm.routes["GET", SERVICE.lower()] = self._look
        arm.routes["GET", f"{NETWORK}/privateLinkServices".lower()] = lambda _: (
            200,
            {"value": [self.document()]},
            {},
        )
        arm.on("GET", f"{GROUP}/resources", {"value": []})
        arm.fail("GET", f"{FAR.partition('/providers/')[0]}/resources", 403, "AuthorizationFailed")
        for each in [*self.connections, *self.later]:
            self._serve(arm, each)
        return self

    def _look(self, _: Any) -> Reply:
        answer = 200, json.loads(json.dumps(self.document())), {}
        self.connections += self.later[:1]
        del self.later[:1]
        return answer

    def _serve(self, arm: FakeArm, each: dict[str, Any]) -> None:
        path = each["id"].lower()

        def put(body: Any) -> Reply:
            self.decisions.append(body)
            each["properties"] |= body["properties"]
            return 200, each, {}

        def delete(_: Any) -> Reply:
            self.connections.remove(each)
            return 204, None, {}

        arm.routes["GET", path] = lambda _: (200, each, {})
        arm.routes["PUT", path] = put
        arm.routes["DELETE", path] = delete
